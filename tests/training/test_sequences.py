"""Recipes of the encoder-decoder: ten steps beside torch's, what they count, write and show."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch_recipes
from twins import copy_weights, same_weights, to_torch

import minigen
from minigen import Generator
from minigen.data.tasks import TASKS, reverse
from minigen.models.sampling import Sampling
from minigen.training import Job
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes.questions import END, START, drawn, tokenizer_of
from minigen.training.recipes.sequences import Answerer

TINY = {"layers": 1, "heads": 2, "width": 8, "hidden": 16, "examples": 300, "test_examples": 40}
LIKELIEST = Sampling(temperature=0)


def job_of(recipe: str, batch_size: int = 16, **own: Any) -> Job:
    minigen.manual_seed(0)
    settings = default_settings(recipe, fast=True, own=TINY | own, batch_size=batch_size)
    return RECIPES[recipe](settings)


def generator() -> Generator:
    return Generator().manual_seed(0)


def test_ten_steps_equal_torch() -> None:
    """Schedule, clipping (gradients are longer than 0.1), smoothing and averaging included."""
    job = job_of("sort", clip=0.1, warmup=4)
    theirs = torch_recipes.RECIPES["sort"](job.settings)
    for name, module in job.modules.items():
        copy_weights(module.double(), theirs.modules[name])
    for batch in itertools.islice(job.loader, 10):
        expected = theirs.step(to_torch(batch))["loss"].item()
        assert float(job.step(batch)["loss"]) == pytest.approx(expected, rel=1e-8)
    for name, module in job.modules.items():
        same_weights(module, theirs.modules[name])


def test_batches_are_questions_and_answers() -> None:
    job = job_of("reverse")
    tokenizer = tokenizer_of("reverse")
    questions, answers = next(iter(job.loader))
    for question, answer in zip(questions.numpy(), answers.numpy(), strict=True):
        word = tokenizer.decode(question).rstrip("\0")
        assert tokenizer.decode(answer).rstrip("\0") == START + word[::-1] + END
        assert not reverse(word).held_out


def test_tests_are_held_out() -> None:
    for task in ("reverse", "sort", "dates"):
        assert all(e.held_out for e in drawn(task, 40, (3, 12), held_out=True))
    assert "\n".join(e.question for e in drawn("reverse", 40, (3, 12), True)[:12]) == (
        job_of("reverse").prompt
    )


def test_only_whole_answers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pupil that knows the answers but for some, which have one letter wrong."""
    test = drawn("reverse", 40, (3, 12), held_out=True)
    known = {e.question: e.answer for e in test}
    for e in test[:7]:
        known[e.question] = e.answer[:-1]
    for e in test[7:10]:
        known[e.question] = e.answer + "a"
    monkeypatch.setattr(
        Answerer, "answers", lambda self, questions, *rest: [known[q] for q in questions]
    )
    metrics = job_of("reverse").evaluate(True)
    assert metrics["exact"] == metrics["exact_beam"] == 100 * 30 / 40
    assert metrics["tested"] == 40


def test_a_model_that_has_learned_answers() -> None:
    """Words of one or two letters: after 150 steps it reverses some that it has not seen."""
    job = job_of("reverse", 64, width=32, hidden=64, lengths=[1, 2], examples=2000, warmup=50)
    before = job.evaluate(True)
    batches = itertools.chain.from_iterable(iter(lambda: iter(job.loader), None))
    for batch in itertools.islice(batches, 150):
        job.step(batch)
    after = job.evaluate(True)
    assert before["exact"] < 10
    assert after["exact"] > 40
    assert after["test_loss"] < before["test_loss"] / 2
    word = next(e.question for e in drawn("reverse", 40, (1, 2), True) if len(e.question) == 2)
    text = "".join(job.write(word, 10, LIKELIEST, generator()))
    assert text.startswith(" -> ")
    assert set(text[4:]) <= set("abcdefghijklmnopqrstuvwxyz")


def test_one_answer_or_many() -> None:
    job = job_of("dates")
    one = "".join(job.write("3 March 1994", 1, LIKELIEST, generator()))
    many = "".join(job.write("3 March 1994\nMay 5, 2001", 1, LIKELIEST, generator()))
    assert many.splitlines()[1] == f"3 March 1994{one}"
    assert many.splitlines()[2].startswith("May 5, 2001 -> ")


def test_answers_can_be_drawn() -> None:
    job = job_of("reverse")
    draw = {
        "".join(job.write("abcdef", 1, Sampling(temperature=2.0), Generator().manual_seed(seed)))
        for seed in (0, 0, 1, 2)
    }
    assert len(draw) == 3


@pytest.mark.parametrize("prompt", ["", "3 März 1994", "one\n\ntwo"])
def test_what_is_no_question_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match="character"):
        job_of("dates").write(prompt, 1, LIKELIEST, generator())


def test_probabilities_are_of_the_next_character() -> None:
    """With one beam what is written is the likeliest at its place."""
    job = job_of("sort", beams=1)
    look = job.look("hello", 1, LIKELIEST, generator())
    likeliest = [look.alphabet[i] for i in look.probabilities.argmax(axis=1)]
    assert likeliest[:-1] == list(look.written[:-1])
    assert len(likeliest) > 2


def test_what_can_be_seen_of_an_answer() -> None:
    job = job_of("sort", layers=2)
    look = job.look("hello", 1, LIKELIEST, generator())
    assert "".join(job.write("hello", 1, LIKELIEST, generator())) == (
        " -> " + "".join(look.written[:-1])
    )
    assert look.of == "hello"
    assert look.written[-1] == END
    assert look.probabilities.shape == (len(look.written), len(tokenizer_of("sort")))
    np.testing.assert_allclose(look.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert [m.title.partition(":")[0] for m in look.maps] == [
        "encoder, layer 1", "encoder, layer 2",
        "decoder, layer 1", "decoder, layer 1", "decoder, layer 2", "decoder, layer 2",
    ]  # fmt: skip
    for m in look.maps:
        assert m.weights.shape == (2, len(m.rows), len(m.columns))
        np.testing.assert_allclose(m.weights.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_tokens_of_a_task(task: str) -> None:
    assert tokenizer_of(task).encode("\0\2\3").tolist() == [0, 1, 2]


def test_answers_are_those_of_the_averaged_weights() -> None:
    job = job_of("sort")
    assert job.write.__self__.model is job.modules["average"].module
    for batch in itertools.islice(job.loader, 3):
        job.step(batch)
    before = job.evaluate(False)
    for part in job.modules["sort"].parameters():
        part.detach().zero_()
    assert job.evaluate(False) == before
    for part in job.modules["average"].parameters():
        part.detach().zero_()
    assert job.evaluate(False)["test_loss"] != before["test_loss"]
