"""`minigen train`: start a run or go on with one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import minigen.kernels as kernels
from minigen.cli.placing import usable
from minigen.cli.report import final_metrics, metric_rows, write_run_report
from minigen.cli.sample import load_job
from minigen.training import Progress, Run, RunError, for_terminal, train
from minigen.training.progress import duration
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.run import free_path, require_free


def start_training(
    model: str,
    out: Path | None,
    fast: bool,
    changes: Mapping[str, Any],
    own: Mapping[str, Any],
    **how: Any,
) -> None:
    """A new run, in `out` or in the first of runs/MODEL, runs/MODEL-2, ... that is free.

    `own` are settings that only this model has, `changes` those that all have; `how` it is trained
    besides says `minigen.training.train`.
    """
    path = free_path(Path("runs") / model) if out is None else out
    require_free(path)
    try:
        changes = {**changes, "device": usable(changes.get("device") or "cpu")}
        settings = default_settings(model, fast, own, **changes)
        RECIPES[model](settings)  # what cannot be trained shows now, before a folder is made
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    run_to_end(Run.create(path, settings), **how)


def resume_training(
    model: str, path: Path, steps: int | None, device: str | None, **how: Any
) -> None:
    """Go on with a run, to the step it was made for or to a later one, on its device or another."""
    run, _, step = load_job(path, "last", device)  # shows that all is sound, and changes nothing
    if run.settings.recipe != model:
        raise RunError(f"{path} is a run of {run.settings.recipe}, not of {model}")
    if steps is not None and steps != run.settings.steps:
        if steps <= step:
            raise RunError(f"{path} is at step {step} already; --steps must be more")
        run.extend(steps)
    if step >= run.settings.steps:
        raise RunError(
            f"{path} is complete: all {step} steps are done. A larger --steps makes it go on"
        )
    if device is not None:
        run.move(run.settings.device)
    run_to_end(run, **how)


def run_to_end(run: Run, progress: Progress | None = None, **how: Any) -> None:
    """Train, showing progress; then say what was reached and where the results are."""
    progress = progress or for_terminal()
    announce_compilation(progress)
    recipe = RECIPES[run.settings.recipe]
    job = train(run, recipe, progress=progress, **how)
    report = write_run_report(run, job.parameters())
    seconds = run.records()[-1]["seconds"]
    progress.line(f"{run.settings.recipe}: {run.settings.steps} steps in {duration(seconds)}")
    for row in metric_rows(run.settings, final_metrics(run)):
        against = f"  (to compare: {row.reference})" if row.reference else ""
        progress.line(f"  {row.metric}: {row.value}{against}")
    progress.line(f"report: {report}")


def announce_compilation(progress: Progress) -> None:
    """Say what Numba compiles as a line of the progress display, which a print would disturb."""

    def show(compilation: kernels.Compilation) -> None:
        if compilation.seconds >= 0.5:
            progress.line(str(compilation))

    kernels.on_compile = show
