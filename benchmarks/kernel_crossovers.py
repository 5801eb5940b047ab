"""Measure from which size on which CPU rung is fastest, and write `kernels/crossovers.py`.

    python benchmarks/kernel_crossovers.py            print the table
    python benchmarks/kernel_crossovers.py --write    and rewrite kernels/crossovers.py

Both rungs run on one thread, interleaved in one process; a ratio is the median of paired rounds,
and a round during which the kernel reports that the processor was contended (/proc/pressure/cpu) is
repeated. Numba is preferred where it is 1.1 times as fast as NumPy and saves at least 20
microseconds a call, but never under 1,024 elements: nobody who types a line of a tutorial should
wait for a compiler. The choice depends on sizes and dtypes only, so that results repeat bit by bit.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minigen import kernels

FASTER, SAVED, FLOOR = 1.1, 20e-6, 1024
SIZES = tuple(4**n for n in range(3, 10))  # 64 to 262,144 elements
TARGET = Path(__file__).parents[1] / "kernels" / "crossovers.py"


def inputs(operation: str, size: int, dtype: str, rng: np.random.Generator) -> tuple[Any, ...]:
    """Arguments of an operation whose deciding array has `size` elements."""

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    rows = max(2, math.isqrt(size // 2))
    shape = (rows, size // rows)
    if operation == "matmul":
        side = math.isqrt(size)
        return normal(side, side), normal(side, side)
    if operation.startswith("attention"):
        time_steps = min(64, max(2, size // 32))
        q, k, v, grad = (
            normal(max(1, size // (32 * time_steps)), time_steps, 32) for _ in range(4)
        )
        if operation == "attention":
            return q, k, v, None, True
        out, logsumexp = kernels.get("attention", "numpy")(q, k, v, None, True)
        return grad, q, k, v, out, logsumexp, None, True
    if operation == "adam":
        return (
            *(normal(size) for _ in range(3)),
            np.ones(size, dtype),
            0,
            0.9,
            0.999,
            1e-8,
            0,
            False,
            9,
        )
    x, weight = normal(*shape), normal(shape[1])
    target = rng.integers(0, shape[1], rows)
    return {
        "erf": (x,),
        "gelu": (x,),
        "gelu_backward": (normal(*shape), x),
        "layer_norm": (x, weight, weight, 1e-5),
        "layer_norm_backward": (normal(*shape), x, weight, normal(rows), normal(rows) ** 2),
        "cross_entropy": (x, target),
        "cross_entropy_backward": (normal(rows), x, target, normal(rows)),
    }[operation]


def stalled() -> float:
    """Seconds that some process has waited for a processor since boot; 0 where Linux cannot say."""
    try:
        text = Path("/proc/pressure/cpu").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(text.splitlines()[0].rpartition("total=")[2]) * 1e-6


def timed(call: Callable[[], Any], repeats: int) -> float:
    """Seconds a call, in a run of `repeats` without contention (or the tenth try)."""
    for _ in range(10):
        before, start = stalled(), time.perf_counter()
        for _ in range(repeats):
            call()
        elapsed = time.perf_counter() - start
        if stalled() - before < 0.02 * elapsed:
            break
        time.sleep(0.02)
    return elapsed / repeats


def compare(
    first: Callable[[], Any], second: Callable[[], Any], rounds: int = 9, block: float = 2e-3
) -> tuple[float, float]:
    """Median seconds of the first, and median of the paired ratios second / first."""
    first(), second()
    repeats = [max(1, int(block / max(timed(f, 1), 1e-7))) for f in (first, second)]
    pairs = []
    for _ in range(rounds):
        pairs.append((timed(first, repeats[0]), timed(second, repeats[1])))
    return statistics.median(a for a, _ in pairs), statistics.median(b / a for a, b in pairs)


def ladder(operation: str, dtype: str) -> list[tuple[int, str, float]]:
    """(size, chosen rung, speed of Numba in units of NumPy's) by rising size."""
    rng = np.random.default_rng(0)
    plain, numba = (kernels.get(operation, rung) for rung in ("numpy", "numba"))
    rows: list[tuple[int, str, float]] = []
    for size in SIZES:
        arguments = inputs(operation, size, dtype, rng)
        seconds, ratio = compare(partial(plain, *arguments), partial(numba, *arguments))
        speedup = 1 / ratio
        wins = size >= FLOOR and speedup >= FASTER and seconds * (1 - ratio) >= SAVED
        rows.append((size, "numba" if wins else "numpy", speedup))
        numpy_time = f"{seconds * 1e6:9.1f} us"
        print(f"{operation:24} {dtype} {size:8,}  numpy {numpy_time}  numba {speedup:5.2f}x")
    return rows


def classes(rows: list[tuple[int, str, float]]) -> list[tuple[int, str, float]]:
    """Neighbours with the same winner become one class; its ratio is their geometric mean.

    A class ends halfway, by ratio, between its last measured size and the next one, which is four
    times as large.
    """
    merged: list[tuple[int, str, list[float]]] = []
    for size, rung, ratio in rows:
        if merged and merged[-1][1] == rung:
            merged[-1] = (size, rung, [*merged[-1][2], ratio])
        else:
            merged.append((size, rung, [ratio]))
    ends = [2 * size for size, _, _ in merged[:-1]] + [sys.maxsize]
    return [
        (end, rung, round(statistics.geometric_mean(ratios), 2))
        for end, (_, rung, ratios) in zip(ends, merged)
    ]


def main() -> None:
    """Measure every operation in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="rewrite kernels/crossovers.py")
    write = parser.parse_args().write
    lines = [
        '"""Which rung is the default, by number of elements of the deciding array.',
        "",
        "    operation: {dtype: ((largest size, default, speed of numba / speed of numpy), ...)}",
        "",
        "Measured and written by benchmarks/kernel_crossovers.py, which says how; one thread.",
        '"""',
        "",
        "import sys",
        "",
        "MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {",
    ]
    for operation in kernels.operations():
        lines.append(f'    "{operation}": {{')
        for dtype in ("float32", "float64"):
            found = classes(ladder(operation, dtype))
            rows = ", ".join(
                f'({"sys.maxsize" if end == sys.maxsize else end}, "{rung}", {ratio})'
                for end, rung, ratio in found
            )
            lines.append(f'        "{dtype}": ({rows},),')
        lines.append("    },")
    lines.append("}")
    if write:
        TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
