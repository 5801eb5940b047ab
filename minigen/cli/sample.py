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

SHOWN = 32  # characters that are written if pictures of them are wanted


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
    show: Sequence[str] = (),
) -> None:
    """Write images to a PNG file, numbers to a CSV or PNG file, text to the screen or a file.

    `show` draws pictures of how the text came about, too: "attention", "probabilities"."""
    if out is not None and out.exists():
        raise RunError(f"{out} exists; nothing was written. Choose another --out")
    if out is not None and not out.absolute().parent.is_dir():
        raise RunError(f"there is no folder {out.absolute().parent} to write {out.name} into")
    run, job, _ = load_job(path, checkpoint, device)
    if show and job.look is None:
        raise RunError(f"{path} is a run of {run.settings.recipe}: nothing in it can be shown")
    if job.write is not None:
        count = n or (SHOWN if show else 500)
        _write(job, count, text, Generator().manual_seed(seed), out)
        if show:
            folder = run.path / "samples"
            _show(job, count, text, Generator().manual_seed(seed), folder, checkpoint, show)
        return
    generator = Generator().manual_seed(seed)
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
    prompt, stop, how = _understood(job, options)
    assert job.write is not None
    try:
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


def _understood(job: Job, options: Mapping[str, Any]) -> tuple[str | None, Sequence[str], Sampling]:
    """Prompt, stops, and how tokens are drawn."""
    given = {name: value for name, value in options.items() if value is not None}
    prompt, stop = given.pop("prompt", None), given.pop("stop", ())
    try:
        return prompt, stop, Sampling(**{"temperature": job.temperature, **given})
    except ValueError as error:
        raise RunError(str(error)) from error


def _show(
    job: Job,
    count: int,
    options: Mapping[str, Any],
    generator: Generator,
    folder: Path,
    name: str,
    show: Sequence[str],
) -> None:
    """Pictures of where the model looked and what it found likely, while it wrote that text."""
    from minigen.viz.attention import attention_picture, probability_picture

    prompt, _, how = _understood(job, options)
    assert job.look is not None
    try:
        look = job.look(prompt or job.prompt.splitlines()[0] or job.prompt, count, how, generator)
    except ValueError as error:
        raise RunError(str(error)) from error
    for what in dict.fromkeys(show):
        if what == "attention":
            picture = attention_picture(look.maps)
        else:
            picture = probability_picture(look.written, look.alphabet, look.probabilities)
        slug = "".join(c if c.isalnum() else "-" for c in look.of)[:24].strip("-")
        target = folder / f"{name}-{what}-{slug}.png"
        write_file(target, picture)
        print(target)
