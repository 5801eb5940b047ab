"""Which GANs find all modes?  `python benchmarks/collapse.py ring`, or grid

    --seeds 0 1 2             one training each
    --only NAME ...           of the cases below
    --steps N                 instead of the recipe's own number
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
import json
import statistics
import time
from pathlib import Path
from typing import Any

import harness
import quality

WASSERSTEIN = {"loss": "wasserstein", "critic_steps": 4}
CASES: dict[str, dict[str, Any]] = {
    "non-saturating": {},
    "packs of two": {"pack": 2},
    "Wasserstein, penalty": {**WASSERSTEIN, "penalty": 10.0},
    "Wasserstein, clipped": {**WASSERSTEIN, "clip": 0.01},
    "minimax": {"loss": "minimax"},
    "least squares": {"loss": "least_squares"},
    "hinge": {"loss": "hinge"},
    "R1": {"r1": 1.0},
    "label smoothing": {"smoothing": 0.1},
    "minibatch deviation": {"minibatch_std": True},
    "spectral norm, hinge": {"loss": "hinge", "spectral_norm": True},
    "feature matching": {"feature_matching": True},
    "mode seeking": {"mode_seeking": 0.1},
}
TORCH = ("non-saturating", "packs of two", "Wasserstein, penalty")
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
    usual = default_settings(model, options.fast, steps=options.steps)
    shown = {"steps": usual.steps, "batch_size": usual.batch_size, "lr": usual.lr}
    shown |= {"betas": usual.options["betas"], "average": usual.options["average"]}
    cases: dict[str, Any] = {}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        cases = known["cases"] if known["settings"] == shown else {}
    for seed in options.seeds:
        for name in options.only or CASES:
            own = CASES[name]
            settings = default_settings(model, options.fast, own, steps=options.steps, seed=seed)
            for engine in ("minigen", "torch") if name in TORCH else ("minigen",):
                case = cases.setdefault(name, {"changed": own, "runs": {}, "mean": {}})
                runs = case["runs"].setdefault(engine, [])
                if any(done["seed"] == seed for done in runs):
                    continue
                start = time.process_time()
                runs.append({"seed": seed, **measure(model, engine, settings)})
                seconds = time.process_time() - start
                runs.sort(key=lambda done: done["seed"])
                case["mean"][engine] = mean(runs)
                harness.record(
                    path.stem, {"model": model, "settings": shown, "cases": cases}, options.out
                )
                done = next(done for done in runs if done["seed"] == seed)
                figures = [
                    f"{weights} {part['modes']:.0f} modes {part['high_quality']:.3f}"
                    for weights, part in done.items()
                    if weights != "seed"
                ]
                print(name, seed, engine, *figures, f"({seconds:.0f} s)", sep="  ", flush=True)
    return {"model": model, "settings": shown, "cases": cases}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", choices=["ring", "grid"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(CASES), metavar="NAME")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fast", action="store_true", help="seconds, to see that it works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    harness.pin(options.threads)
    harness.torch_threads(options.threads)
    run(options.model, options)


if __name__ == "__main__":
    main()
