"""`minigen compare RUN RUN ...`: what differs between runs, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from minigen.cli.report import machine_facts
from minigen.training import Run, RunError
from minigen.training.recipe import Figure
from minigen.training.recipes import RECIPES
from minigen.training.run import free_path
from minigen.viz.curves import MOST, Curve, curves
from minigen.viz.report import Grid, Picture, Section, write_report

UNTOLD = ("device", "read_every", "log_every", "save_every")  # settings that change no weight


def compare_runs(paths: Sequence[Path], out: Path | None) -> None:
    """Print a table of the runs side by side, and write it with their curves to a page.

    Raises RunError for fewer than two runs, more than the curves have colours for, the same folder
    twice, or a run that has measured nothing yet.
    """
    if not 2 <= len(paths) <= MOST:
        raise RunError(f"compare takes 2 to {MOST} runs, got {len(paths)}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise RunError("the same run is named twice")
    if out is not None and out.exists():
        raise RunError(f"{out} exists; nothing was written. Choose another --out")
    runs = [Run.open(path) for path in paths]
    logs = [run.records() for run in runs]
    for run, log in zip(runs, logs):
        if not any("metrics" in record for record in log):
            raise RunError(f"{run.path} has measured nothing yet")
    names = labels(paths)
    settings, results = differences(runs), outcomes(runs, logs)
    console = Console(markup=False)
    for title, rows in (("settings that differ", settings), ("results", results)):
        if rows:
            table = Table("", *names, title=title, title_justify="left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
    page = free_path(Path("comparison"), ".html") if out is None else out
    sections = [
        Section("Settings that differ", "All others are equal.", grid=Grid(names, settings)),
        Section(
            "Results",
            "At the last evaluation of each run.",
            grid=Grid(names, results),
            pictures=overlaid(names, logs),
        ),
    ]
    write_report(
        page,
        title="minigen: runs compared",
        lead=", ".join(names),
        sections=sections if settings else sections[1:],
        facts=machine_facts(),
    )
    print(page)


def labels(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with as much of the path before them as tells them apart.

    >>> labels([Path("a/vae"), Path("b/vae"), Path("b/gan")])
    ['a/vae', 'b/vae', 'b/gan']
    """
    parts = [path.resolve().parts for path in paths]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(parts):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]


def differences(runs: Sequence[Run]) -> list[list[str]]:
    """A row for each setting that the runs do not share: its name, then its value in each."""
    flat = [_flat(run.settings.to_dict()) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = []
    for name in names:
        values = [str(settings.get(name, "")) for settings in flat]
        if len(set(values)) > 1 and name not in UNTOLD:
            rows.append([name, *values])
    return rows


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`model` and `options` opened up; nested values such as a tokenizer's table left out."""
    found = {k: v for k, v in settings.items() if k not in ("model", "options")}
    for part in (settings["model"], settings["options"]):
        found |= {k: v for k, v in part.items() if not isinstance(v, Mapping)}
    return found


def outcomes(runs: Sequence[Run], logs: Sequence[list[dict[str, Any]]]) -> list[list[str]]:
    """A row for each figure that any of the runs has, the best marked; then steps and time."""
    final = [[r for r in log if "metrics" in r][-1] for log in logs]
    metrics = [record["metrics"] for record in final]
    known = {f.key: f for run in runs for f in RECIPES[run.settings.recipe].figures}
    rows = []
    for key, figure in known.items():
        values = [found.get(key) for found in metrics]
        if any(value is not None for value in values):
            rows.append([_named(figure), *_marked(values, figure)])
    rows.append(["step", *(f"{record['step']:,}" for record in final)])
    pace = [1000 * record["seconds"] / record["step"] for record in final]
    rows.append(["ms a step, evaluations included", *(f"{each:.1f}" for each in pace)])
    return rows


def _named(figure: Figure) -> str:
    return f"{figure.label} ({figure.unit})" if figure.unit else figure.label


def _marked(values: Sequence[float | None], figure: Figure) -> list[str]:
    best: Callable[..., float] = max if figure.higher else min
    winner = best(value for value in values if value is not None)
    contested = len({value for value in values if value is not None}) > 1
    return [
        ""
        if value is None
        else f"{value:,.{figure.digits}f}{' *' if contested and value == winner else ''}"
        for value in values
    ]


def overlaid(names: Sequence[str], logs: Sequence[list[dict[str, Any]]]) -> list[Picture]:
    """A picture for each loss and each metric that two runs or more have: a curve for each run."""
    pictures = []
    losses = [[r for r in log if "metrics" not in r] for log in logs]
    metrics = [[{"step": r["step"], **r["metrics"]} for r in log if "metrics" in r] for log in logs]
    for kind, marker in ((losses, False), (metrics, True)):
        for key in dict.fromkeys(key for log in kind for record in log for key in record):
            lines = [
                Curve(name, [step for step, _ in found], [y for _, y in found], marker)
                for name, log in zip(names, kind)
                if (found := [(r["step"], r[key]) for r in log if key in r])
            ]
            told = not (key in ("step", "seconds") or key.startswith("lr"))
            constant = len({y for line in lines for y in line.y}) == 1
            points = any(len(line.x) > 1 for line in lines)  # else there is no curve in it
            if told and len(lines) > 1 and points and not constant:
                draw = partial(curves, lines, ylabel=key)
                pictures.append(
                    Picture(draw(theme="light"), f"{key} over the steps", draw(theme="dark"))
                )
    return pictures
