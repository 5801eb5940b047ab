"""The recipe about reasoning: what is learned, how answers are read, and what is counted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from twins import TorchGPT, copy_weights, same_weights

import minigen
from minigen import Generator
from minigen.data.tasks import chain, exercises
from minigen.models.sampling import Sampling
from minigen.training import Job
from minigen.training.recipes import RECIPES, arithmetic, default_settings
from minigen.training.recipes.arithmetic import Pupil, guessing, result, room, shares
from minigen.training.recipes.questions import END, drawn, tokenizer_of

TINY = {"layers": 1, "heads": 2, "width": 16, "examples": 200, "test_examples": 8}


def job_of(recipe: str = "arithmetic", **own: Any) -> Job:
    minigen.manual_seed(0)
    settings = default_settings(recipe, fast=True, own=TINY | own, batch_size=16)
    return RECIPES[recipe](settings)


def pupil(kind: str) -> Pupil:
    settings = default_settings("arithmetic", fast=True, own=TINY)
    model = arithmetic.GPT(arithmetic.GPTConfig(**settings.model))
    return Pupil(model, tokenizer_of("chain"), kind, settings)


@pytest.mark.parametrize("kind", ["written", "none"])
def test_only_answers_are_learned(kind: str) -> None:
    """Each token of question and answer is read; those of the answer and its end are targets, each
    at the place of the token before it."""
    some = [chain([3, 9, 4, 6], "+*-"), chain([1, 2], "+")]
    ids, targets = pupil(kind).texts(some)
    tokenizer = tokenizer_of("chain")
    for row, wanted, e in zip(ids.numpy(), targets.numpy(), some, strict=True):
        whole = e.question + (e.steps if kind == "written" else e.answer) + END
        assert tokenizer.decode(row).rstrip("\0") in (whole[:-1], whole)
        learned = tokenizer.decode(wanted)
        assert learned.replace("\0", "") == whole[len(e.question) :]
        assert learned.index(whole[len(e.question)]) == len(e.question) - 1


def test_the_loss_is_of_the_answers_only() -> None:
    """Another question before the same answer, unseen by a model that looks nowhere."""
    learner = pupil("none")
    for parameter in learner.model.parameters():
        minigen.nn.init.zeros_(parameter)
    ids, targets = learner.texts([chain([3, 9, 4, 6], "+*-")])
    assert float(learner.predict(ids, targets)) == pytest.approx(np.log(len(tokenizer_of("chain"))))
    targets[0, 0] = 5
    assert (targets.numpy() != 0).sum() == 3


def test_steps_equal_torch() -> None:
    """Both pupils, each on its own texts: five steps of AdamW after the loss of the answers."""
    job = job_of(clip=100.0, weight_decay=0.0)
    c = job.settings.model
    twins = []
    for model in job.modules.values():
        twin = TorchGPT(c["vocabulary"], c["context"], 1, 2, 16, c["bias"])
        copy_weights(model.double(), twin)
        adam = torch.optim.AdamW(twin.parameters(), job.settings.lr, (0.9, 0.99), weight_decay=0)
        twins.append((twin, adam, adam.param_groups[0]))
    for batch in itertools.islice(job.loader, 5):
        parts = [torch.from_numpy(part.numpy()) for part in batch]
        rates = [s.get_last_lr()[0] for s in job.schedules.values()]
        losses = job.step(batch).values()
        for number, (twin, adam, group) in enumerate(twins):
            group["lr"] = rates[number]
            ids, targets = parts[2 * number : 2 * number + 2]
            logits, wanted = twin(ids), targets != 0
            loss = F.cross_entropy(logits[wanted], targets[wanted])
            adam.zero_grad()
            loss.backward()
            adam.step()
            assert float([*losses][number]) == pytest.approx(loss.item(), rel=1e-8)
    for model, (twin, _, _) in zip(job.modules.values(), twins, strict=True):
        same_weights(model, twin)


def test_what_steps_lead_to_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten, three come to a wrong end; wrong steps to the right end count as right."""
    some = exercises("chain", 10, (3, 3), held_out=True, seed=0)
    texts = {e.question: e.steps for e in some}
    for e in some[:3]:
        texts[e.question] = e.steps[:-1] + str((int(e.answer) + 1) % 10)
    texts[some[4].question] = f"9+9=9;9+9={some[4].answer}"
    learner = pupil("written")
    monkeypatch.setattr(learner, "write_all", lambda questions: [texts[q] for q in questions])
    assert learner.score(some) == 70.0
    assert result("1+1=2;2+1=") == ""


@pytest.mark.parametrize(("steps", "kinds"), [("both", 2), ("written", 1), ("none", 1)])
def test_every_length_is_measured(steps: str, kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By pupils who are right the less often the longer a question is."""
    monkeypatch.setattr(Pupil, "score", lambda self, some: 100.0 - len(some[0].question))
    job = job_of(steps=steps, lengths=[1, 2], longest=4)
    assert len(job.modules) == kinds
    losses = job.step(next(iter(job.loader)))
    assert len(losses) == kinds
    metrics = job.evaluate(True)
    for kind in arithmetic.KINDS[steps]:
        assert shares(metrics, kind) == {1: 96.0, 2: 94.0, 3: 92.0, 4: 90.0}
        assert metrics[kind] == 95.0
        assert metrics[f"{kind}_longest"] == 94.0
    assert job.pictures["lengths"]()[1:4] == b"PNG"
    lines = job.scores(metrics)["right answers by length"]
    assert len(lines) == 5
    assert ["longer" in line for line in lines] == [False] * 3 + [True] * 2


def test_both_see_the_same_questions() -> None:
    job = job_of()
    written, _, none, _ = (part.numpy() for part in next(iter(job.loader)))
    equals = tokenizer_of("chain").encode("=")[0]
    for a, b in zip(written, none, strict=True):
        assert a.tolist()[: a.tolist().index(equals)] == b.tolist()[: b.tolist().index(equals)]


def test_guessing_is_the_commonest_answer() -> None:
    test = {length: drawn("chain", 50, (length, length), True) for length in (1, 2, 3)}
    answers = [e.answer for length in (1, 2) for e in test[length]]
    assert guessing(test, 2)["guess"] == max(map(answers.count, "0123456789"))
    assert guessing(test, 2)["tested"] == 100


@pytest.mark.parametrize("task", ["chain", "addition"])
def test_the_context_holds_the_longest(task: str) -> None:
    for length in (1, 4, 7):
        for e in exercises(task, 300, (length, length), held_out=False, seed=0):
            assert len(e.question + e.steps + END) <= room(task, length)


def test_a_prompt_is_a_question() -> None:
    job = job_of("addition")
    how, rng = Sampling(temperature=0), Generator().manual_seed(0)
    assert isinstance("".join(job.write("12+34=", 5, how, rng)), str)
    assert "".join(job.write("1+2=\n3+4=", 5, how, rng)).count("\n") == 2
    for bad in ("12+34", "", "a=", "1" * 90 + "="):
        with pytest.raises(ValueError, match=r"question|character"):
            job.write(bad, 5, how, rng)
    look = job.look("12+34=", 5, how, rng)
    assert look.written[-1] == END
    assert len(look.maps) == 1
    with pytest.raises(ValueError, match="steps must be one of"):
        job_of(steps="some")
