"""Matrix product, the textbook's three loops.

Idea: cᵢⱼ = Σₖ aᵢₖ bₖⱼ, read off the page: for every row i and column j, walk along k.

What moves: A is read along a row, number after number, B down a column, where the next number lies
a whole row further on. Every step touches another line of the cache (64 bytes) and uses 4 bytes of
it; as soon as a column's lines no longer stay in a cache until the next column wants them, each
step waits for the next larger cache, and at sizes of two to a power for memory, since then a
column's lines all compete for the same few places. Nor can steps that are a row apart be put into
a vector.

Arithmetic intensity: one multiply-add for two numbers loaded, one of A from the L1 cache and one of
B from L2, L3 or memory.

Measured: 0.011 of NumPy's speed (512x512x512, float32, one thread).
"""

from __future__ import annotations

from typing import Any

from ..jit import jit
from ..simd import address, number
from .operands import matrix_by_matrix

Array = Any


@jit("matmul naive", "const T[:, :]", "const T[:, :]", "T[:, ::1]", seconds=0.3)
def _product(a, b, c):
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = number(address(c), 0.0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


def matmul_naive(a: Array, b: Array) -> Array:
    """C = A B, (…, m, k) @ (…, k, n), leading dimensions and 1-D operands as in `np.matmul`.

    Error: |c - ab| <= (k + 1) u |a||b| in every element.

    >>> import numpy as np
    >>> matmul_naive(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    return matrix_by_matrix(_product, a, b)
