"""How long a training step takes, beside torch: `python benchmarks/steps.py`.

    --models vae gan ...    which; all if left out
    --threads 1 2           on how many threads; each in a process of its own

A step is what a recipe of minigen does with a batch: zero_grad, forward, loss, backward, for the
GPT the clipping of gradients, update, and drawing its random numbers; the GAN updates D and G.  The
contenders begin with the same weights and cycle through the same batches:

    torch          the same calculation in torch
    torch fused    with torch's fused Adam
    torch usual    GANs only: as the well-known scripts write them (benchmarks/torch_recipes.py)
    minigen        the recipe of `minigen train`; `profile_steps.py` says where its time goes

Before anything is timed, the losses of the first three steps must agree to 1e-4, and the weights
after them to 1e-3 of their norm (float32, the same noise, no dropout).  Ratios go to
results/steps.json.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

MODELS = ("vae", "gan", "gpt", "lstm", "conv_vae", "dcgan", "wgan_gp", "nanogpt")
BATCHES, CHECKED = 16, 3
TOLERANCE, WEIGHTS = 1e-4, 1e-3  # relative: of a loss, of all weights together


def settings_of(model: str) -> Any:
    """The recipe's own; DCGAN in the usual width, batch and contest, without R1, at the usual rate;
    nanogpt is the GPT at the size of nanoGPT's character model, with a batch that a CPU computes in
    seconds."""
    from minigen.training.recipes import default_settings

    settings = default_settings("gpt" if model == "nanogpt" else model)
    if model == "dcgan":
        contest = {"betas": [0.5, 0.999], "r1": 0.0, "average": 0.0}
        usual = {"model": {"width": 64, "dropout": 0.3}, "options": contest}
        changed = {part: {**getattr(settings, part), **new} for part, new in usual.items()}
        return dataclasses.replace(settings, batch_size=64, lr=2e-4, **changed)
    if model == "nanogpt":
        size = {"context": 256, "layers": 6, "heads": 6, "width": 384}
        return dataclasses.replace(settings, batch_size=4, model={**settings.model, **size})
    return settings


def jobs(settings: Any, **options: bool) -> tuple[Any, Any]:
    """minigen's job and torch's, with the same weights."""
    import torch_recipes
    import twins

    import minigen
    from minigen.dispatch import take_over_threads
    from minigen.training.recipes import RECIPES

    minigen.manual_seed(settings.seed)
    take_over_threads(False)
    ours = RECIPES[settings.recipe](settings)
    theirs = torch_recipes.RECIPES[settings.recipe](settings, **options)
    for name, module in ours.modules.items():
        twins.copy_weights(module, theirs.modules[name])
    return ours, theirs


def check(model: str) -> None:
    """Raise AssertionError unless both libraries compute the same losses from the same noise."""
    import torch
    import twins

    import minigen

    settings = settings_of(model)
    if "dropout" in settings.model:
        without = {**settings.model, "dropout": 0.0}
        settings = dataclasses.replace(settings, model=without)
    for options in contenders_of_torch(model).values():
        ours, theirs = jobs(settings, **options)
        theirs.noise = lambda *shape: torch.from_numpy(minigen.randn(*shape).numpy())
        theirs.uniform = lambda *shape: torch.from_numpy(minigen.rand(*shape).numpy())
        for step, batch in enumerate(itertools.islice(ours.loader, CHECKED)):
            minigen.manual_seed(step)
            a = {name: loss.item() for name, loss in ours.step(batch).items()}
            minigen.manual_seed(step)
            b = {name: loss.item() for name, loss in theirs.step(twins.to_torch(batch)).items()}
            for name, loss in a.items():
                assert abs(loss - b[name]) <= TOLERANCE * abs(b[name]), (model, options, step, a, b)
        for name, module in ours.modules.items():
            apart = twins.distance(module, theirs.modules[name])
            assert apart < WEIGHTS, (model, options, name, apart)


def contenders_of_torch(model: str) -> dict[str, dict[str, bool]]:
    found = {"torch": {}, "torch fused": {"fused": True}}
    return found | ({"torch usual": {"usual": True}} if model in ("gan", "dcgan") else {})


def contenders(model: str) -> dict[str, Callable[[], Any]]:
    """One step of each, on the next of the same batches."""
    import twins

    settings = settings_of(model)
    found: dict[str, Callable[[], Any]] = {}
    for name, options in contenders_of_torch(model).items():
        ours, theirs = jobs(settings, **options)
        batches = list(itertools.islice(ours.loader, BATCHES))
        found[name] = stepper(theirs.step, [twins.to_torch(batch) for batch in batches])
    found["minigen"] = stepper(ours.step, batches)
    return found


def stepper(step: Callable[[Any], Any], batches: list) -> Callable[[], Any]:
    endless = itertools.cycle(batches)
    return lambda: step(next(endless))


def measure(threads: int, models: list[str], rounds: int) -> dict[str, Any]:
    """In a process whose threads are pinned: check, then time."""
    harness.torch_threads(threads)
    results = {}
    for model in models:
        check(model)
        timed = harness.compare(
            contenders(model),
            rounds,
            block_seconds=0.15,
            settle_seconds=0.12 if threads > 1 else 0.0,
        )
        results[model] = {"date": time.strftime("%Y-%m-%d"), **timed}
        print(f"{model}, {threads} thread{'s' * (threads > 1)}:")
        for name, figures in timed.items():
            if name == "disturbed_blocks":
                continue
            low, high = (f"{quartile * 1e3:.2f}" for quartile in figures["quartiles"])
            ratio = f"{figures['ratio']:.2f}"
            print(f"  {name:12} {ratio} of torch   (quartiles {low}, {high} ms)")
        print(f"  disturbed blocks: {timed['disturbed_blocks']}", flush=True)
    return results


def merged(path: Path, measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is recorded already, with what was measured now in its place."""
    known = harness.known(path)
    for threads, models in measured.items():
        known[threads] = {**known.get(threads, {}), **models}
    return {"threads": dict(sorted(known.items()))}


def main() -> None:
    parser = harness.parser(__doc__, rounds=21)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    if options.part is not None:
        (threads,) = options.threads
        harness.pin(threads)
        measured = measure(threads, options.models, options.rounds)
        options.part.write_text(json.dumps(measured), encoding="utf-8")
        return
    arguments = ["--rounds", options.rounds, "--models", *options.models]
    parts = {
        str(threads): harness.in_subprocess(__file__, threads, *arguments)
        for threads in options.threads
    }
    content = merged(options.out / "steps.json", parts)
    print(f"written to {harness.record('steps', content, options.out)}")


if __name__ == "__main__":
    main()
