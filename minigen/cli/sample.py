"""`minigen sample`: images, numbers or text from a trained model."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minigen import Generator
from minigen.cli.placing import usable
from minigen.models import Sampling
from minigen.training import Job, Run, RunError, make_job, restore_weights
from minigen.training.loop import write_picture
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
    """Write images to a PNG file, numbers to a CSV or PNG file, text to the screen or a file."""
    if out is not None and out.exists():
        raise RunError(f"{out} exists; nothing was written. Choose another --out")
    if out is not None and not out.absolute().parent.is_dir():
        raise RunError(f"there is no folder {out.absolute().parent} to write {out.name} into")
    run, job, _ = load_job(path, checkpoint, device)
    generator = Generator().manual_seed(seed)
    if job.write is not None:
        _write(job, n or 500, text, generator, out)
        return
    prompt = text.get("prompt")
    if job.illustrate is not None and prompt is not None:
        slug = "-".join(prompt.split())
        target = out or run.path / "samples" / f"{checkpoint}-{slug}-seed{seed}.png"
        _illustrate(job, prompt, n or 16, generator, target)
        return
    how = {name: value for name, value in text.items() if value is not None}
    for name in how:
        if not job.chosen or name not in ("temperature", "top_k", "top_p"):
            option = "--" + name.replace("_", "-")
            raise RunError(f"{option} is for text, and {path} is a run of {run.settings.recipe}")
    count = n or job.shown
    target = out or run.path / "samples" / f"{checkpoint}-n{count}-seed{seed}.png"
    if job.draw is not None:
        _draw(job, count, generator, how, target)
    else:
        assert job.images is not None
        images = job.images(count, generator)
        write_picture(target, images[None], columns=max(1, round(count**0.5)))
    print(target)


def _illustrate(job: Job, prompt: str, count: int, generator: Generator, target: Path) -> None:
    """Pictures of what the prompt asks for to a PNG file."""
    assert job.illustrate is not None
    try:
        images = job.illustrate(prompt, count, generator)
    except ValueError as error:  # a word that no caption has
        raise RunError(str(error)) from error
    write_picture(target, images[None], columns=max(1, round(count**0.5)))
    print(target)


def _draw(job: Job, count: int, generator: Generator, how: Mapping[str, Any], target: Path) -> None:
    """Numbers in the units of the data, a line for each draw, or a picture of them."""
    kinds = [".csv", *([] if job.plot is None else [".png"])]
    if target.suffix.lower() not in kinds:
        raise RunError(f"--out must end in {' or '.join(kinds)}, not {target.name}")
    assert job.draw is not None
    values = job.draw(count, generator, **how)
    if target.suffix.lower() == ".csv":
        write_file(target, csv_text(values, job.columns))
    else:
        assert job.plot is not None
        write_picture(target, job.plot(values))


def csv_text(values: ArrayLike, columns: Sequence[str]) -> str:
    """A header and a line for each of n draws, (n,) or (n, ...), with all digits that count.

    Columns beyond those with a name are numbered.

    >>> print(csv_text([[0.1, 2.0], [3.5, 4.0]], ["x"]), end="")
    x,column 2
    0.1,2.0
    3.5,4.0
    """
    array = np.asarray(values)
    rows = array.reshape(len(array), -1).astype(str)  # (n, D); the shortest digits that are exact
    names = [*columns, *(f"column {i + 1}" for i in range(len(columns), rows.shape[1]))]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([names[: rows.shape[1]], *rows.tolist()])
    return file.getvalue()


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
