"""Does writing the steps down help?  `python benchmarks/reasoning.py`

    --task arithmetic addition     recipes
    --seeds 0 1 2                  one training of both pupils each
    --threads 2
    --fast                         seconds, to see that it works

Two GPTs of one size see the same questions in the same order; one learns to answer at once, the
other to write the steps first (`minigen.training.recipes.arithmetic`).  What is recorded is the
share of right answers to held-out questions by their length, also of lengths beyond those of
training, and the gap between the two, with its spread over the seeds; the picture has the means.

Results go to results/reasoning.json and results/reasoning-TASK.png after each training.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import harness


def trained(recipe: str, seed: int, fast: bool) -> tuple[Any, dict[str, float], float]:
    """The settings, all metrics after the recipe's own steps, and the seconds they took."""
    import minigen
    from minigen.training.recipes import RECIPES, default_settings

    settings = dataclasses.replace(default_settings(recipe, fast), seed=seed)
    minigen.manual_seed(seed)
    job = RECIPES[recipe](settings)
    start = time.perf_counter()
    batches = itertools.chain.from_iterable(iter(lambda: iter(job.loader), None))
    for batch in itertools.islice(batches, settings.steps):
        job.step(batch)
    seconds = time.perf_counter() - start
    return settings, job.evaluate(True), seconds


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds by length, and of the gap its mean, lowest and highest."""
    lengths = list(runs[0]["written"])
    found: dict[str, Any] = {
        kind: {n: statistics.mean(run[kind][n] for run in runs) for n in lengths}
        for kind in ("written", "none")
    }
    gaps = {n: [run["written"][n] - run["none"][n] for run in runs] for n in lengths}
    found["gap"] = {
        n: {"mean": statistics.mean(gap), "lowest": min(gap), "highest": max(gap)}
        for n, gap in gaps.items()
    }
    return found


def picture(settings: Any, found: dict[str, Any], guess: float) -> bytes:
    """That of the recipe, of the means."""
    from minigen.training.recipes.arithmetic import picture

    metrics = {
        f"{kind}_{n}": share for kind in ("written", "none") for n, share in found[kind].items()
    }
    return picture({**metrics, "guess": guess}, settings)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from minigen.training.recipes.arithmetic import shares

    content: dict[str, Any] = {"tasks": {}}
    for task in options.task:
        runs: list[dict[str, Any]] = []
        for seed in options.seeds:
            settings, metrics, seconds = trained(task, seed, options.fast)
            by_kind = {kind: shares(metrics, kind) for kind in ("written", "none")}
            runs.append({"seed": seed, **by_kind, "guess": metrics["guess"], "seconds": seconds})
            found = summary(runs)
            shown = {"steps": settings.steps, "batch_size": settings.batch_size, "lr": settings.lr}
            shown |= {"model": dict(settings.model), "lengths": settings.options["lengths"]}
            content["tasks"][task] = {"settings": shown, "runs": runs, **found}
            harness.record("reasoning", content, options.out)
            png = picture(settings, found, metrics["guess"])
            (options.out / f"reasoning-{task}.png").write_bytes(png)
            told = ", ".join(f"{n}: {gap['mean']:+.1f}" for n, gap in found["gap"].items())
            print(f"{task} seed {seed}, gap by length {told}   ({seconds:.0f} s)", flush=True)
    return content


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", nargs="+", default=["arithmetic", "addition"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fast", action="store_true", help="seconds, to see that it works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    harness.pin(options.threads)
    run(options)


if __name__ == "__main__":
    main()
