"""Which GANs find all modes?  `python benchmarks/collapse.py ring`, or grid

    --seeds 0 1 2             one training each
    --only NAME ...           of the cases below
    --engine minigen torch    which; both if left out
    --steps N                 instead of the recipe's own number
    --batch-size 64           fewer than the recipe takes: in small batches collapse shows
    --threads 2               for both engines

Trains the recipe with each loss, and with what is said to help, on the same batches, and counts the
modes that samples find (`minigen.metrics.mode_coverage`): those of the generator as it is, and
those of the moving average of its weights, which changes nothing in training. The cases of `TORCH`
are trained by torch as well, as `quality.py` does it.

Results go to results/collapse_ring.json after each training; what is recorded there of the same
settings stays, so that a measurement can go on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import harness
import quality

PLAIN = {"pack": 1, "r1": 0.0}  # the recipes have packs of two, or R1
WASSERSTEIN = {**PLAIN, "loss": "wasserstein", "critic_steps": 4}
CASES: dict[str, dict[str, Any]] = {
    "packs of two": {"pack": 2, "r1": 0.0},
    "non-saturating": PLAIN,
    "Wasserstein, penalty": {**WASSERSTEIN, "penalty": 10.0},
    "Wasserstein, clipped": {**WASSERSTEIN, "clip": 0.01},
    "minimax": {**PLAIN, "loss": "minimax"},
    "least squares": {**PLAIN, "loss": "least_squares"},
    "hinge": {**PLAIN, "loss": "hinge"},
    "R1": {**PLAIN, "r1": 1.0},
    "label smoothing": {**PLAIN, "smoothing": 0.1},
    "minibatch deviation": {**PLAIN, "minibatch_std": True},
    "spectral norm, hinge": {**PLAIN, "loss": "hinge", "spectral_norm": True},
    "feature matching": {**PLAIN, "feature_matching": True},
    "mode seeking": {**PLAIN, "mode_seeking": 0.1},
}
TORCH = ("packs of two", "non-saturating", "Wasserstein, penalty")
METRICS = ("modes", "high_quality", "mode_distance")


def measure(model: str, engine: str, settings: Any) -> dict[str, Any]:
    """Train, and judge the generator and the average of its weights."""
    from minigen import Generator
    from minigen.training.recipes.loading import EVALUATION_SEED
    from minigen.training.recipes.mixtures import SAMPLES, coverage, mixture

    job = quality.trained(model, engine, settings)
    found = {}
    networks = {"last": job.modules["generator"], "average": job.modules["average"].module}
    for name, network in networks.items():
        points = network.draw(SAMPLES, Generator().manual_seed(EVALUATION_SEED)).numpy()
        metrics = coverage(points, mixture(model))
        found[name] = {key: metrics[key] for key in METRICS}
    return found


def mean(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Over the seeds."""
    return {
        weights: {key: statistics.mean(run[weights][key] for run in runs) for key in METRICS}
        for weights in ("last", "average")
    }


def run(model: str, options: argparse.Namespace) -> dict[str, Any]:
    from minigen.training.recipes import default_settings

    path = options.out / f"collapse_{model}.json"
    usual = default_settings(
        model, options.fast, steps=options.steps, batch_size=options.batch_size
    )
    shown = {"steps": usual.steps, "batch_size": usual.batch_size, "lr": usual.lr}
    shown |= {"betas": usual.options["betas"], "average": usual.options["average"]}
    cases: dict[str, Any] = {}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        cases = known["cases"] if known["settings"] == shown else {}
    names = options.only or list(CASES)
    trainings = [(engine, name) for engine in options.engine for name in names]
    for seed, (engine, name) in itertools.product(options.seeds, trainings):
        if engine == "torch" and name not in TORCH:
            continue
        case = cases.setdefault(name, {"changed": CASES[name], "runs": {}, "mean": {}})
        runs = case["runs"].setdefault(engine, [])
        if any(done["seed"] == seed for done in runs):
            continue
        start = time.process_time()
        own = CASES[name]
        given = {"steps": usual.steps, "batch_size": usual.batch_size, "seed": seed}
        settings = default_settings(model, options.fast, own, **given)
        found = measure(model, engine, settings)
        runs.append({"seed": seed, **found})
        runs.sort(key=lambda done: done["seed"])
        case["mean"][engine] = mean(runs)
        harness.record(path.stem, {"model": model, "settings": shown, "cases": cases}, options.out)
        figures = [f"{w} {f['modes']:.0f} modes {f['high_quality']:.3f}" for w, f in found.items()]
        seconds = f"({time.process_time() - start:.0f} s)"
        print(name, seed, engine, *figures, seconds, sep="  ", flush=True)
    return {"model": model, "settings": shown, "cases": cases}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", choices=["ring", "grid"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(CASES), metavar="NAME")
    parser.add_argument("--engine", nargs="+", choices=["minigen", "torch"])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fast", action="store_true", help="seconds, to see that it works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    options.engine = options.engine or ["minigen", "torch"]
    harness.pin(options.threads)
    harness.torch_threads(options.threads)
    run(options.model, options)


if __name__ == "__main__":
    main()
