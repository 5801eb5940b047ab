"""`minigen bench`: the benchmarks of a source checkout, by name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import minigen
from minigen.cli.explained import UsageError, explained, new_app

BENCHMARKS = (
    "overhead", "operations", "steps", "profile_steps", "peers", "regimes", "start", "ladders",
    "roofline", "simulator", "tokenization", "generation", "grading", "quality", "collapse",
    "reasoning", "finetuning", "long_run", "kernel_crossovers", "gate", "tables",
)  # fmt: skip

app = new_app()


def folder() -> Path:
    """Where the benchmarks lie, beside the package; a UsageError if they are not there."""
    path = Path(minigen.__file__).parents[1] / "benchmarks"
    if not (path / "harness.py").exists():
        raise UsageError(
            "the benchmarks are not part of the installed package: run this in an installation of "
            "the source, made with pip install -e '.[test]'"
        )
    return path


@explained(app.command, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which; left out, they are listed.")] = None,
) -> None:
    """Measure minigen beside other libraries, in one process and in turns.

    Without a name, says which benchmarks there are. What follows the name goes to the benchmark:

    [cyan]minigen bench steps --models vae --threads 1[/cyan]
    """
    path = folder()
    if name is None:
        for each in BENCHMARKS:
            text = ast.get_docstring(ast.parse((path / f"{each}.py").read_text(encoding="utf-8")))
            first = " ".join((text or "").split())
            print(f"{each:18} {re.split(r':|[.?] ', first)[0]}")
        print(f"{'gpu':18} All that needs a GPU: correctness, ladders, training steps beside torch")
        return
    if name not in (*BENCHMARKS, "gpu"):
        known = ", ".join((*BENCHMARKS, "gpu"))
        raise UsageError(f"there is no benchmark {name!r}; there are {known}")
    raise typer.Exit(run(name, *context.args))


def run(name: str, *arguments: str) -> int:
    """Run a benchmark in a process of its own; its exit code."""
    if name == "gpu":
        command = ["bash", str(folder() / "gpu" / "run.sh")]
    else:
        command = [sys.executable, str(folder() / f"{name}.py")]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run([*command, *arguments], check=False, env=environment).returncode
