"""Matrix product on a GPU, the textbook's sum in a thread for every element.

Idea: a thread has row i and column j and walks along k: cᵢⱼ = Σₖ aᵢₖ bₖⱼ. There is no loop over i
and j: the grid is that loop.

What moves: the 32 threads of a warp are neighbours in x, and here x counts rows. So together they
ask for 32 numbers of A that lie a row apart, each in a sector of its own: 32 bytes are brought for
4 that are wanted, from global memory (or, when lucky, the L2 cache) for every k. All want the same
bₖⱼ, one sector. The simulator shows 32 sectors a warp where 4 would do.

Arithmetic intensity: one multiply-add for two numbers loaded, 8 bytes in float32; with the sectors
counted, far less. It is the first rung; `cuda_coalesced` exchanges two letters.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from ..numba_cuda import blocks
from .cuda_operands import product

Array = Any

SIDE = 16  # a block is SIDE x SIDE threads


@cuda.jit
def _product(a, b, c):
    i, j, matrix = cuda.grid(3)  # x, which counts fastest, is the row
    if i < c.shape[1] and j < c.shape[2]:
        total = c.dtype.type(0)
        for k in range(a.shape[2]):
            total += a[matrix, i, k] * b[matrix, k, j]
        c[matrix, i, j] = total


def matmul_cuda_naive(a: Array, b: Array) -> Array:
    """C = A B of CuPy arrays, (…, m, k) @ (…, k, n), leading dimensions as in `np.matmul`.

    Error: |c - ab| <= (k + 1) u |a||b| in every element. Raises: see `cuda_operands.product`.
    """
    return product(_product, lambda m, n: blocks((m, SIDE), (n, SIDE)), (SIDE, SIDE), a, b)
