"""Recipes of the encoder-decoder: words backwards, words in order, dates in figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, cast

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import CharTokenizer, TensorDataset
from minigen.models import sampling
from minigen.models.attention_weights import watch_attention
from minigen.models.beam_search import beam_search, greedy_search
from minigen.models.encoder_decoder import (
    EncoderDecoder,
    EncoderDecoderConfig,
    label_smoothed_loss,
)
from minigen.models.sampling import Sampling
from minigen.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import batches
from minigen.training.recipes.questions import (
    BEGIN,
    END,
    START,
    STOP,
    drawn,
    read_answers,
    rows,
    tensor,
    tokenizer_of,
)
from minigen.viz.attention import AttentionMap, Look


def encoder_decoder(settings: Settings) -> Job:
    """Learn to answer with Adam, label smoothing and Noam's schedule (Vaswani et al., section 5).

    Answers are given with a running mean of the weights, as the paper averages its last checkpoints
    (section 6.1): the schedule ends at a rate that leaves them trembling. What is measured is the
    share of held-out questions whose whole answer is right."""
    options = settings.options
    task, lengths = options["task"], tuple(options["lengths"])
    tokenizer = tokenizer_of(task)
    model = EncoderDecoder(EncoderDecoderConfig(**settings.model)).to(settings.device)
    optimizer = optim.Adam(
        model.parameters(), lr=settings.lr, betas=tuple(options["betas"]), eps=1e-9
    )
    schedule = optim.lr_scheduler.noam(optimizer, options["warmup"])
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options["average"]))
    answering = cast(EncoderDecoder, average.module)
    training = drawn(task, options["examples"], lengths, held_out=False)
    test = drawn(task, options["test_examples"], lengths, held_out=True)
    answerer = Answerer(answering, tokenizer, settings)

    def pairs(exercises: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Questions (N, S), and answers between their start and end, (N, T + 1)."""
        questions = rows(tokenizer, [e.question for e in exercises])
        answers = rows(tokenizer, [START + e.answer + END for e in exercises])
        return minigen.from_numpy(questions), minigen.from_numpy(answers)

    def step(batch: Sequence[Tensor]) -> dict[str, Tensor]:
        source, target = batch  # (N, S), (N, T + 1)
        logits = model(source, target[:, :-1])  # (N, T, V)
        loss = label_smoothed_loss(logits, target[:, 1:], options["smoothing"])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        return {"loss": loss}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        some = test if thorough else test[:200]
        source, target = (ids.to(settings.device) for ids in pairs(some))
        with sampling.evaluating(answering):
            logits = answering(source, target[:, :-1])
            loss = label_smoothed_loss(logits, target[:, 1:], 0.0)
        metrics = {"test_loss": float(loss), "exact": answerer.score(some, beams=1)}
        if thorough:
            metrics |= {"exact_beam": answerer.score(some, options["beams"]), "tested": len(some)}
        return metrics

    return Job(
        settings,
        modules={settings.recipe: model, "average": average},
        optimizers={"adam": optimizer},
        schedules={"noam": schedule},
        loader=batches(settings, TensorDataset(*pairs(training))),
        step=step,
        evaluate=evaluate,
        best="test_loss",
        write=answerer.write,
        look=answerer.look,
        prompt="\n".join(e.question for e in test[:12]),
        temperature=0.0,
    )


