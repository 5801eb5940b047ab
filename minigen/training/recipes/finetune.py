"""The recipe of fine-tuning: a GPT learns the plays ("pre-training"), then another kind of text,
and while it learns the new it is measured how much of the old it forgets.

| adapt  | what is trained on the new text                                              |
| ------ | ---------------------------------------------------------------------------- |
| full   | all weights: J. Howard and S. Ruder, 2018 (arXiv:1801.06146), and GPT        |
| frozen | the last block and the last layer norm; the body stays                       |
| lora   | a low-rank change beside each matrix; see `minigen.models.lora`              |

Which step is of which phase follows from the schedule's count, so that a run resumes in either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import minigen
from minigen import Generator, Tensor, nn, optim
from minigen.data import CharTokenizer
from minigen.models.lora import add_lora
from minigen.models.sampling import Sampling, write_text
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.training.job import Job, Settings
from minigen.training.recipe import Figure, LossCurve, Recipe
from minigen.training.recipes.loading import batches
from minigen.training.recipes.manuals import TextPairs, checksum, gather_pairs, new_text
from minigen.training.recipes.text import cut, plays
from minigen.training.run import Run, RunError

ADAPTATIONS = ("full", "frozen", "lora")
MATRICES = ("c_attn", "c_proj", "c_fc")  # those that LoRA changes: all of a block
WARMUP, LOWEST = 50, 0.1


class Before(nn.Module):
    """The losses on unseen old and new text when fine-tuning began: part of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("losses", minigen.zeros(2))


