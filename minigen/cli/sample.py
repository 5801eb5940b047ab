"""`minigen sample`: images or text from a trained model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigen import Generator
from minigen.cli.placing import usable
from minigen.models import Sampling
from minigen.training import Job, Run, RunError, make_job, restore_weights
from minigen.training.recipes import RECIPES
from minigen.training.run import write_file


def load_job(path: Path, checkpoint: str, device: str | None = None) -> tuple[Run, Job, int]:
    """A run, its model with the weights of a checkpoint, and the step of that.

    device: "cpu", "cuda" or "auto"; the one it was trained on if None. The run in memory has it in
    its settings, its folder stays as it is.
    """
    run = Run.open(path)
    run.settings = dataclasses.replace(
        run.settings, device=usable(device or run.settings.device.partition(":")[0])
    )
    if run.settings.recipe not in RECIPES:
        raise RunError(f"{path} is a run of {run.settings.recipe!r}, which this minigen lacks")
    saved = run.load(checkpoint)
    job = make_job(run, RECIPES[run.settings.recipe])
    restore_weights(job, saved, run)
    return run, job, saved.step


def sample_run(
    path: Path,
    n: int | None,
    text: Mapping[str, Any],
    seed: int,
    checkpoint: str,
    out: Path | None,
    device: str | None = None,
) -> None:
    """Write images to a PNG file, or text to the screen or a file."""
    if out is not None and out.exists():
        raise RunError(f"{out} exists; nothing was written. Choose another --out")
    if out is not None and not out.absolute().parent.is_dir():
        raise RunError(f"there is no folder {out.absolute().parent} to write {out.name} into")
    run, job, _ = load_job(path, checkpoint, device)
    generator = Generator().manual_seed(seed)
    if job.write is not None:
        _write(job, n or 500, text, generator, out)
        return
    for name, value in text.items():
        if value is not None:
            option = "--" + name.replace("_", "-")
            raise RunError(f"{option} is for text, and {path} is a run of {run.settings.recipe}")
    assert job.images is not None
    from minigen.viz.grid import png, tile

    count = n or 64
    target = out or run.path / "samples" / f"{checkpoint}-n{count}-seed{seed}.png"
    write_file(target, png(tile(job.images(count, generator), columns=max(1, round(count**0.5)))))
    print(target)


def _write(
    job: Job, count: int, options: Mapping[str, Any], generator: Generator, out: Path | None
) -> None:
    """Text to the screen as it is written, or to a file."""
    given = {name: value for name, value in options.items() if value is not None}
    prompt, stop = given.pop("prompt", None), given.pop("stop", ())
    assert job.write is not None
    try:
        how = Sampling(**{"temperature": 0.8, **given})
        pieces = job.write(prompt or job.prompt, count, how, generator, stop)
    except ValueError as error:  # a character that the model has never seen, say
        raise RunError(str(error)) from error
    pieces = itertools.chain([prompt or ""], pieces)
    if out is None:
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
    else:
        write_file(out, "".join(pieces) + "\n")
        print(out)
