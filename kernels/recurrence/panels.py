"""What the Numba kernels of all recurrences share: panels of W_hh, their product, scratch memory,
parts of a batch.

W_hh is copied once a call into panels of one vector of columns, (columns / lanes, depth, lanes),
and serves all steps so. A step is a product by the register tiles of attention, four rows by up to
three vectors of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from .. import parallel
from ..attention.tiles import GROUP, next_tile, pack_columns, round_up, tile
from ..elementary import exp_decay, tanh
from ..jit import contiguous, device, jit
from ..simd import BYTES, address, fill, lanes, load, number, peek, poke, shifted, store

Array = Any

DEPTH = 256  # steps of a sum at a time: three vectors of columns so deep stay in the L1 cache
ROWS = (8, 16)  # sequences of a part, and from MANY on
MANY = 64
MULTIPLY_ADDS = 2**23  # all steps together, from which on there are parts
APART = 16  # numbers between rows of scratch memory, lest they share a set of the cache


@device
def product(w, a, a_row, rows, depth, panels, columns, c, c_row):
    """C = A B: A (rows, depth) and C (rows, columns) in `w`, rows filled up to whole groups.

    Rows that only fill a group up are computed like the others. Where such a row is that of a
    sequence without this step, A has what it had in its last one, and C gets what it has.
    """
    n = lanes(w)
    j = 0
    while j < columns:
        take = next_tile((columns - j + n - 1) // n)
        for start in range(0, depth, DEPTH):
            for i in range(0, rows, GROUP):
                tile(
                    w, a + i * a_row + start, a_row, 1, panels, j * depth + start * n, n, n * depth,
                    take, min(DEPTH, depth - start), c + i * c_row + j, c_row, start == 0,
                )  # fmt: skip
        j += take * n


@jit("recurrence columns", "const T[:, ::1]", "T[::1]", seconds=1.0)
def _pack_transposed(weight, panels):
    """W (columns, depth) -> the panels of Wᵀ."""
    columns, depth = weight.shape
    pack_columns(address(weight), 0, depth, columns, depth, address(panels), 0)


@jit("recurrence rows", "const T[:, ::1]", "T[::1]", seconds=0.5)
def _pack(weight, panels):
    """W (depth, columns) -> its panels."""
    depth, columns = weight.shape
    source, w = address(weight), address(panels)
    n = lanes(w)
    whole = columns - columns % n
    for k in range(depth):
        for j in range(0, whole, n):
            store(w, j * depth + k * n, load(source, k * columns + j))
        if whole < columns:
            for i in range(n):
                inside = whole + i < columns
                value = peek(source, k * columns + whole + i) if inside else number(w, 0.0)
                poke(w, whole * depth + k * n + i, value)


@device
def copy(x, y, count):
    for j in range(count):
        poke(y, j, peek(x, j))


@device
def states(w, hidden, first, end):
    """The states of some sequences as rows of scratch memory, filled up with zeros to whole groups.

    Returns how far apart the rows are, and where they end.
    """
    n = hidden.shape[1]
    row = n + APART
    size = row * round_up(end - first, GROUP)
    fill(w, 0, size, number(w, 0.0))
    for i in range(end - first):
        copy(shifted(address(hidden), (first + i) * n), shifted(w, i * row), n)
    return row, size


@device
def gradients(w, rows, features, gates):
    """Rows of zeros for dL/dh, and behind them for those of the gates, in whole groups.

    Returns how far apart the rows of both are, and where the second begin.
    """
    row, wide = round_up(features, lanes(w)) + APART, gates * features + APART
    height = round_up(rows, GROUP)
    fill(w, 0, (row + wide) * height, number(w, 0.0))
    return row, wide, row * height


@device
def present(steps, t, first, end):
    """How many of the sequences have a step t: the first ones."""
    return max(0, min(end, steps[t, 1]) - first)


@device
def sigmoid_of_sum(x, p, y, count):
    one = number(x, 1.0)
    for j in range(count):
        v = peek(x, j) + peek(p, j)
        a = exp_decay(-abs(v))
        top = a if v < 0 else one
        poke(y, j, top / (one + a))


@device
def tanh_of_sum(x, p, y, count):
    for j in range(count):
        poke(y, j, tanh(peek(x, j) + peek(p, j)))


def table(sizes: Sequence[int], reverse: bool) -> Array:
    """(where its rows begin, how many they are) of each step, in the order of the steps."""
    steps = np.array([(end - n, n) for end, n in zip(accumulate(sizes), sizes)], np.int64)
    return np.ascontiguousarray(steps.reshape(-1, 2)[:: -1 if reverse else 1])


def parts(batch: int, multiply_adds: int) -> list[tuple[int, int]]:
    """(first, end) of the sequences of each part, if all steps of all have so much to compute.

    >>> parts(20, 2**28), parts(20, 2**16)
    ([(0, 8), (8, 16), (16, 20)], [(0, 20)])
    """
    if multiply_adds < MULTIPLY_ADDS:
        return [(0, batch)]
    step = ROWS[batch >= MANY]
    return [(first, min(batch, first + step)) for first in range(0, batch, step)]


def workspace(rows: int, features: int, dtype: Any) -> Array:
    """Room for rows of five or fewer times the features in at most three arrays, padded."""
    height, width = rows + GROUP, BYTES // dtype.itemsize
    return np.empty(height * (5 * features + 3 * width + 3 * APART), dtype)


def in_parts(
    kernel: Any, arrays: tuple[Array, ...], steps: Array, batch: int, gates: Array, features: int
) -> None:
    """kernel(*arrays, scratch memory, steps, first, end) for the sequences of each part."""

    def run(part: tuple[int, int]) -> None:
        first, end = part
        kernel(*arrays, workspace(end - first, features, gates.dtype), steps, first, end)

    parallel.each(run, parts(batch, gates.size * features))


def panels(weight: Array, transposed: bool) -> Array:
    """The panels of a weight, or of its transpose."""
    n = BYTES // weight.dtype.itemsize
    columns, depth = weight.shape if transposed else weight.shape[::-1]
    packed = np.empty((columns + n - 1) // n * n * depth, weight.dtype)
    (_pack_transposed if transposed else _pack)(contiguous(weight), packed)
    return packed
