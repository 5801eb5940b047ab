"""Recipes of the language models."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import BytePairTokenizer, CharTokenizer
from minigen.models.recurrent import RNN, RNNConfig
from minigen.models.sampling import Sampling, write_text
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import batches
from minigen.training.recipes.looking import look_at_text
from minigen.training.recipes.text import Windows, count_ngrams, cut, gather, plays, text_scores
from minigen.viz.attention import Look

Predict = Callable[[Tensor], Tensor]  # tokens (N, T) -> logits of the next ones (N, T, V)


def gpt(settings: Settings) -> Job:
    """A Transformer."""
    model = GPT(GPTConfig(**settings.model))
    return _job(model, model, model.parameter_groups(settings.options["weight_decay"]), settings)


def recurrent(settings: Settings) -> Job:
    """A recurrent network of LSTM or GRU cells, which reads each window from an empty state."""
    model = RNN(RNNConfig(**settings.model))
    return _job(model, lambda ids: model(ids)[0], list(model.parameters()), settings)


def _job(model: Any, predict: Predict, parameters: list, settings: Settings) -> Job:
    """Predict the next character of Shakespeare, with AdamW, warm-up and a cosine."""
    options, context = settings.options, model.config.context
    model.to(settings.device)
    optimizer = optim.AdamW(
        parameters,
        lr=settings.lr,
        betas=tuple(options["betas"]),
        weight_decay=options["weight_decay"],
    )
    schedule = optim.lr_scheduler.cosine_with_warmup(
        optimizer,
        warmup_steps=options["warmup"],
        total_steps=options["horizon"],
        min_ratio=options["lowest_lr"],
    )
    tokenizer = read_tokenizer(options["tokenizer"])
    training, _ = plays(options["characters"])
    windows, characters = unseen_windows(settings)  # (M, T + 1)
    windows = windows.to(settings.device)
    length = characters / windows[:, 1:].numel()  # characters a token: 1 if they are the tokens

    def step(batch: Tensor) -> dict[str, Tensor]:
        loss = next_token_loss(predict(batch[:, :-1]), batch[:, 1:])  # (N, T + 1) -> 2 x (N, T)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss / length}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        some = windows if thorough else windows[:: max(1, len(windows) // 256)]
        model.eval()
        losses = [
            float(next_token_loss(predict(part[:, :-1]), part[:, 1:])) * len(part)
            for part in some.split(64)
        ]
        model.train()
        metrics = {"validation_loss": sum(losses) / len(some) / length}
        if thorough:
            metrics |= count_ngrams(options["characters"])
        return metrics

    def write(
        prompt: str, count: int, how: Sampling, generator: Generator, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        place = settings.device
        return write_text(model.reader(), tokenizer, prompt, count, how, generator, stop, place)

    def look(prompt: str, count: int, how: Sampling, generator: Generator) -> Look:
        written = "".join(write(prompt, count, how, generator))
        return look_at_text(model, tokenizer, prompt, written, settings.device)

    return Job(
        settings,
        modules={settings.recipe: model},
        optimizers={"adamw": optimizer},
        schedules={"cosine": schedule},
        loader=batches(settings, Windows(tokenizer.encode(training), context + 1), gather),
        step=step,
        evaluate=evaluate,
        best="validation_loss",
        write=write,
        look=look if isinstance(model, GPT) else None,
        scores=text_scores(characters),
    )


def read_tokenizer(saved: Mapping[str, Any]) -> CharTokenizer | BytePairTokenizer:
    """The tokenizer that a run's settings describe.  Raises ValueError."""
    kind = BytePairTokenizer if saved.get("tokenizer") == "byte pairs" else CharTokenizer
    return kind.from_dict(saved)


def unseen_windows(settings: Settings) -> tuple[Tensor, int]:
    """The last tenth of the plays, cut into windows (M, T + 1), and how many characters their
    tokens but the first ones have."""
    tokenizer = read_tokenizer(settings.options["tokenizer"])
    _, validation = plays(settings.options["characters"])
    ids = cut(tokenizer.encode(validation), settings.model["context"])
    return minigen.from_numpy(ids), len(tokenizer.decode(ids[:, 1:].reshape(-1)))


