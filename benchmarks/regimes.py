"""Whether thread pools get into each other's way: `python benchmarks/regimes.py`.

BLAS has threads of its own and so have the kernels; only one of them can have the cores
(`kernels/parallel.py`).  Every recipe's training step is timed with all threads given to the one,
with all given to the other, and as minigen decides by itself; what counts is the last over
the better of the first two.  Ratios go to results/regimes.json.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import harness
import steps

REGIMES = {"products": False, "kernels": True}  # who has the threads -> take_over's argument
MODELS = tuple(model for model in steps.MODELS if model != "nanogpt")


def contenders(model: str) -> dict[str, Callable[[], Any]]:
    """A step in each regime, and in the one that the model's layers ask for."""
    from minigen.kernels import parallel

    settings = steps.settings_of(model)
    ours, _ = steps.jobs(settings)
    chosen = parallel._taken
    step = steps.stepper(ours.step, list(itertools.islice(ours.loader, steps.BATCHES)))
    for _ in range(2):  # a kernel may ask for the threads when it is first called
        step()
    chosen = chosen or parallel._taken

    def under(taken: bool) -> Callable[[], Any]:
        def timed() -> Any:
            parallel.take_over(taken)
            return step()

        return timed

    return {"minigen": under(chosen), **{name: under(taken) for name, taken in REGIMES.items()}}


def measure(threads: int, rounds: int) -> dict[str, Any]:
    found = {}
    for model in MODELS:
        timed = harness.compare(contenders(model), rounds, 0.15, settle_seconds=0.12)
        better = min(timed[name]["ratio"] for name in REGIMES)
        found[model] = {**timed, "of_the_better": 1 / better}
        print(f"{model:9} {1 / better:.2f} of the better of both, {threads} threads", flush=True)
    return found


def main() -> None:
    parser = harness.parser(__doc__, rounds=11)
    parser.set_defaults(threads=[2])
    options = parser.parse_args()
    if options.part is not None:
        harness.pin(options.threads[0])
        measured = measure(options.threads[0], options.rounds)
        options.part.write_text(json.dumps(measured), encoding="utf-8")
        return
    content = {
        str(threads): harness.in_subprocess(__file__, threads, "--rounds", options.rounds)
        for threads in options.threads
    }
    print(f"written to {harness.record('regimes', {'threads': content}, options.out)}")


if __name__ == "__main__":
    main()
