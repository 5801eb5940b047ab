"""Matrix product on a GPU, tiles of A and B kept in shared memory.

Idea: a block makes a tile of C, TILE x TILE. It walks along k a tile at a time: its threads fetch a
tile of A and one of B together, one number each, wait for each other, and then every thread takes
its TILE multiply-adds from what the whole block has fetched.

    for every tile along k:  fetch A's and B's tile | barrier | TILE multiply-adds | barrier

The first barrier: nobody reads what is not there yet. The second: nobody overwrites what others
still read. Leave out either and the simulator names two threads that race.

What moves: each number comes from global memory once a block, for TILE uses, instead of once a use:
2 m n k / TILE numbers, which is what the simulator counts. From shared memory, which is near and
fast, still two numbers for every multiply-add: A's is the same for a row of threads, B's are
neighbours, so no two threads want different words of one bank.

Arithmetic intensity: TILE multiply-adds for two numbers from global memory (8 bytes in float32).
What limits it now is that every multiply-add still waits for two loads, if only from shared memory:
`cuda_registers` makes one load serve eight.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from ..numba_cuda import blocks
from .cuda_operands import product

Array = Any

TILE = 16  # a block is TILE x TILE threads


@cuda.jit
def _product(a, b, c):
    a_tile = cuda.shared.array((TILE, TILE), a.dtype)
    b_tile = cuda.shared.array((TILE, TILE), a.dtype)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    j, i, matrix = cuda.grid(3)
    m, n, depth = c.shape[1], c.shape[2], a.shape[2]
    zero = c.dtype.type(0)
    total = zero
    for first in range(0, depth, TILE):
        # Past an edge a zero stands in: it adds nothing, and the loop below needs no test.
        a_tile[y, x] = a[matrix, i, first + x] if i < m and first + x < depth else zero
        b_tile[y, x] = b[matrix, first + y, j] if first + y < depth and j < n else zero
        cuda.syncthreads()
        for k in range(TILE):
            total += a_tile[y, k] * b_tile[k, x]
        cuda.syncthreads()
    if i < m and j < n:
        c[matrix, i, j] = total


def matmul_cuda_shared(a: Array, b: Array) -> Array:
    """C = A B of CuPy arrays, (…, m, k) @ (…, k, n), leading dimensions as in `np.matmul`.

    Error: |c - ab| <= (k + 1) u |a||b| in every element. Raises: see `cuda_operands.product`.
    """
    return product(_product, lambda m, n: blocks((n, TILE), (m, TILE)), (TILE, TILE), a, b)
