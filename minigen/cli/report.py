"""What a report says of a run: which figures, which pictures, and what to compare them with."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minigen.cli.info import blas, cores, installed, processor
from minigen.training import Run
from minigen.training.progress import duration
from minigen.version import __version__
from minigen.viz.curves import Curve, curves
from minigen.viz.report import Picture, Row, Section, write_report

TITLES = {
    "vae": "Variational autoencoder",
    "conv_vae": "Convolutional variational autoencoder",
    "gan": "Generative adversarial network",
    "dcgan": "Deep convolutional generative adversarial network",
    "wgan_gp": "Wasserstein generative adversarial network",
    "gpt": "Transformer",
    "lstm": "Recurrent network",
}
FAMILIES = {
    "vae": "vae", "conv_vae": "vae", "gan": "gan", "dcgan": "gan", "wgan_gp": "gan",
    "gpt": "language", "lstm": "language",
}  # fmt: skip
LEADS = {
    "vae": "It squeezes each handwritten digit into 20 numbers and draws it again from them. "
    "Drawing from random numbers instead makes new digits.",
    "gan": "A generator turns noise into digits; a discriminator learns to tell them from real "
    "ones; each gets better against the other.",
    "language": "It reads 64 characters of Shakespeare and predicts the next one. Writing is "
    "predicting, over and over.",
}


@dataclass(frozen=True)
class Metric:
    """How a metric is told. reference: a key of the metrics, or a measured number with a name, or
    None where there is nothing to compare with.

    contest: whether a value of at most the reference and `slack` is a success. also: a second
    reference, in words. count: the key of how many samples it was measured on.
    """

    key: str
    label: str
    unit: str
    reference: str | float | None
    against: str
    note: str
    contest: bool = True
    slack: float = 0.0
    also: str = ""
    count: str = ""


# PyTorch after the same steps of the same models on the same data, means of three seeds
# (benchmarks/results); those of the GAN lie between 195 and 251.
VAE_TORCH = 112.4
FRECHET = "Fréchet distance of samples"
FRECHET_TORCH = {"vae": 252.0, "gan": 231.8}


def _elbo(recipe: str) -> Metric:
    known = recipe == "vae"
    return Metric(
        "test_loss", "negative ELBO on test digits", "nats", VAE_TORCH if known else None,
        "PyTorch, same model and steps",
        "How many nats it takes at most to describe an unseen image. Lower is better.",
        contest=known,
        slack=0.5,
    )  # fmt: skip


def _frechet(recipe: str) -> Metric:
    known = recipe in FRECHET_TORCH
    return Metric(
        "frechet", FRECHET, "", "frechet_floor", "held-out real digits",
        "To the training digits, in the features of minigen's digit classifier; other networks "
        "give other figures. Lower is closer.",
        contest=False,
        also=f"{FRECHET_TORCH[recipe]} (PyTorch, same model and steps)" if known else "",
        count="frechet_n",
    )  # fmt: skip


_UNSEEN_TEXT = Metric(
    "validation_loss", "loss on unseen text", "nats/character", "ngram_loss",
    "best n-gram model, by counting",
    "How surprising it finds the last tenth of the plays. Lower is better.",
)  # fmt: skip
METRICS: dict[str, tuple[Metric, ...]] = {
    **{name: (_elbo(name), _frechet(name)) for name in ("vae", "conv_vae")},
    **{name: (_frechet(name),) for name in ("gan", "dcgan", "wgan_gp")},
    **dict.fromkeys(("gpt", "lstm"), (_UNSEEN_TEXT,)),
}


def metric_rows(recipe: str, metrics: Mapping[str, float]) -> list[Row]:
    """The measured figures of a run beside their references."""
    rows = []
    for m in METRICS[recipe]:
        value = metrics[m.key]
        reference = metrics[m.reference] if isinstance(m.reference, str) else m.reference
        digits = 3 if m.key == "validation_loss" else 1
        compared = [] if reference is None else [f"{reference:.{digits}f} ({m.against})"]
        samples = f"(n = {metrics[m.count]:,})" if m.count in metrics else ""
        rows.append(
            Row(
                m.label,
                " ".join(filter(None, [f"{value:.{digits}f}", m.unit, samples])),
                "; ".join([*compared, *filter(None, [m.also])]),
                m.note,
                value <= reference + m.slack if m.contest and reference is not None else None,
            )
        )
    return rows


def run_section(run: Run, parameters: int) -> Section:
    """A finished run as a section of a report, from what is in its folder."""
    settings, records = run.settings, run.records()
    final = [r["metrics"] for r in records if "metrics" in r][-1]
    seconds = records[-1]["seconds"]
    samples = run.path / "samples"
    pictures = [_curves(settings.recipe, records, final)]
    text = ""
    grid = samples / f"step-{settings.steps:06d}.png"
    if grid.exists():
        pictures.append(Picture(grid.read_bytes(), "64 samples, not selected", pixels=True))
    strip = samples / "reconstructions.png"
    if strip.exists():
        caption = "Digits of the test set, and below each what 20 numbers keep of it"
        pictures.append(Picture(strip.read_bytes(), caption, pixels=True))
    written = grid.with_suffix(".txt")
    if written.exists():
        text = written.read_text(encoding="utf-8").rstrip()
    return Section(
        title=TITLES[settings.recipe],
        lead=LEADS[FAMILIES[settings.recipe]],
        rows=metric_rows(settings.recipe, final),
        pictures=pictures,
        text=text,
        text_caption="Written at temperature 0.8, not selected",
        facts={
            "parameters": f"{parameters:,}",
            "training": f"{settings.steps:,} steps of {settings.batch_size} in {duration(seconds)} "
            f"({seconds / settings.steps * 1000:.1f} ms a step, evaluations included)",
            "learning rate": f"{settings.lr:g}",
            "seed": str(settings.seed),
        },
    )


def _curves(recipe: str, records: list[dict[str, Any]], final: Mapping[str, float]) -> Picture:
    """The losses over the steps, for light and dark pages."""
    losses = [r for r in records if "metrics" not in r]
    tests = [r for r in records if "metrics" in r]

    def of(key: str, label: str) -> Curve:
        return Curve(label, [r["step"] for r in losses], [r[key] for r in losses])

    def measured(key: str, label: str) -> Curve:
        steps = [r["step"] for r in tests]
        return Curve(label, steps, [r["metrics"][key] for r in tests], marker=True)

    family = FAMILIES[recipe]
    if family == "vae":
        draw = partial(
            curves,
            [of("loss", "training"), measured("test_loss", "test")],
            ylabel="negative ELBO (nats)",
            level=(f"PyTorch {VAE_TORCH}", VAE_TORCH) if recipe == "vae" else None,
        )
        caption = "Negative ELBO over the steps"
    elif family == "gan":
        names = [n for n in losses[0] if n not in ("step", "seconds") and not n.startswith("lr")]
        series = [of(name, name) for name in names]
        draw = partial(curves, series, ylabel="loss (nats)")
        caption = "Losses over the steps: in a contest, neither has to fall"
    else:
        draw = partial(
            curves,
            [of("loss", "training"), measured("validation_loss", "unseen text")],
            ylabel="nats a character",
            level=(f"best n-gram {final['ngram_loss']:.3f}", final["ngram_loss"]),
        )
        caption = "Loss over the steps"
    return Picture(draw(theme="light"), caption, draw(theme="dark"))


def write_run_report(run: Run, parameters: int) -> Path:
    """The report of one run, in its folder."""
    path = run.path / "report.html"
    section = run_section(run, parameters)
    write_report(
        path,
        title=f"minigen: {section.title}",
        lead=f"Trained for {run.settings.steps:,} steps in the run folder {run.path.name}.",
        sections=[section],
        facts=machine_facts(),
    )
    return path


def machine_facts() -> dict[str, str]:
    """Versions and machine, for the end of a report."""
    return {
        "minigen": __version__,
        "Python": platform.python_version(),
        "NumPy": f"{installed('numpy')}, {blas()}",
        "Numba": installed("numba"),
        "processor": f"{processor()}, {cores()} cores for this process",
        "system": f"{platform.system()} {platform.machine()}",
    }
