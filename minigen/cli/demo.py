"""`minigen demo`: all three models, one after another, and one report."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from minigen.cli.placing import usable
from minigen.cli.report import machine_facts, run_section
from minigen.cli.train import announce_compilation
from minigen.training import Run, for_terminal, train
from minigen.training.progress import duration
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.run import free_path, require_free
from minigen.viz.report import Section, write_report

MODELS = ("vae", "gan", "gpt")
LEAD = (
    "A variational autoencoder, a generative adversarial network and a Transformer, trained one "
    "after another on this machine in {time}: {steps} steps of gradient descent on an autograd "
    "engine written in Python."
)


def run_demo(out: Path | None, seed: int, fast: bool, device: str = "cpu") -> None:
    """Train the models in folders of their own under `out` and write `out`/report.html."""
    out = free_path(Path("minigen-demo")) if out is None else out
    require_free(out)
    device = usable(device)
    progress = for_terminal()
    announce_compilation(progress)
    began = time.perf_counter()
    sections: list[Section] = []
    steps = 0
    with compiled_meanwhile("attention") as compiler:
        for recipe in MODELS:
            if recipe == "gpt" and compiler.poll() is None:
                progress.line("compiling the kernels of attention, once; cached afterwards")
                compiler.wait()
            run = Run.create(out / recipe, default_settings(recipe, fast, seed=seed, device=device))
            job = train(run, RECIPES[recipe], progress=progress)
            sections.append(run_section(run, job.parameters()))
            steps += run.settings.steps
    lead = LEAD + (" The runs were cut short (--fast) and have learned little." if fast else "")
    took = duration(time.perf_counter() - began)
    write_report(
        out / "report.html",
        title="minigen demo",
        lead=lead.format(time=took, steps=f"{steps:,}"),
        sections=sections,
        facts={"trained in": took, "seed": str(seed), **machine_facts()},
    )
    progress.line(f"all three trained in {took}; open the report in a browser:")
    progress.line(str((out / "report.html").resolve()))


@contextlib.contextmanager
def compiled_meanwhile(*operations: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that compiles what these operations use into the cache, as `minigen kernels warmup`
    does; it ends with the block at the latest. Whatever it has not compiled by then, or cannot, is
    compiled where it is first used."""
    code = "from minigen.cli import main; main()"
    command = [sys.executable, "-c", code, "kernels", "warmup", *operations]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.kill()
