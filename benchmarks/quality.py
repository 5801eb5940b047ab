"""Does minigen learn as well as torch?  `python benchmarks/quality.py vae`, or another recipe

    --seeds 0 1 2             one training each
    --engine minigen torch    which; both if left out
    --steps N                 instead of the recipe's own number
    --threads 2               for both
    --set NAME=VALUE          one of the recipe's own settings, once for each
    --add                     keep what else is recorded, of other seeds or the other engine

Both train with the settings of minigen's recipe on the same batches in the same order, each from
its own initial weights and with its own random numbers, drawn from the same seed.  Then torch's
weights are carried over into minigen's model, so that one and the same evaluation judges both:

What is measured are the figures of the recipe (`minigen evaluate` says what each means), of GANs
also the Fréchet distance of 5,000 images (frechet_5000) and the Inception score; as yardsticks what
those figures are read against.

Results, by seed and engine, go to results/quality_MODEL.json after each training, or to
results/quality_MODEL-NAME-VALUE.json where a setting was changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness

# Measured besides the figures of the recipe.
ALSO = {"vae": ("test_kl",)} | dict.fromkeys(
    ("gan", "dcgan", "wgan_gp"), ("frechet_5000", "inception")
)
EVALUATION_SEED, SAMPLES = 54321, 5000


def measured(model: str) -> tuple[str, ...]:
    """The names of what is recorded of every training."""
    from minigen.training.recipes import RECIPES

    return (*(figure.key for figure in RECIPES[model].figures), *ALSO.get(model, ()))


def yardsticks(model: str) -> tuple[str, ...]:
    """The names of what that is read against, which no training changes."""
    from minigen.training.recipes import RECIPES

    names = [figure.beside for figure in RECIPES[model].figures if figure.beside]
    also = {"inception": "inception_floor", "validation_loss": "ngram_order"}
    return (*names, *(also[name] for name in measured(model) if name in also))


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def trained(model: str, engine: str, settings: Any) -> Any:
    """minigen's job, its modules trained by either engine."""
    import minigen
    from minigen.training.recipes import RECIPES

    minigen.manual_seed(settings.seed)
    job = RECIPES[model](settings)
    batches = itertools.islice(endless(job.loader), settings.steps)
    if engine == "minigen":
        for batch in batches:
            job.step(batch)
        return job
    import torch
    import torch_recipes
    import twins

    torch.manual_seed(settings.seed)
    theirs = torch_recipes.RECIPES[model](settings)
    for batch in batches:
        theirs.step(twins.to_torch(batch))
    for name, module in job.modules.items():
        twins.copy_weights_back(theirs.modules[name], module)
    return job


def judge(model: str, job: Any) -> dict[str, float]:
    """Everything that is measured of a trained model."""
    metrics = job.evaluate(True)
    return metrics | realism(job) if "inception" in measured(model) else metrics


def realism(job: Any) -> dict[str, float]:
    from minigen import Generator
    from minigen.data import load_mnist5k
    from minigen.metrics import digit_features, frechet_distance, inception_score
    from minigen.metrics.classifier import digit_probabilities
    from minigen.training.recipes.images import real_features

    made = job.images(SAMPLES, Generator().manual_seed(EVALUATION_SEED))
    return {
        "frechet_5000": frechet_distance(digit_features(made), real_features("train")),
        "inception": inception_score(digit_probabilities(made)),
        "inception_floor": inception_score(digit_probabilities(load_mnist5k("test")[0])),
    }


def summary(model: str, runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means over the seeds; of minigen's less torch's, over the seeds that both have, the mean and,
    if there are several, its standard error: chance alone makes it that large."""
    means = {
        engine: {metric: statistics.mean(run[metric] for run in done) for metric in measured(model)}
        for engine, done in runs.items()
        if done
    }
    by_seed = {engine: {run["seed"]: run for run in done} for engine, done in runs.items()}
    both = sorted(set.intersection(*map(set, by_seed.values()))) if len(by_seed) == 2 else []
    if not both:
        return {"mean": means}
    gaps = {
        metric: [by_seed["minigen"][seed][metric] - by_seed["torch"][seed][metric] for seed in both]
        for metric in measured(model)
    }
    found = {"mean": means, "difference": {m: statistics.mean(gap) for m, gap in gaps.items()}}
    if len(both) > 1:
        found["standard_error"] = {
            m: statistics.stdev(gap) / math.sqrt(len(both)) for m, gap in gaps.items()
        }
    return found


def recorded(
    path: Path, settings: dict[str, Any], engines: list[str], seeds: list[int]
) -> dict[str, Any]:
    """The trainings in a result file other than these engines' with these seeds.

    Raises ValueError if they had other settings.
    """
    known = json.loads(path.read_text(encoding="utf-8"))
    if known["settings"] != json.loads(json.dumps(settings)):
        raise ValueError(f"{path} was made with other settings")
    return {
        engine: [run for run in done if engine not in engines or run["seed"] not in seeds]
        for engine, done in known["runs"].items()
    }


def run(model: str, options: argparse.Namespace) -> dict[str, Any]:
    from minigen.cli.keywords import keyword
    from minigen.training.recipes import default_settings

    own = dict(map(keyword, options.set or ()))
    settings = default_settings(model, options.fast, own, steps=options.steps)
    name = "-".join(["quality_" + model, *(f"{key}-{value}" for key, value in own.items())])
    shown = {
        k: v for k, v in settings.to_dict().items() if not k.endswith("_every") and k != "seed"
    }
    shown["options"] = {k: v for k, v in shown["options"].items() if k != "tokenizer"}
    runs: dict[str, list[dict[str, float]]] = {engine: [] for engine in options.engine}
    if options.add:
        runs |= recorded(options.out / f"{name}.json", shown, options.engine, options.seeds)
    content: dict[str, Any] = {"model": model, "changed": own, "settings": shown, "runs": runs}
    for seed, engine in itertools.product(options.seeds, options.engine):
        start = time.perf_counter()
        job = trained(model, engine, dataclasses.replace(settings, seed=seed))
        seconds = time.perf_counter() - start
        metrics = judge(model, job)
        runs[engine].append({"seed": seed, **{name: metrics[name] for name in measured(model)}})
        content["yardsticks"] = {name: metrics[name] for name in yardsticks(model)}
        content |= summary(model, runs)
        harness.record(name, content, options.out)
        figures = ", ".join(f"{name} {metrics[name]:.4f}" for name in measured(model))
        print(f"{model} seed {seed} {engine:8} {figures}   ({seconds:.0f} s)", flush=True)
    return content


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", help="a recipe, one of minigen models")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--engine", nargs="+", choices=["minigen", "torch"])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", metavar="NAME=VALUE")
    parser.add_argument("--add", action="store_true", help="keep what else is recorded")
    parser.add_argument("--fast", action="store_true", help="seconds, to see that it works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    options.engine = options.engine or ["minigen", "torch"]
    harness.pin(options.threads)
    harness.torch_threads(options.threads)
    content = run(options.model, options)
    print("mean", content["mean"])
    print("minigen - torch", content.get("difference"))
    print("yardsticks", content["yardsticks"])


if __name__ == "__main__":
    main()