def gpt_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"context": 32, "layers": 2, "heads": 2, "width": 32} if fast else {}
    return _settings("gpt", GPTConfig, size, fast, steps=1400, lr=4e-3, weight_decay=0.1)


def bpe_gpt_settings(fast: bool) -> Settings:
    settings = dataclasses.replace(gpt_settings(fast), recipe="bpe_gpt")
    return dataclasses.replace(settings, options={**settings.options, "tokens": 512})


def lstm_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"context": 32, "embedding": 16, "hidden": 32} if fast else {}
    return _settings("lstm", RNNConfig, size, fast, steps=2000, lr=4e-3, weight_decay=0.0)


def gru_settings(fast: bool) -> Settings:
    settings = lstm_settings(fast)
    return dataclasses.replace(settings, recipe="gru", model={**settings.model, "cell": "gru"})


def _settings(
    recipe: str,
    config: Any,
    size: dict[str, Any],
    fast: bool,
    *,
    steps: int,
    lr: float,
    weight_decay: float,
) -> Settings:
    characters = 60_000 if fast else None
    training, validation = plays(characters)
    tokenizer = CharTokenizer(training + validation)
    return Settings(
        recipe=recipe,
        steps=60 if fast else steps,
        batch_size=16,
        lr=lr,
        log_every=10 if fast else 50,
        save_every=30 if fast else 350,
        model=dataclasses.asdict(config(vocabulary=len(tokenizer), **size)),
        options={
            "betas": [0.9, 0.99],
            "weight_decay": weight_decay,
            "clip": 1.0,
            "lowest_lr": 0.1,
            "characters": characters,
            "tokenizer": tokenizer.to_dict(),
        },
    )


def scheduled(settings: Settings) -> Settings:
    """With the learning rate's schedule cut to the number of steps."""
    schedule = {"warmup": min(100, settings.steps // 10), "horizon": settings.steps}
    return dataclasses.replace(settings, options={**settings.options, **schedule})


@functools.cache
def train_byte_pairs(characters: int | None, tokens: int) -> dict[str, Any]:
    """A tokenizer learned from the training text, as a run's settings hold it."""
    training, _ = plays(characters)
    return BytePairTokenizer.train(training, tokens).to_dict()


def scheduled_with_byte_pairs(settings: Settings) -> Settings:
    """With the schedule, and the tokenizer of as many tokens as are asked for.

    Raises ValueError if they are fewer than the 256 bytes.
    """
    options = settings.options
    tokenizer = train_byte_pairs(options["characters"], options["tokens"])
    model = {**settings.model, "vocabulary": len(read_tokenizer(tokenizer))}
    options = {**options, "tokenizer": tokenizer}
    return scheduled(dataclasses.replace(settings, model=model, options=options))


LEAD = (
    "It reads 64 characters of Shakespeare and predicts the next one. Writing is predicting, over "
    "and over."
)
FIGURES = (
    Figure(
        "validation_loss",
        "loss on unseen text",
        "How surprising it finds the last tenth of the plays. Lower is better.",
        unit="nats/character",
        beside="ngram_loss",
        against="best n-gram model, by counting",
        goal="beside",
        digits=3,
    ),
)
CURVE = LossCurve(
    "nats a character",
    "Loss over the steps",
    losses=(("loss", "training"),),
    measured=(("validation_loss", "unseen text"),),
    level=("best n-gram", "ngram_loss"),
)
RECIPES = {
    "gpt": Recipe(gpt, gpt_settings, "Transformer", LEAD, FIGURES, CURVE, follow=scheduled),
    "bpe_gpt": Recipe(
        gpt,
        bpe_gpt_settings,
        "Transformer on byte pairs",
        "It reads 64 tokens of Shakespeare, frequent stretches of characters that it found by "
        "counting pairs, and predicts the next one. All figures are for a character.",
        FIGURES,
        CURVE,
        follow=scheduled_with_byte_pairs,
    ),
    "lstm": Recipe(
        recurrent, lstm_settings, "Recurrent network (LSTM)", LEAD, FIGURES, CURVE, follow=scheduled
    ),
    "gru": Recipe(
        recurrent, gru_settings, "Recurrent network (GRU)", LEAD, FIGURES, CURVE, follow=scheduled
    ),
}
