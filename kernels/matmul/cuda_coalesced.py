"""Matrix product on a GPU, neighbouring threads on neighbouring columns.

Idea: `cuda_naive` with rows and columns exchanged: x, along which a warp's threads are neighbours,
counts columns.

What moves: for every k a warp wants 32 neighbouring numbers of B, and later writes 32 neighbours of
C: 4 sectors of 32 bytes, all of which is used. The hardware makes one request of it: the accesses
are *coalesced*. A's number is the same for the threads of a row: one sector, handed to all of them.
The simulator shows the fewest sectors for B and C.

Arithmetic intensity: still one multiply-add for two numbers (8 bytes) that a thread loads; but
every byte that moves is used. What is left is that A's rows and B's columns are read again by every
block that wants them, and again for every k: `cuda_shared` keeps them.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from ..numba_cuda import blocks
from .cuda_operands import product

Array = Any

COLUMNS, ROWS = 32, 8  # of a block: a whole warp along a row of C


@cuda.jit
def _product(a, b, c):
    j, i, matrix = cuda.grid(3)  # x, which counts fastest, is the column
    if i < c.shape[1] and j < c.shape[2]:
        total = c.dtype.type(0)
        for k in range(a.shape[2]):
            total += a[matrix, i, k] * b[matrix, k, j]
        c[matrix, i, j] = total


def matmul_cuda_coalesced(a: Array, b: Array) -> Array:
    """C = A B of CuPy arrays, (…, m, k) @ (…, k, n), leading dimensions as in `np.matmul`.

    Error: |c - ab| <= (k + 1) u |a||b| in every element. Raises: see `cuda_operands.product`.
    """
    return product(_product, lambda m, n: blocks((n, COLUMNS), (m, ROWS)), (COLUMNS, ROWS), a, b)