def finetune(settings: Settings) -> Job:
    """AdamW in both phases, each with a warm-up and a cosine of its own."""
    options, context = settings.options, settings.model["context"]
    model, trained = adapted_gpt(settings)
    before = Before()
    optimizer = optim.AdamW(
        model.parameter_groups(options["weight_decay"]), settings.lr, tuple(options["betas"])
    )
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda t: rate(t, settings))
    tokenizer = CharTokenizer.from_dict(options["tokenizer"])
    old, new = plays(options["characters"]), new_text(options, tokenizer.symbols)
    unseen = {  # (M, T + 1) each
        name: minigen.from_numpy(cut(tokenizer.encode(text), context)).to(settings.device)
        for name, (_, text) in {"old_loss": old, "new_loss": new}.items()
    }

    def step(batch: Tensor) -> dict[str, Tensor]:
        tuning = schedule.last_epoch >= options["pretraining"]
        if schedule.last_epoch == options["pretraining"]:
            before.losses.copy_(minigen.tensor(list(evaluate(False).values())))
        choose(model, trained if tuning else None)
        ids = batch[:, int(tuning)]  # (N, 2, T + 1) -> (N, T + 1)
        loss = next_token_loss(model(ids[:, :-1]), ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        learned = [p for p in model.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(learned, options["clip"])
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    @minigen.no_grad()
    def evaluate(thorough: bool) -> dict[str, float]:
        metrics = {name: unseen_loss(model, windows) for name, windows in unseen.items()}
        if thorough:
            old_before, new_before = before.losses.tolist()
            learned = sum(model.get_parameter(name).numel() for name in trained)
            metrics |= {"old_before": old_before, "new_before": new_before, "trained": learned}
        return metrics

    def write(
        prompt: str, count: int, how: Sampling, generator: Generator, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        place = settings.device
        return write_text(model.reader(), tokenizer, prompt, count, how, generator, stop, place)

    pairs = TextPairs(tokenizer.encode(old[0]), tokenizer.encode(new[0]), context + 1)
    return Job(
        settings,
        modules={"gpt": model, "before": before},
        optimizers={"adamw": optimizer},
        schedules={"phases": schedule},
        loader=batches(settings, pairs, gather_pairs),
        step=step,
        evaluate=evaluate,
        best="new_loss",
        write=write,
    )


def adapted_gpt(settings: Settings) -> tuple[GPT, list[str]]:
    """The model, with the base's weights if there is one, and the names of the parameters that are
    trained on the new text.

    Raises ValueError for an unknown way to adapt, or a base that cannot be read or does not fit.
    """
    options = settings.options
    if options["adapt"] not in ADAPTATIONS:
        raise ValueError(f"adapt must be full, frozen or lora, got {options['adapt']!r}")
    model = GPT(GPTConfig(**settings.model))
    if options["base"]:
        load_base(model, Path(options["base"]))
    if options["adapt"] == "full":
        trained = [name for name, _ in model.named_parameters()]
    elif options["adapt"] == "frozen":
        last = f"h.{len(model.h) - 1}."
        trained = [n for n, _ in model.named_parameters() if n.startswith((last, "ln_f."))]
    else:
        add_lora(model, MATRICES, options["rank"], options["alpha"])
        trained = [n for n, _ in model.named_parameters() if ".lora_" in n]
    return model.to(settings.device), trained


def choose(model: GPT, trained: Sequence[str] | None) -> None:
    """Let these parameters be trained, or, for None, those of the plain GPT."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" not in name if trained is None else name in trained)


def rate(t: int, settings: Settings) -> float:
    """The learning rate at step t over the run's: a warm-up and a cosine for each phase."""
    pretraining, horizon = settings.options["pretraining"], settings.options["horizon"]
    if t < pretraining:
        return settings.options["pretraining_lr"] / settings.lr * arch(t, pretraining)
    return arch(t - pretraining, horizon - pretraining)


def arch(t: int, total: int) -> float:
    """Up in a warm-up, then down half a cosine to LOWEST.

    >>> [round(arch(t, 1000), 3) for t in (0, 49, 50, 525, 1000, 2000)]
    [0.02, 0.98, 1.0, 0.55, 0.1, 0.1]
    """
    warmup = min(WARMUP, total // 10)
    if t < warmup:
        return (t + 1) / (warmup + 1)
    done = min(1.0, (t - warmup) / max(1, total - warmup))
    return LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * done)) / 2


def unseen_loss(model: GPT, windows: Tensor, most: int = 512) -> float:
    """Nats a character on at most so many windows, evenly spread: (M, T + 1)."""
    some = windows[:: max(1, len(windows) // most)][:most]
    training = model.training
    model.eval()
    losses = [
        float(next_token_loss(model(part[:, :-1]), part[:, 1:])) * len(part)
        for part in some.split(64)
    ]
    model.train(training)
    return sum(losses) / len(some)


# ------------------------------------------------------------------------------ the base


def open_base(path: Path) -> Run:
    """Raises ValueError if it is no run of a GPT with characters for tokens."""
    try:
        run = Run.open(path)
    except RunError as error:
        raise ValueError(f"base: {error}") from error
    if run.settings.recipe != "gpt":
        raise ValueError(f"base: {path} is a run of {run.settings.recipe}; it must be one of gpt")
    return run


def load_base(model: GPT, path: Path) -> None:
    """Give the model the weights of a run's last checkpoint."""
    try:
        tensors = open_base(path).load("last").tensors
    except RunError as error:
        raise ValueError(f"base: {error}") from error
    prefix = "model.gpt."
    found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    try:
        model.load_state_dict(found)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"base: {path} is another model: {error}") from error


def prepared(settings: Settings) -> Settings:
    """With all that follows from the others: the base's model and tokenizer, where pre-training
    ends, and what the new text was, so that a run is never continued on another one."""
    options = dict(settings.options)
    model = settings.model
    if options["base"]:
        base = Path(options["base"]).resolve()
        run = open_base(base)
        model = run.settings.model
        options |= {"base": str(base), "tokenizer": run.settings.options["tokenizer"]}
    share = 0.0 if options["base"] else options["pretraining_share"]
    options |= {"pretraining": round(share * settings.steps), "horizon": settings.steps}
    if options["data"]:
        options["data"] = str(Path(options["data"]).resolve())
    options["checksum"] = checksum(options["data"])
    return dataclasses.replace(settings, model=model, options=options)


def finetune_settings(fast: bool) -> Settings:
    size: dict[str, Any] = {"context": 32, "layers": 2, "heads": 2, "width": 32} if fast else {}
    characters = 60_000 if fast else None
    tokenizer = CharTokenizer("".join(plays(characters)))
    return Settings(
        recipe="finetune",
        steps=60 if fast else 1400,
        batch_size=16,
        lr=1e-3,
        log_every=10 if fast else 50,
        save_every=20 if fast else 100,
        model=dataclasses.asdict(GPTConfig(vocabulary=len(tokenizer), **size)),
        options={
            "base": "",  # a run of gpt; without one, pre-training comes first
            "adapt": "full",
            "data": "",  # a text file; without one, Python's manual
            "rank": 8,
            "alpha": 16.0,
            "pretraining_share": 0.7,  # of the steps
            "pretraining_lr": 4e-3,
            "betas": [0.9, 0.99],
            "weight_decay": 0.1,
            "clip": 1.0,
            "characters": characters,
            "tokenizer": tokenizer.to_dict(),
        },
    )


FIGURES = (
    Figure(
        "new_loss",
        "loss on unseen new text",
        "What fine-tuning was for. Lower is better.",
        unit="nats/character",
        beside="new_before",
        against="before fine-tuning",
        goal="beside",
        digits=3,
    ),
    Figure(
        "old_loss",
        "loss on unseen old text",
        "What it cost: how much of the plays was forgotten.",
        unit="nats/character",
        beside="old_before",
        against="before fine-tuning",
        digits=3,
    ),
    Figure(
        "trained",
        "numbers that fine-tuning changed",
        "All of the model's, or a few: full, frozen or lora.",
        digits=0,
    ),
)
RECIPES = {
    "finetune": Recipe(
        finetune,
        finetune_settings,
        "Fine-tuning",
        "A Transformer learns Shakespeare's plays, then Python's manual or a text of yours. How "
        "much of the old does it forget while it learns the new?",
        FIGURES,
        LossCurve(
            "nats a character",
            "Pre-training, then fine-tuning: what is learned and what is forgotten",
            losses=(("loss", "training"),),
            measured=(("old_loss", "unseen old text"), ("new_loss", "unseen new text")),
            level=("old text, before fine-tuning", "old_before"),
        ),
        follow=prepared,
    )
}
