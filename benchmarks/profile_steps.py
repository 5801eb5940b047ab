"""Where the time of a training step goes, recipe by recipe: `python benchmarks/profile_steps.py`.

    --models vae gan ...    which; all if left out

One thread, a batch of the recipe's own size, as in `steps.py`; fetching the batch is not counted.
Shares of the time of each operation's forward function and gradient rules, of the kernels in them,
of the optimizers and of what is left between them go to results/profile.json.  The clocks
themselves cost about half a microsecond a call, which counts as "between".
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import harness

SECONDS = 6.0  # what a recipe's profile may take
BATCHES = 16


def models() -> tuple[str, ...]:
    """Every recipe, and the GPT once more at the size of nanoGPT's character model."""
    from minigen.training.recipes import RECIPES

    return (*RECIPES, "nanogpt")


def profile(model: str) -> dict[str, Any]:
    import operation_times
    import steps

    import minigen
    from minigen.training.recipes import RECIPES

    settings = steps.settings_of(model)
    minigen.manual_seed(settings.seed)
    job = RECIPES[settings.recipe](settings)
    batches = itertools.cycle(list(itertools.islice(job.loader, BATCHES)))

    def step() -> None:
        job.step(next(batches))

    step()  # compiles
    count = max(3, round(SECONDS / harness.seconds(step)))
    title = "GPT of nanoGPT's size" if model == "nanogpt" else RECIPES[model].title
    found = operation_times.profile(step, count)
    return {"title": title, "date": time.strftime("%Y-%m-%d"), **found}


def main() -> None:
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--models", nargs="+", default=None)
    options = parser.parse_args()
    harness.pin(1)
    path = options.out / "profile.json"
    recipes = harness.known(path, "recipes")
    for model in options.models or models():
        found = recipes[model] = profile(model)
        phases = ", ".join(f"{name} {share:.0f} %" for name, share in found["phases"].items())
        print(f"{model}: {phases}; in kernels {found['kernels']:.0f} %", flush=True)
        for name, parts in itertools.islice(found["operations"].items(), 8):
            inside = ", ".join(f"{k} {share:.1f} %" for k, share in parts["kernels"].items())
            print(f"  {name:28} {parts['forward']:5.1f} % {parts['backward']:5.1f} %  {inside}")
    print(f"written to {harness.record('profile', {'recipes': recipes}, options.out)}")


if __name__ == "__main__":
    main()
