"""Matrix product, the same three loops in another order: i, k, j.

Idea: take one number of A and add its multiple of a row of B to a row of C. The additions are those
of the textbook in the same order for every cᵢⱼ; only which of them come one after the other has
changed. Now the innermost loop runs along rows that lie in one piece, and LLVM makes vectors of it:
eight multiply-adds in one instruction. It does so only where it can see that an index is not
negative, which in NumPy would count from the end; hence a row by itself, from 0 to its size.

What moves: a row of C and the rows of B, both in whole lines of the cache. The row of C stays in
L1; all of B passes by for every row of A, from L2, L3 or memory, whichever holds it.

Arithmetic intensity: one multiply-add for two numbers loaded and one stored, a vector at a time;
the number of A is loaded once a row. Loads and stores, not arithmetic, take the time.

Measured: 27 times as fast as `naive` (512x512x512, float32, one thread).
"""

from __future__ import annotations

from typing import Any

from ..jit import contiguous, jit
from .operands import matrix_by_matrix

Array = Any


@jit("matmul reordered", "const T[:, :]", "const T[:, ::1]", "T[:, ::1]", seconds=0.5)
def _product(a, b, c):
    for i in range(c.shape[0]):
        c_row = c[i]
        for j in range(c_row.size):
            c_row[j] = 0
        for k in range(a.shape[1]):
            factor, b_row = a[i, k], b[k]
            for j in range(c_row.size):
                c_row[j] += factor * b_row[j]


def matmul_reordered(a: Array, b: Array) -> Array:
    """C = A B, (…, m, k) @ (…, k, n), leading dimensions and 1-D operands as in `np.matmul`.

    B is copied if its rows are not contiguous. Error: |c - ab| <= (k + 1) u |a||b| in every
    element.

    >>> import numpy as np
    >>> matmul_reordered(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    return matrix_by_matrix(lambda a, b, c: _product(a, contiguous(b), c), a, b)
