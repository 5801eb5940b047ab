"""Does a long training stay sound?  `python benchmarks/long_run.py`

    --model gpt      any recipe
    --steps 10000    of it
    --every 100      steps between looks at the memory
    --threads 1

Trains as `minigen train` does, in a run folder that is thrown away, with its evaluations and
checkpoints, and records every so many steps the loss and the memory that the process holds (Linux's
/proc/self/statm). The loop itself stops at the first loss or weight that is no finite number, so
that a run which arrives has had none. results/long_run.json says how memory went: what it was at
the end less what it was after a tenth of the steps, and the slope of a straight line through all
the looks after that tenth.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness


def resident_megabytes() -> float:
    """The memory of this process, in 10^6 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watch:
    """A display of progress that shows little, and keeps what it sees."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.looks: list[dict[str, float]] = []
        self.losses = 0  # how many were seen, each of them finite: else the loop had stopped

    def start(self, name: str, steps: int, done: int) -> None:
        self.begun = time.perf_counter()

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        self.losses += 1
        if step % self.every == 0:
            look = {"step": step, "loss": losses["loss"], "megabytes": resident_megabytes()}
            self.looks.append(look)
            if step % (10 * self.every) == 0:
                self.line(f"{look}  {time.perf_counter() - self.begun:.0f} s")

    def line(self, text: str) -> None:
        print(text, flush=True)

    def stop(self) -> None:
        pass


def growth(looks: list[dict[str, float]]) -> dict[str, float]:
    """Of memory after the first tenth of the looks, by when every size has occurred: from there to
    the end, and along the best straight line, in megabytes for 1,000 steps."""
    import numpy as np

    later = looks[max(1, len(looks) // 10) - 1 :]
    steps = np.array([look["step"] for look in later])
    memory = np.array([look["megabytes"] for look in later])
    return {
        "megabytes": float(memory[-1] - memory[0]),
        "megabytes_per_1000_steps": float(np.polyfit(steps, memory, 1)[0] * 1000),
    }


def run(model: str, steps: int, every: int, fast: bool = False) -> dict[str, Any]:
    from minigen.training import Run, train
    from minigen.training.recipes import RECIPES, default_settings

    settings = default_settings(model, fast=fast, steps=steps)
    watch = Watch(every)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / model, settings)
        train(run, RECIPES[model], progress=watch)
        metrics = [record["metrics"] for record in run.records() if "metrics" in record]
    return {
        "model": model,
        "steps": steps,
        "batch_size": settings.batch_size,
        "finite_losses": watch.losses,
        "evaluations": len(metrics),
        "growth": growth(watch.looks),
        "metrics": metrics[-1],
        "looks": watch.looks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="gpt")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    harness.pin(options.threads)
    content = {"threads": options.threads, **run(options.model, options.steps, options.every)}
    harness.record("long_run", content, options.out)
    print({name: content[name] for name in ("finite_losses", "growth", "metrics")})


if __name__ == "__main__":
    main()
