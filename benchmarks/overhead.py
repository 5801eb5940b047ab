"""What recording an operation costs: `python benchmarks/overhead.py`.

A chain of 500 `y = y * 1.0001` on 64 float64 numbers, forward and backward with a given cotangent,
on one thread: arithmetic takes almost no time, so this is the engine itself.  Beside it torch, and
HIPS autograd and DeZero where they are installed, each written as its users would.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

harness.pin(1)

import numpy as np  # noqa: E402

LENGTH, SIZE = 500, 64


def chain_of_torch() -> Callable[[], Any]:
    import torch

    harness.torch_threads(1)
    x = torch.rand(SIZE, dtype=torch.float64, requires_grad=True)
    cotangent = torch.ones(SIZE, dtype=torch.float64)

    def run() -> None:
        y = x
        for _ in range(LENGTH):
            y = y * 1.0001
        x.grad = None
        y.backward(cotangent)

    return run


def chain_of_minigen() -> Callable[[], Any]:
    import minigen

    x = minigen.rand(SIZE, dtype=minigen.float64, requires_grad=True)
    cotangent = minigen.ones(SIZE, dtype=minigen.float64)

    def run() -> None:
        y = x
        for _ in range(LENGTH):
            y = y * 1.0001
        x.grad = None
        y.backward(cotangent)

    return run


def chain_of_hips() -> Callable[[], Any]:
    import autograd

    def chain(x: Any) -> Any:
        for _ in range(LENGTH):
            x = x * 1.0001
        return x

    x, cotangent = np.random.default_rng(0).random(SIZE), np.ones(SIZE)

    def run() -> None:
        backward, _ = autograd.make_vjp(chain)(x)
        backward(cotangent)

    return run


def chain_of_dezero() -> Callable[[], Any]:
    np.int = int  # type: ignore[attr-defined]  # noqa: NPY001  (DeZero predates NumPy 1.24)
    import dezero

    x = dezero.Variable(np.random.default_rng(0).random(SIZE))

    def run() -> None:
        y = x
        for _ in range(LENGTH):
            y = y * 1.0001
        x.cleargrad()
        y.backward()

    return run


def chain_of_numpy() -> Callable[[], Any]:
    """The arithmetic alone, as often as forward and backward do it."""
    x = np.random.default_rng(0).random(SIZE)

    def run() -> None:
        y = x
        for _ in range(2 * LENGTH):
            y = y * 1.0001

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    contenders = {}
    for name in ("torch", "minigen", "hips", "dezero", "numpy"):
        try:
            contenders[name] = globals()[f"chain_of_{name}"]()
        except ModuleNotFoundError as error:
            if name == "minigen":
                raise
            print(f"{name}: left out ({error})")
    result = harness.compare(contenders, options.rounds, 0.02)
    path = harness.record(
        "overhead", {"operations": LENGTH, "size": SIZE, "chain": result}, options.out
    )
    for name in contenders:
        micro = result[name]["seconds"] / LENGTH * 1e6
        print(f"{name:8} {result[name]['ratio']:.2f} of torch   ({micro:.1f} us an operation)")
    print(f"disturbed blocks: {result['disturbed_blocks']}; written to {path}")


if __name__ == "__main__":
    main()
