"""A recipe about reasoning: the same questions, answered at once and with the steps written out.

Two GPTs of equal size see the same questions in the same order.  One learns to give the answer, the
other to write down the steps that lead to it (a scratchpad: M. Nye et al., 2021, arXiv:2112.00114).
A Transformer of a few layers can do only so much between reading a question and the first character
of its answer; what it has written down it can read, and so it gets further.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import CharTokenizer, TensorDataset
from minigen.data.tasks import Exercise
from minigen.models import sampling
from minigen.models.beam_search import greedy_search
from minigen.models.sampling import Sampling
from minigen.models.transformer import GPT, GPTConfig
from minigen.nn import functional as F
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import batches
from minigen.training.recipes.looking import look_at_text
from minigen.training.recipes.questions import (
    END,
    PADDING,
    STOP,
    drawn,
    read_answers,
    rows,
    tensor,
    tokenizer_of,
)

KINDS = {"written": ("written",), "none": ("none",), "both": ("written", "none")}


def arithmetic(settings: Settings) -> Job:
    """Learn to calculate with AdamW, warm-up and a cosine; the loss is of the answers only.

    What is measured is the share of right answers to held-out questions of each length.
    """
    options = settings.options
    if options["steps"] not in KINDS:
        raise ValueError(f"steps must be one of {', '.join(KINDS)}, got {options['steps']!r}")
    task, lengths = options["task"], tuple(options["lengths"])
    tokenizer = tokenizer_of(task)
    pupils = {
        kind: Pupil(GPT(GPTConfig(**settings.model)), tokenizer, kind, settings)
        for kind in KINDS[options["steps"]]
    }
    training = drawn(task, options["examples"], lengths, held_out=False)
    test = {
        length: drawn(task, options["test_examples"], (length, length), held_out=True)
        for length in range(lengths[0], options["longest"] + 1)
    }
    texts = [pupil.texts(training) for pupil in pupils.values()]

    def step(batch: Sequence[Tensor]) -> dict[str, Tensor]:
        losses = {}
        for pupil, ids, targets in zip(pupils.values(), batch[0::2], batch[1::2]):
            losses[f"loss_{pupil.kind}"] = pupil.learn(ids, targets)
        return losses

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for pupil in pupils.values():
            known = [e for length in range(lengths[0], lengths[1] + 1) for e in test[length][:25]]
            metrics[f"test_loss_{pupil.kind}"] = pupil.loss(known)
            shares = {}
            for length, all_of_length in test.items():
                some = all_of_length if thorough else all_of_length[:25]
                shares[length] = metrics[f"{pupil.kind}_{length}"] = pupil.score(some)
            within = [share for length, share in shares.items() if length <= lengths[1]]
            metrics[pupil.kind] = float(np.mean(within))
            metrics[f"{pupil.kind}_longest"] = within[-1]
        metrics["test_loss"] = float(np.mean([metrics[f"test_loss_{kind}"] for kind in pupils]))
        if thorough:
            metrics |= guessing(test, lengths[1])
        return metrics

    writer = next(iter(pupils.values()))
    return Job(
        settings,
        modules={kind: pupil.model for kind, pupil in pupils.items()},
        optimizers={kind: pupil.optimizer for kind, pupil in pupils.items()},
        schedules={kind: pupil.schedule for kind, pupil in pupils.items()},
        loader=batches(settings, TensorDataset(*(part for pair in texts for part in pair))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        write=writer.write,
        look=writer.look,
        prompt="\n".join(test[length][0].question for length in test),
        temperature=0.0,
        pictures={"lengths": lambda: picture(evaluate(True), settings)},
        scores=lambda metrics: {"right answers by length": table(metrics, settings)},
    )


class Pupil:
    """A GPT that learns to answer, with or without steps, and what trains it."""

    def __init__(self, model: GPT, tokenizer: CharTokenizer, kind: str, settings: Settings) -> None:
        self.model, self.tokenizer, self.kind = model.to(settings.device), tokenizer, kind
        self.settings, options = settings, settings.options
        groups = model.parameter_groups(options["weight_decay"])
        self.optimizer = optim.AdamW(groups, lr=settings.lr, betas=tuple(options["betas"]))
        self.schedule = optim.lr_scheduler.cosine_with_warmup(
            self.optimizer, options["warmup"], options["horizon"], options["lowest_lr"]
        )

    def texts(self, exercises: Sequence[Exercise]) -> tuple[Tensor, Tensor]:
        """Tokens (N, T), and of each the token that follows, where it is to be learned: from the
        first of the answer to the end; nothing elsewhere."""
        answers = [e.steps if self.kind == "written" else e.answer for e in exercises]
        whole = rows(self.tokenizer, [e.question + a + END for e, a in zip(exercises, answers)])
        given = np.array([len(e.question) for e in exercises])[:, None]
        targets = np.where(np.arange(1, whole.shape[1]) >= given, whole[:, 1:], PADDING)
        ids = whole[:, :-1]
        return minigen.from_numpy(ids.copy()), minigen.from_numpy(targets)

    def predict(self, ids: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(ids)  # (N, T) -> (N, T, V)
        return F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]),  # (N, T, V) -> (N T, V)
            targets.reshape(-1),  # (N, T) -> (N T,)
            ignore_index=PADDING,
        )

    def learn(self, ids: Tensor, targets: Tensor) -> Tensor:
        loss = self.predict(ids, targets)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.options["clip"])
        self.optimizer.step()
        self.schedule.step()
        return loss

    def loss(self, exercises: Sequence[Exercise]) -> float:
        """In nats a character of what it is to write."""
        with sampling.evaluating(self.model):
            ids, targets = (part.to(self.settings.device) for part in self.texts(exercises))
            return float(self.predict(ids, targets))

    def write_all(self, questions: Sequence[str]) -> list[str]:
        """What it writes after questions of one length."""
        start = tensor(rows(self.tokenizer, questions), self.settings.device)
        room = self.settings.model["context"] - start.shape[1]
        return read_answers(self.tokenizer, greedy_search(self.model.reader(), start, STOP, room))

    def score(self, exercises: Sequence[Exercise]) -> float:
        """How many in a hundred are answered right; steps do not count, only what they lead to."""
        written = self.write_all([e.question for e in exercises])
        right = sum(result(text) == e.answer for text, e in zip(written, exercises, strict=True))
        return 100 * right / len(exercises)

    def write(
        self, prompt: str, count: int, how: Sampling, generator: Generator, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """What follows a question, which ends with "="; of several, line by line."""
        questions = prompt.splitlines()
        longest = self.settings.model["context"] - 2
        right = [q for q in questions if re.fullmatch(r"[^=]+=", q) and len(q) <= longest]
        if not questions or len(right) < len(questions):
            raise ValueError(f"a question ends with = and has at most {longest} characters")
        answers = [self.write_all([question])[0] for question in questions]
        if len(questions) == 1:
            return iter(answers)
        return (f"\n{question}{answer}" for question, answer in zip(questions, answers))

    def look(self, prompt: str, count: int, how: Sampling, generator: Generator) -> Any:
        (answer,) = self.write_all([prompt])
        return look_at_text(self.model, self.tokenizer, prompt, answer + END, self.settings.device)


def result(written: str) -> str:
    """What the steps lead to: the last of them.

    >>> result("3+9=2;2*4=8"), result("5+8=13;13"), result("132")
    ('8', '13', '132')
    """
    return written.rpartition(";")[2].rpartition("=")[2]


# ------------------------------------------------------------------------------------- results


def guessing(test: Mapping[int, Sequence[Exercise]], longest: int) -> dict[str, float]:
    """How often the commonest answer is right, among the lengths that are trained on."""
    answers = [e.answer for length in test if length <= longest for e in test[length]]
    commonest = max(set(answers), key=answers.count)
    return {"guess": 100 * answers.count(commonest) / len(answers), "tested": len(answers)}


def shares(metrics: Mapping[str, float], kind: str) -> dict[int, float]:
    """The share of right answers by length."""
    found = {name.removeprefix(kind + "_"): value for name, value in metrics.items()}
    return {int(name): value for name, value in found.items() if name.isdigit()}


def table(metrics: Mapping[str, float], settings: Settings) -> list[str]:
    """Lines of right answers in a hundred, for each length, and where training ended."""
    kinds = KINDS[settings.options["steps"]]
    by_kind = {kind: shares(metrics, kind) for kind in kinds}
    lines = ["length " + "".join(f"{LABELS[kind]:>20}" for kind in kinds)]
    for length in by_kind[kinds[0]]:
        beyond = "  (longer than any in training)" * (length > settings.options["lengths"][1])
        figures = "".join(f"{by_kind[kind][length]:>18.1f} %" for kind in kinds)
        lines.append(f"{length:>6} {figures}{beyond}")
    return lines


LABELS = {"written": "steps written out", "none": "answered at once"}
XLABELS = {"chain": "operations", "addition": "digits of each number"}


def picture(metrics: Mapping[str, float], settings: Settings) -> bytes:
    """The curves of right answers over the length of the questions."""
    from minigen.viz.curves import Curve, curves

    options = settings.options
    series = []
    for kind in KINDS[options["steps"]]:
        by_length = shares(metrics, kind)
        series.append(Curve(LABELS[kind], [*by_length], [*by_length.values()], marker=True))
    return curves(
        series,
        ylabel="right answers (%)",
        xlabel=XLABELS[options["task"]],
        level=("always the commonest answer", metrics["guess"]),
        border=("trained up to here", options["lengths"][1] + 0.5),
        limits=(-3, 116),
        opaque=True,
    )


# ------------------------------------------------------------------------------------- settings


def chain_settings(fast: bool) -> Settings:
    return _settings("arithmetic", "chain", fast, lengths=[1, 5], longest=8)


def addition_settings(fast: bool) -> Settings:
    return _settings("addition", "addition", fast, lengths=[1, 4], longest=6)


def _settings(recipe: str, task: str, fast: bool, lengths: list[int], longest: int) -> Settings:
    size: dict[str, Any] = {"heads": 2, "width": 32} if fast else {"heads": 4, "width": 64}
    config = GPTConfig(vocabulary=len(tokenizer_of(task)), layers=2, **size)
    return Settings(
        recipe=recipe,
        steps=60 if fast else 1500,
        batch_size=64,
        lr=4e-3,
        log_every=10 if fast else 50,
        save_every=30 if fast else 500,
        model=dataclasses.asdict(config),
        options={
            "task": task,
            "steps": "both",
            "lengths": lengths,
            "longest": longest,
            "examples": 2000 if fast else 50_000,
            "test_examples": 25 if fast else 200,
            "betas": [0.9, 0.99],
            "weight_decay": 0.1,
            "clip": 1.0,
            "lowest_lr": 0.05,
        },
    )


def room(task: str, length: int) -> int:
    """How many characters a question of that length, its steps and the end can have.

    >>> room("chain", 3), len("3+9*4-6=3+9=2;2*4=8;8-6=2") + 1
    (26, 26)
    >>> room("addition", 2), len("95+95=5+5=10;9+9+1=19;190") + 1
    (28, 26)
    """
    return 8 * length + 2 if task == "chain" else 12 * length + 4


def follow(settings: Settings) -> Settings:
    """With the schedule cut to the number of steps, and a context that holds the longest."""
    options = settings.options
    schedule = {"warmup": min(100, settings.steps // 10), "horizon": settings.steps}
    context = room(options["task"], max(options["longest"], options["lengths"][1]))
    return dataclasses.replace(
        settings,
        options={**options, **schedule},
        model={**settings.model, "context": context},
    )


FIGURES = (
    Figure(
        "written",
        "right with the steps written out",
        "The mean over the lengths that it was trained on; unseen questions. Higher is better.",
        unit="%",
        beside="none",
        against="answered at once",
        goal="beside",
        higher=True,
        count="tested",
    ),
    Figure(
        "none",
        "right when answered at once",
        "The same questions, the same training, without steps.",
        unit="%",
        beside="guess",
        against="always the commonest answer",
        higher=True,
        count="tested",
    ),
    Figure(
        "written_longest",
        "right with steps, the longest of training",
        "Where the two differ most.",
        unit="%",
        beside="none_longest",
        against="answered at once",
        higher=True,
    ),
)
CURVE = LossCurve(
    "nats a character",
    "Loss of the answers over the steps; that of written steps is easy to lower, character by "
    "character",
    losses=(("loss_written", "steps written out"), ("loss_none", "answered at once")),
)
CAPTIONS = {
    "text": "Questions it was not trained on, with steps; the lower ones are longer than any in "
    "training",
    "lengths": "Right answers to unseen questions, by their length",
}
RECIPES = {
    "arithmetic": Recipe(
        arithmetic, chain_settings, "Reasoning step by step",
        "Two GPTs learn to work out chains like 3+9*4-6 on a clock of ten hours: one says the "
        "answer at once, the other writes down every result on the way.",
        FIGURES, CURVE, CAPTIONS, follow,
    ),
    "addition": Recipe(
        arithmetic, addition_settings, "Adding numbers",
        "Two GPTs learn to add numbers of up to four digits: one says the sum at once, the other "
        "writes down every digit's sum and carry first, as in school.",
        FIGURES, CURVE, CAPTIONS, follow,
    ),
}  # fmt: skip
