"""The recipe of the masked language model: characters of plays, with gaps to be filled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import CharTokenizer
from minigen.models.bert import Bert, BertConfig
from minigen.models.masked_language import fill, hide, masked_logits, masked_loss
from minigen.models.sampling import Sampling
from minigen.nn import functional as F
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.gaps import count_gaps
from minigen.training.recipes.loading import EVALUATION_SEED, batches
from minigen.training.recipes.probes import probe_swaps
from minigen.training.recipes.text import Windows, cut, gather, plays

GAP = "_"  # how a gap is written in a prompt; the plays have no such character


def bert(settings: Settings) -> Job:
    """Fill gaps in Shakespeare, with AdamW, warm-up and a cosine."""
    options, config = settings.options, BertConfig(**settings.model)
    model = Bert(config).to(settings.device)
    optimizer = optim.AdamW(
        model.parameter_groups(options["weight_decay"]),
        lr=settings.lr,
        betas=tuple(options["betas"]),
    )
    schedule = optim.lr_scheduler.cosine_with_warmup(
        optimizer,
        warmup_steps=options["warmup"],
        total_steps=options["horizon"],
        min_ratio=options["lowest_lr"],
    )
    tokenizer = CharTokenizer.from_dict(options["tokenizer"])
    mask_id = len(tokenizer)  # the id after those of the characters
    training, unseen = plays(options["characters"])
    windows = minigen.from_numpy(cut(tokenizer.encode(unseen), config.context)[:, :-1])  # (M, T)
    windows = windows.to(settings.device)

    def step(batch: Tensor) -> dict[str, Tensor]:
        shown, chosen = hide(batch, mask_id, mask_id)
        loss = masked_loss(model, batch, shown, chosen)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    def evaluate(thorough: bool) -> dict[str, float]:
        some = windows if thorough else windows[:: max(1, len(windows) // 256)]
        metrics = judge_gaps(model, some, mask_id)
        if thorough:
            metrics |= count_gaps(options["characters"])
            metrics |= probe_swaps(model, tokenizer, options["characters"])
        return metrics

    def write(
        prompt: str, count: int, how: Sampling, generator: Generator, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        ids = encode_gaps(prompt, tokenizer, mask_id, config.context).to(settings.device)
        yield "\n" + tokenizer.decode(fill(model, ids, mask_id, how, generator).cpu())

    return Job(
        settings,
        modules={"bert": model},
        optimizers={"adamw": optimizer},
        schedules={"cosine": schedule},
        loader=batches(settings, Windows(tokenizer.encode(training), config.context), gather),
        step=step,
        evaluate=evaluate,
        best="masked_loss",
        write=write,
        prompt=with_gaps(unseen[: config.context]),
    )


@minigen.no_grad()
def judge_gaps(model: Bert, windows: Tensor, mask_id: int) -> dict[str, float]:
    """Loss and share of right guesses on text (M, T), the same tokens of it hidden each time."""
    generator = Generator().manual_seed(EVALUATION_SEED)
    training = model.training
    model.eval()
    loss, right, asked = 0.0, 0, 0
    for part in windows.split(64):
        shown, chosen = hide(part, mask_id, mask_id, generator=generator)
        logits, wanted = masked_logits(model, shown, chosen), part[chosen]  # (G, V), (G,)
        loss += float(F.cross_entropy(logits, wanted, reduction="sum"))
        right += int((logits.argmax(dim=-1) == wanted).sum())
        asked += len(wanted)
    model.train(training)
    return {"masked_loss": loss / asked, "masked_accuracy": 100 * right / asked}


def with_gaps(text: str) -> str:
    """Every seventh character of a text hidden, from the fourth on, line breaks excepted.

    >>> with_gaps("To be, or not to be")
    'To _e, or _ot to _e'
    """
    return "".join(GAP if i % 7 == 3 and c != "\n" else c for i, c in enumerate(text))


def encode_gaps(text: str, tokenizer: CharTokenizer, mask_id: int, context: int) -> Tensor:
    """The ids of a text, `mask_id` where it has a gap: int64 (T,).

    Raises ValueError for a text that is longer than the context or has an unknown character.
    """
    if len(text) > context:
        raise ValueError(f"{len(text)} characters do not fit into a context of {context}")
    ids = tokenizer.encode(text.replace(GAP, tokenizer.symbols[0]))
    for place, character in enumerate(text):
        if character == GAP:
            ids[place] = mask_id
    return minigen.from_numpy(ids)


def bert_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"context": 32, "layers": 2, "heads": 2, "width": 32, "hidden": 64}
    full: dict[str, Any] = {"context": 64, "layers": 4, "heads": 4, "width": 128, "hidden": 512}
    characters = 60_000 if fast else None
    training, unseen = plays(characters)
    tokenizer = CharTokenizer(training + unseen)
    config = BertConfig(
        vocabulary=len(tokenizer) + 1,  # and the gap
        segments=1,
        dropout=0.0,
        pooler=False,
        masked_language_model=True,
        deviation=0.09,
        sinusoids=True,
        **(size if fast else full),
    )
    return Settings(
        recipe="bert",
        steps=60 if fast else 2200,
        batch_size=16,
        lr=2e-3,
        log_every=10 if fast else 50,
        save_every=30 if fast else 500,
        model=dataclasses.asdict(config),
        options={
            "betas": [0.9, 0.99],
            "weight_decay": 0.1,
            "clip": 1.0,
            "lowest_lr": 0.1,
            "characters": characters,
            "tokenizer": tokenizer.to_dict(),
        },
    )


def scheduled(settings: Settings) -> Settings:
    """With the learning rate's schedule cut to the number of steps."""
    schedule = {"warmup": min(200, settings.steps // 10), "horizon": settings.steps}
    return dataclasses.replace(settings, options={**settings.options, **schedule})


FIGURES = (
    Figure(
        "masked_loss",
        "loss on gaps in unseen text",
        "How surprising it finds the hidden characters. Lower is better.",
        unit="nats/character",
        beside="gap_loss",
        against="counting what stands between two characters",
        goal="beside",
        digits=3,
    ),
    Figure(
        "masked_accuracy",
        "gaps filled rightly",
        "How often its first guess is the character that was there.",
        unit="%",
        beside="gap_accuracy",
        against="counting what stands between two characters",
        goal="beside",
        higher=True,
    ),
    Figure(
        "probe",
        "scrambled text told from sound text by a linear probe",
        "Letters of unseen text change places; a straight line through the frozen model's states "
        "says whether. Counting characters cannot: they are the same.",
        unit="%",
        beside="probe_untrained",
        against="the same probe on an untrained model",
        goal="beside",
        higher=True,
    ),
)
RECIPES = {
    "bert": Recipe(
        bert,
        bert_settings,
        "Masked language model",
        "It reads 64 characters of Shakespeare with gaps and says what belongs into them, from "
        "what stands on both sides. In a prompt, a gap is written _.",
        FIGURES,
        LossCurve(
            "nats a hidden character",
            "Loss over the steps",
            losses=(("loss", "training"),),
            measured=(("masked_loss", "unseen text"),),
            level=("counting", "gap_loss"),
        ),
        captions={"text": "Unseen text, every seventh character hidden, as it filled it"},
        follow=scheduled,
    )
}
