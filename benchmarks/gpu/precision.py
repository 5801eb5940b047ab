"""Whether a GPT learns as much in bfloat16: `python benchmarks/gpu/precision.py --out FOLDER`.

The recipe of `minigen train gpt`, at its own size and number of steps, in float32 and with products
in bfloat16, on the same batches, for several seeds. The loss on held-out text is to agree within
what seeds differ by.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import device


def trained(precision: str, seed: int, steps: int | None) -> dict[str, float]:
    """The metrics of a run from its first step to its last."""
    import minigen
    from minigen.precision import at_precision
    from minigen.training.loop import moved
    from minigen.training.recipes import RECIPES, default_settings
    from minigen.training.replay import Replayed

    changes: dict[str, Any] = {"seed": seed, "steps": steps, "precision": precision}
    settings = default_settings("gpt", **changes)
    settings = dataclasses.replace(settings, device=device.PLACE)
    minigen.manual_seed(seed)
    job = RECIPES["gpt"](settings)
    place = minigen.device(device.PLACE)
    batches = itertools.chain.from_iterable(itertools.repeat(job.loader))
    step = at_precision(job.step, precision)
    if device.PLACE == "cuda":
        step = Replayed(step, print)
    began = time.perf_counter()
    with everywhere(precision):
        for batch in itertools.islice(batches, settings.steps):
            step(moved(batch, place))
    loss = job.evaluate(True)["validation_loss"]
    return {"validation_loss": loss, "seconds": time.perf_counter() - began}


def everywhere(precision: str) -> Any:
    """A block in which all products are in that precision, also where float32 is faster."""
    from minigen import kernels

    if precision == "fp32" or device.PLACE != "cuda":
        return contextlib.nullcontext()
    import cupy

    hopper = cupy.cuda.Device().compute_capability == "90"
    return kernels.use(matmul="cuda_wgmma" if hopper else "cuda_bf16")


def default_steps() -> int:
    from minigen.training.recipes import default_settings

    return default_settings("gpt").steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, default=device.RESULTS)
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for seed in options.seeds:
        for precision in ("fp32", "bf16"):
            result = trained(precision, seed, options.steps)
            found.setdefault(precision, {})[str(seed)] = result
            loss = f"{result['validation_loss']:.4f}"
            print(f"seed {seed}, {precision}: {loss} nats a character", flush=True)
    content = {"steps": options.steps or default_steps(), "gpt": found}
    print(f"written to {device.record('precision', content, options.out)}")


if __name__ == "__main__":
    main()
