"""Matrix product in cache blocks, with two rows and four steps of the sum at a time.

Idea: the loops of `reordered`, cut into blocks of B that stay in a cache while all rows of A pass
by, and unrolled by hand: two rows of C take four rows of B each time, so that a number of C is
loaded and stored once for four multiply-adds and a number of B loaded once for two. Blocks alone,
without the unrolling, gain nothing: it is the loads and stores of C that hold the processor up.

What moves: a block of B, 64 x 256 numbers (64 kB in float32), is read from memory once and stays in
L2; four of its rows and two of C (6 kB) are in L1.

Arithmetic intensity: eight multiply-adds for six numbers loaded (four of B, two of C) and two
stored; the eight numbers of A stay in registers along the row.

Measured: 1.4 times as fast as `reordered` (512x512x512, float32, one thread).
"""

from __future__ import annotations

from typing import Any

from ..jit import contiguous, device, jit
from .operands import matrix_by_matrix

Array = Any

DEPTH, COLUMNS = 64, 256  # of a block of B


@device
def _two_rows(a0, a1, b, left, right, c0, c1):
    """Two rows of C += two rows of A times columns `left` to `right` of as many rows of B."""
    whole = a0.size - a0.size % 4
    for k in range(0, whole, 4):
        b0, b1 = b[k, left:right], b[k + 1, left:right]
        b2, b3 = b[k + 2, left:right], b[k + 3, left:right]
        a00, a01, a02, a03 = a0[k], a0[k + 1], a0[k + 2], a0[k + 3]
        a10, a11, a12, a13 = a1[k], a1[k + 1], a1[k + 2], a1[k + 3]
        for j in range(c0.size):
            x0, x1, x2, x3 = b0[j], b1[j], b2[j], b3[j]
            c0[j] += a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
            c1[j] += a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
    for k in range(whole, a0.size):  # steps left over
        a00, a10, b0 = a0[k], a1[k], b[k, left:right]
        for j in range(c0.size):
            c0[j] += a00 * b0[j]
            c1[j] += a10 * b0[j]


@device
def _one_row(a0, b, left, right, c0):
    for k in range(a0.size):
        factor, b0 = a0[k], b[k, left:right]
        for j in range(c0.size):
            c0[j] += factor * b0[j]


@jit("matmul blocked", "const T[:, :]", "const T[:, ::1]", "T[:, ::1]", seconds=1.5)
def _product(a, b, c):
    (m, n), depth = c.shape, a.shape[1]
    for i in range(m):
        c_row = c[i]
        for j in range(n):
            c_row[j] = 0
    for left in range(0, n, COLUMNS):
        right = min(n, left + COLUMNS)
        for first in range(0, depth, DEPTH):
            last = min(depth, first + DEPTH)
            rows = b[first:last]
            for i in range(0, m - 1, 2):
                c0, c1 = c[i, left:right], c[i + 1, left:right]
                _two_rows(a[i, first:last], a[i + 1, first:last], rows, left, right, c0, c1)
            if m % 2:
                _one_row(a[m - 1, first:last], rows, left, right, c[m - 1, left:right])


def matmul_blocked(a: Array, b: Array) -> Array:
    """C = A B, (…, m, k) @ (…, k, n), leading dimensions and 1-D operands as in `np.matmul`.

    B is copied if its rows are not contiguous. Error: |c - ab| <= (k + 1) u |a||b| in every
    element.

    >>> import numpy as np
    >>> matmul_blocked(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    return matrix_by_matrix(lambda a, b, c: _product(a, contiguous(b), c), a, b)
