"""Sums into rows that may be named more than once, and dropout, by Numba: see `scatter.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import contiguous, jit
from ..simd import address, peek, poke
from .parts import each_part
from .scatter import checked_rows

Array = Any


@jit("add_rows", "const T[:, ::1]", "const int64[::1]", "T[:, ::1]", seconds=0.3)
def _add_rows(values, rows, table):
    n, width = values.shape
    p, into = address(values), address(table)
    for i in range(n):
        at, place = i * width, rows[i] * width
        for j in range(width):
            poke(into, place + j, peek(into, place + j) + peek(p, at + j))


@jit("dropout", "const T[::1]", "const boolean[::1]", "T[::1]", "T", "T", seconds=0.3)
def _dropout(x, mask, y, scale, zero):
    for i in range(x.size):
        y[i] = x[i] * (scale if mask[i] else zero)


def add_rows_loop(values: Array, rows: Array, count: int) -> Array:
    """table[r] = Σ values[i] where rows[i] = r, added in the order of i: see `add_rows_reference`.

    >>> add_rows_loop(np.array([[1.0], [2.0], [3.0]]), np.array([0, 2, 0]), 3).ravel()
    array([4., 0., 2.])
    """
    table = np.zeros((count, values.shape[1]), values.dtype)
    _add_rows(contiguous(values), contiguous(checked_rows(values, rows, count)), table)
    return table


def dropout_loop(x: Array, mask: Array, scale: float) -> Array:
    """x · mask · scale: see `dropout_reference`."""
    y = np.empty(x.shape, x.dtype)
    flat = [a.reshape(-1) for a in (contiguous(x), contiguous(mask), y)]
    each_part(_dropout, flat, (scale, 0.0), 1)
    return y
