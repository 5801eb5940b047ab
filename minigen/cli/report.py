"""What a report says of a run: which figures, which pictures, and what to compare them with."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from minigen.cli.info import blas, cores, installed, processor
from minigen.training import Run, Settings
from minigen.training.progress import duration
from minigen.training.recipe import LossCurve, Recipe
from minigen.training.recipes import RECIPES
from minigen.version import __version__
from minigen.viz.curves import Curve, curves
from minigen.viz.report import Picture, Row, Section, write_report


def metric_rows(settings: Settings, metrics: Mapping[str, float]) -> list[Row]:
    """The measured figures of a run beside their references.

    Those that its settings leave out are not there; PyTorch's are of the recipe's own settings, and
    shown beside those of the same alone.
    """
    recipe = RECIPES[settings.recipe]
    usual = recipe.usual(settings)
    rows = []
    for figure in recipe.figures:
        if figure.key not in metrics:
            continue
        if not usual:
            figure = figure.without_torch()

        def told(value: float, digits: int = figure.digits) -> str:
            return f"{value:,.{digits}f}"

        against = []
        if figure.torch is not None:
            against.append(f"{told(figure.torch)} (PyTorch, same model and steps)")
        if figure.beside in metrics:
            against.append(f"{told(metrics[figure.beside])} ({figure.against})")
        samples = f"(n = {metrics[figure.count]:,})" if figure.count in metrics else ""
        value = " ".join(filter(None, [told(metrics[figure.key]), figure.unit, samples]))
        reached = figure.reached(metrics)
        rows.append(Row(figure.label, value, "; ".join(against), figure.note, reached))
    return rows


def final_metrics(run: Run) -> dict[str, float]:
    """What was measured of the finished model."""
    return [r["metrics"] for r in run.records() if "metrics" in r][-1]


def run_section(run: Run, parameters: int) -> Section:
    """A finished run as a section of a report, from what is in its folder."""
    settings, records, recipe = run.settings, run.records(), RECIPES[run.settings.recipe]
    final = final_metrics(run)
    seconds = records[-1]["seconds"]
    written = run.path / "samples" / f"step-{settings.steps:06d}.txt"
    return Section(
        title=recipe.title,
        lead=recipe.lead,
        rows=metric_rows(settings, final),
        pictures=[_curves(_comparable(recipe, settings), records, final), *_pictures(run, recipe)],
        text=written.read_text(encoding="utf-8").rstrip() if written.exists() else "",
        text_caption=recipe.captions.get("text", "Written at temperature 0.8, not selected"),
        facts={
            "parameters": f"{parameters:,}",
            "training": f"{settings.steps:,} steps of {settings.batch_size} in {duration(seconds)} "
            f"({seconds / settings.steps * 1000:.1f} ms a step, evaluations included)",
            "learning rate": f"{settings.lr:g}",
            "seed": str(settings.seed),
        },
    )


def _pictures(run: Run, recipe: Recipe) -> list[Picture]:
    """What the model made at the end, then the recipe's other pictures, with their captions."""
    samples = run.path / "samples"
    captions = {"samples": "64 samples, not selected", **recipe.captions}
    files = {samples / f"step-{run.settings.steps:06d}.png": captions.pop("samples")}
    files |= {samples / f"{name}.png": caption for name, caption in captions.items()}
    pictures = []
    for file, caption in files.items():
        night = file.with_stem(f"{file.stem}-dark")
        if night.exists():
            pictures.append(Picture(file.read_bytes(), caption, dark=night.read_bytes()))
        elif file.exists():
            pictures.append(Picture(file.read_bytes(), caption, pixels=True))
    return pictures


def _comparable(recipe: Recipe, settings: Settings) -> LossCurve:
    """The recipe's curve, with a line of PyTorch's only if that was trained with these settings."""
    level = recipe.curve.level
    if level is None or isinstance(level[1], str) or recipe.usual(settings):
        return recipe.curve
    return dataclasses.replace(recipe.curve, level=None)


def _curves(told: LossCurve, records: list[dict[str, Any]], final: Mapping[str, float]) -> Picture:
    """The losses over the steps, for light and dark pages."""
    losses = [r for r in records if "metrics" not in r]
    tests = [r for r in records if "metrics" in r]
    named = [n for n in losses[0] if n not in ("step", "seconds") and not n.startswith("lr")]
    steps = [r["step"] for r in losses]
    series = [
        Curve(label, steps, [r[name] for r in losses])
        for name, label in told.losses or zip(named, named)
        if name in named
    ]
    steps = [r["step"] for r in tests]
    series += [
        Curve(label, steps, [r["metrics"][name] for r in tests], marker=True)
        for name, label in told.measured
    ]
    level = None
    if told.level is not None:
        label, value = told.level
        value = final[value] if isinstance(value, str) else value
        level = (f"{label} {value:.4g}", value)
    draw = partial(curves, series, ylabel=told.ylabel, level=level)
    return Picture(draw(theme="light"), told.caption, draw(theme="dark"))


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
