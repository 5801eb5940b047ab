"""How long a newcomer waits for the first training step: `python benchmarks/start.py`.

Every recipe's job is made and one step taken in a process of its own, twice: first with nothing
compiled, neither Python's bytecode nor Numba's kernels, then again.  With --install a virtual
environment is made first and minigen installed in it from a copy of this folder, as the README has
it; then the bytecode of what it needs is there, as pip compiles it, and minigen's own is not.
Seconds from the start of the process to the end of the step go to results/start.json, with what was
said meanwhile.  They are seconds of one machine, and the only times, not ratios, that are recorded.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import harness
import steps

MODELS = tuple(model for model in steps.MODELS if model != "nanogpt")
STEP = """
from minigen.training import recipes
job = recipes.RECIPES[{model!r}](recipes.default_settings({model!r}))
losses = job.step(next(iter(job.loader)))
assert all(float(loss) == float(loss) for loss in losses.values()), losses
"""


def first_step(python: str, model: str, folder: Path, bytecode: bool) -> dict[str, Any]:
    """Seconds of one process that takes one step, and the lines that it wrote.

    bytecode: use what is there, in place of making all anew for this folder.
    """
    caches = {"NUMBA_CACHE_DIR": str(folder / "numba"), "MINIGEN_CACHE": str(folder / "minigen")}
    if not bytecode:
        caches["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    environment = {**os.environ, **caches}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    done = subprocess.run(
        [python, "-c", STEP.format(model=model)],
        env=environment, cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {"seconds": time.perf_counter() - began, "said": done.stderr.splitlines()}


def install(folder: Path) -> tuple[str, float]:
    """A fresh virtual environment with minigen: its Python, and the seconds that it took."""
    source = folder / "source"
    others = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "build", "runs", "results")
    shutil.copytree(Path(__file__).parents[1], source, ignore=others)
    began = time.perf_counter()
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "-e", source], check=True)
    return python, time.perf_counter() - began


def forget_bytecode(source: Path) -> None:
    """As if no module of it had been imported yet."""
    for folder in source.rglob("__pycache__"):
        shutil.rmtree(folder)


def measure(models: list[str], with_installing: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"models": {}}
    with tempfile.TemporaryDirectory() as place:
        python = sys.executable
        if with_installing:
            python, found["install"] = install(Path(place))
            print(f"installing: {found['install']:.1f} s")
        for model in models:
            folder = Path(place) / model
            folder.mkdir()
            forget_bytecode(Path(place) / "source")
            first, second = (
                first_step(python, model, folder, bytecode=with_installing) for _ in range(2)
            )
            found["models"][model] = {"first": first, "second": second}
            lines = f"{len(first['said'])} lines told"
            print(f"{model:9} {first['seconds']:5.1f} s, {lines}; then {second['seconds']:.2f} s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    measured = measure(options.models, options.install)
    print(f"written to {harness.record('start', measured, options.out)}")


if __name__ == "__main__":
    main()
