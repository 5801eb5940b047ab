"""minigen's simulator of CUDA blocks beside Numba's: seconds of both for the tiled matmul.

    python benchmarks/simulator.py          writes results/simulator.json

Numba's simulator (NUMBA_ENABLE_CUDASIM=1) is a thread of the operating system for every thread of a
block, and has to be chosen before Numba is imported: so each runs in a process of its own, one
after the other. The first launch of each, with 8 x 8 matrices, is not timed. Counted is the time of
the processor, that of all threads: neither simulator uses more than one core at once, and other
work on the machine does not enter.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
from harness import pin, record

SIZES = (24, 32, 64)
REPEATS = 9  # of minigen's; Numba's takes seconds and is run once

Kernel = Any


def kernel() -> tuple[Kernel, int]:
    """The rung that tiles in shared memory, and its tile."""
    from minigen.kernels.matmul import cuda_shared

    return cuda_shared._product, cuda_shared.TILE


def example(size: int, tile: int) -> tuple[tuple, tuple, list[np.ndarray]]:
    """Grid, block and arrays of a product of two matrices."""
    rng = np.random.default_rng(size)
    a, b = rng.standard_normal((2, 1, size, size)).astype(np.float32)
    blocks = -(-size // tile)
    return (blocks, blocks, 1), (tile, tile, 1), [a, b, np.full_like(a, np.nan)]


def seconds(simulator: str, size: int) -> float:
    """What one launch takes; the result is checked."""
    function, tile = kernel()
    if simulator == "minigen":
        from minigen.kernels.simulator import simulate

        run = lambda grid, block, arrays: simulate(function)[grid, block](*arrays).check()  # noqa: E731
    else:
        run = lambda grid, block, arrays: function[grid, block](*arrays)  # noqa: E731
    run(*example(8, tile))
    times = []
    for _ in range(REPEATS if simulator == "minigen" else 1):
        grid, block, arrays = example(size, tile)
        start = time.process_time()
        run(grid, block, arrays)
        times.append(time.process_time() - start)
        a, b, c = arrays
        np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)
    return statistics.median(times)


def in_a_process(simulator: str, size: int) -> float:
    """`seconds` in a fresh interpreter."""
    chosen = {"NUMBA_ENABLE_CUDASIM": "1" if simulator == "numba" else "0"}
    command = [sys.executable, __file__, simulator, str(size)]
    done = subprocess.run(
        command, env={**os.environ, **chosen}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    """Measure every size with both, and record."""
    pin(1)
    rows = []
    for size in SIZES:
        ours, numbas = (in_a_process(name, size) for name in ("minigen", "numba"))
        rows.append({"size": size, "minigen_s": ours, "numba_s": numbas, "ratio": numbas / ours})
        print(
            f"{size}: {ours:.4f} s, Numba's {numbas:.2f} s: {numbas / ours:.0f} times", flush=True
        )
    print(record("simulator", {"kernel": "matmul cuda_shared, tile 16, float32", "rows": rows}))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(seconds(sys.argv[1], int(sys.argv[2])))
    else:
        main()