class Answerer:
    """A model that is asked in text."""

    def __init__(self, model: EncoderDecoder, tokenizer: CharTokenizer, settings: Settings) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.alpha = settings.options["length_penalty"]

    def answers(
        self,
        questions: Sequence[str],
        beams: int,
        how: Sampling | None = None,
        generator: Any = None,
    ) -> list[str]:
        """The likeliest answers by greedy search, or by a search with several beams; or answers
        that are drawn as `how` says."""
        source = tensor(rows(self.tokenizer, questions), self.settings.device)
        start = minigen.full_like(source[:, :1], BEGIN)
        count = max(source.shape[1], 10) + 1  # no answer is longer than its question, or a date
        reader = self.model.reader(source)
        if how is not None and how.temperature > 0:
            ids = sampling.generate(reader, start, count, how, generator)[:, 1:]
        elif beams > 1:
            ids, _ = beam_search(reader, start, STOP, count, beams, self.alpha)
        else:
            ids = greedy_search(reader, start, STOP, count)
        return read_answers(self.tokenizer, ids)

    def score(self, exercises: Sequence[Any], beams: int) -> float:
        """How many in a hundred are answered exactly."""
        answers = self.answers([e.question for e in exercises], beams)
        right = sum(a == e.answer for a, e in zip(answers, exercises, strict=True))
        return 100 * right / len(exercises)

    def write(
        self, prompt: str, count: int, how: Sampling, generator: Generator, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """The answer to a question, or, if there are several, line by line with theirs.

        At temperature 0 it is found by a beam search. Raises ValueError if a question is empty or
        has a character that the model does not know.
        """
        questions = prompt.splitlines()
        if not all(questions) or not questions:
            raise ValueError("a question must have at least one character")
        answers = self.answers(questions, self.settings.options["beams"], how, generator)
        if len(questions) == 1:
            return iter([f" -> {answers[0]}"])
        return (f"\n{question} -> {answer}" for question, answer in zip(questions, answers))

    def look(self, prompt: str, count: int, how: Sampling, generator: Generator) -> Look:
        """What the model looks at while it answers, and how likely it finds what it writes."""
        (answer,) = self.answers([prompt], self.settings.options["beams"], how, generator)
        written = [*answer, END]
        source = tensor(rows(self.tokenizer, [prompt]), self.settings.device)
        target = tensor(rows(self.tokenizer, [START + answer]), self.settings.device)
        with sampling.evaluating(self.model), watch_attention(self.model) as weights:
            logits = self.model(source, target)  # (1, T, V)
        maps = []
        for name, (array,) in weights.items():
            stack, layer, kind = name.split(".")
            title, looking, at = {
                "encoder self_attn": ("the question at itself", prompt, prompt),
                "decoder self_attn": ("what is written next, at what is", written, START + answer),
                "decoder cross_attn": ("what is written next, at the question", written, prompt),
            }[f"{stack} {kind}"]
            maps.append(
                AttentionMap(f"{stack}, layer {int(layer) + 1}: {title}", array[0], looking, at)
            )
        probabilities = logits.softmax(-1)[0].cpu().numpy()
        return Look(prompt, maps, written, self.tokenizer.symbols, probabilities)


def reverse_settings(fast: bool) -> Settings:
    return _settings("reverse", fast, steps=1500, lengths=[3, 12])


def sort_settings(fast: bool) -> Settings:
    return _settings("sort", fast, steps=2000, lengths=[3, 12])


def dates_settings(fast: bool) -> Settings:
    return _settings("dates", fast, steps=1500, lengths=[1, 1])


def _settings(task: str, fast: bool, steps: int, lengths: list[int]) -> Settings:
    size: dict[str, Any] = {"layers": 1, "width": 32, "hidden": 64} if fast else {}
    config = EncoderDecoderConfig(vocabulary=len(tokenizer_of(task)), **size)
    return Settings(
        recipe=task,
        steps=60 if fast else steps,
        batch_size=64,
        lr=4e-3,
        log_every=10 if fast else 50,
        save_every=30 if fast else 250,
        model=dataclasses.asdict(config),
        options={
            "task": task,
            "lengths": lengths,
            "examples": 2000 if fast else 50_000,
            "test_examples": 100 if fast else 1000,
            "betas": [0.9, 0.98],
            "smoothing": 0.1,
            "average": 0.9 if fast else 0.99,
            "warmup": 300,
            "clip": 1.0,
            "beams": 4,
            "length_penalty": 0.6,
        },
    )


CURVE = LossCurve(
    "nats a character",
    "Loss over the steps. That of training has label smoothing in it, and cannot fall to 0.",
    losses=(("loss", "training"),),
    measured=(("test_loss", "unseen questions, without smoothing"),),
)
CAPTIONS = {"text": "Questions it was not trained on, and its answers by beam search, not selected"}


def _figures(torch: float | None) -> tuple[Figure, ...]:
    return (
        Figure(
            "exact",
            "unseen questions answered exactly",
            "Every character right, the likeliest written each time. Higher is better.",
            unit="%",
            beside="exact_beam",
            against="by a beam search of 4",
            torch=torch,
            goal=None if torch is None else "torch",
            slack=1.0,
            higher=True,
            count="tested",
        ),
        Figure(
            "test_loss",
            "loss on unseen questions",
            "How surprising it finds the right answers. Lower is better.",
            unit="nats/character",
            digits=4,
        ),
    )


def _recipe(settings: Any, title: str, lead: str, torch: float | None = None) -> Recipe:
    return Recipe(encoder_decoder, settings, title, lead, _figures(torch), CURVE, CAPTIONS)


RECIPES = {
    "reverse": _recipe(
        reverse_settings,
        "Encoder-decoder: words backwards",
        "It reads a word of up to twelve letters and writes it from its end. Where it looks while "
        "it writes shows in its attention.",
    ),
    "sort": _recipe(
        sort_settings,
        "Encoder-decoder: letters in order",
        "It reads up to twelve letters and writes them in the order of the alphabet.",
    ),
    "dates": _recipe(
        dates_settings,
        "Encoder-decoder: dates",
        "It reads a date as people write it, in one of six ways, and writes it as computers do.",
    ),
}
