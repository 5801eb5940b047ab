"""Matrix product by Numba: a tile of 4 x 3 dot products at a time, no intrinsics.

The textbook's three loops load two numbers for every multiply-add. A tile of four rows of A and
three columns of B loads seven for twelve, 1.7 multiply-adds a load instead of one half, and its
twelve sums stay in registers: with B transposed first both operands are read along k, number after
number, and as sums may be reordered LLVM makes each of the twelve a vector of eight partial sums.
Twelve sums, three vectors of B and one of A are the sixteen registers of AVX2; with 3 x 4, 4 x 4 or
2 x 6 the compiler spills and half the speed is gone.

Columns come in blocks of 48, so that the rows of B transposed that a block reads are in the cache
while all of A passes by.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..jit import contiguous, device, jit
from ..simd import address, number, peek, poke, shifted

Array = Any

COLUMNS = 48  # of B in a block: 48 rows of Bᵀ with k = 512 are 96 kB in float32


@device
def _dot(a, row, b, column, depth):
    total = number(a, 0.0)
    for k in range(depth):
        total += peek(a, row + k) * peek(b, column + k)
    return total


@device
def _product(a, b, c, m, n, depth):
    """C (m, n) = A (m, depth) Bᵀ, B given by its transpose (n, depth); all three by address."""
    for first in range(0, n, COLUMNS):
        last = min(n, first + COLUMNS)
        for i in range(0, m - 3, 4):
            a0 = i * depth
            a1, a2, a3 = a0 + depth, a0 + 2 * depth, a0 + 3 * depth
            for j in range(first, last - 2, 3):
                b0 = j * depth
                b1, b2 = b0 + depth, b0 + 2 * depth
                s00 = s01 = s02 = s10 = s11 = s12 = number(a, 0.0)
                s20 = s21 = s22 = s30 = s31 = s32 = number(a, 0.0)
                for k in range(depth):
                    x0, x1, x2 = peek(b, b0 + k), peek(b, b1 + k), peek(b, b2 + k)
                    y = peek(a, a0 + k)
                    s00 += y * x0
                    s01 += y * x1
                    s02 += y * x2
                    y = peek(a, a1 + k)
                    s10 += y * x0
                    s11 += y * x1
                    s12 += y * x2
                    y = peek(a, a2 + k)
                    s20 += y * x0
                    s21 += y * x1
                    s22 += y * x2
                    y = peek(a, a3 + k)
                    s30 += y * x0
                    s31 += y * x1
                    s32 += y * x2
                _write_row(c, i * n + j, s00, s01, s02)
                _write_row(c, (i + 1) * n + j, s10, s11, s12)
                _write_row(c, (i + 2) * n + j, s20, s21, s22)
                _write_row(c, (i + 3) * n + j, s30, s31, s32)
            for j in range(last - (last - first) % 3, last):  # columns left over
                for r in range(i, i + 4):
                    poke(c, r * n + j, _dot(a, r * depth, b, j * depth, depth))
        for r in range(m - m % 4, m):  # rows left over
            for j in range(first, last):
                poke(c, r * n + j, _dot(a, r * depth, b, j * depth, depth))


@device
def _write_row(c, at, x, y, z):
    poke(c, at, x)
    poke(c, at + 1, y)
    poke(c, at + 2, z)


@jit("matmul", "const T[:, :, ::1]", "const T[:, :, ::1]", "T[:, :, ::1]", seconds=2.0)
def _products(a, b_transposed, c):
    batch, m, n = c.shape
    depth = a.shape[2]
    for g in range(batch):
        _product(
            shifted(address(a), g * m * depth),
            shifted(address(b_transposed), g * n * depth),
            shifted(address(c), g * m * n),
            m,
            n,
            depth,
        )


def matmul_tile(a: Array, b: Array) -> Array:
    """C = A B, (…, m, k) @ (…, k, n), leading dimensions and 1-D operands as in `np.matmul`.

    If b is a transposed view (x @ weight.T) its rows already lie as the tiles want them and nothing
    is copied. Error: |c - ab| <= (k + 1) u |a||b| in every element.

    >>> matmul_tile(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    left, right = np.atleast_2d(a), b[:, None] if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: {a.shape} @ {b.shape} have different inner dimensions")
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    transposed = right.swapaxes(-1, -2)
    if right.ndim == 2:  # every matrix of a meets the same b: one tall product
        rows = contiguous(left).reshape(1, math.prod(left.shape[:-1]), left.shape[-1])
        columns = contiguous(transposed)[None]
    else:
        rows = contiguous(np.broadcast_to(left, lead + left.shape[-2:]))
        columns = contiguous(np.broadcast_to(transposed, lead + transposed.shape[-2:]))
        rows = rows.reshape(math.prod(lead), *left.shape[-2:])
        columns = columns.reshape(math.prod(lead), *transposed.shape[-2:])
    c = np.empty((rows.shape[0], rows.shape[1], columns.shape[1]), a.dtype)
    _products(rows, columns, c)
    m, n = a.shape[-2:-1], b.shape[-1:] if b.ndim > 1 else ()
    return c.reshape((*lead, *m, *n))
