"""Sums into rows that may be named more than once, and dropout: by their formulas and by NumPy.

    add_rows(values, rows, count) -> table    (n, width), int64 (n,) -> (count, width)
    dropout(x, mask, scale) -> y              mask of booleans, of x's shape

add_rows is the gradient of looking rows up: of an embedding, of `take`, of an index. The sums are
the same in every run; those of the numba rung are in the order of the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .vectorised import silently

Array = Any

SHORT = 32  # elements of a row up to which bincount was faster (16,384 rows, 65 places)


def checked_rows(values: Array, rows: Array, count: int) -> Array:
    """The rows, counted from the front; an IndexError that names the first outside the table.

    On a GPU rows outside are not looked for, as that would make the program wait for it.
    """
    if rows.shape != values.shape[:1]:
        raise ValueError(f"add_rows: {rows.shape} rows for values of shape {values.shape}")
    if not isinstance(rows, np.ndarray):
        return np.where(rows < 0, rows + count, rows)
    if rows.size and (rows.min() < -count or rows.max() >= count):
        first = int(np.flatnonzero((rows < -count) | (rows >= count))[0])
        raise IndexError(f"add_rows: {rows[first]} at {first} is no row of a table of {count}")
    return np.where(rows < 0, rows + count, rows) if (rows < 0).any() else rows


def add_rows_reference(values: Array, rows: Array, count: int) -> Array:
    """table[r] = Σ values[i] where rows[i] = r, in float64; negative rows count from the end.

    >>> add_rows_reference([[1.0], [2.0], [3.0]], np.array([0, 2, 0]), 3).ravel()
    array([4., 0., 2.])
    """
    values = np.asarray(values, np.float64)
    table = np.zeros((count, *values.shape[1:]))
    np.add.at(table, checked_rows(values, np.asarray(rows), count), values)
    return table


def add_rows(values: Array, rows: Array, count: int) -> Array:
    """table[r] = Σ values[i] where rows[i] = r.

    `np.add.at` takes microseconds a row. Two faster ways: counting with weights (`bincount`, in
    float64) for short rows, sorting and adding neighbours (`add.reduceat`) for long ones.

    >>> add_rows(np.array([[1.0], [2.0], [3.0]]), np.array([0, 2, 0]), 3).ravel()
    array([4., 0., 2.])
    """
    width = values.shape[1]
    table = np.zeros((count, width), values.dtype)
    rows = checked_rows(values, rows, count)
    if not values.size:
        return table
    if width <= SHORT:
        places = rows if width == 1 else (rows[:, None] * width + np.arange(width)).reshape(-1)
        sums = np.bincount(places, values.reshape(-1), count * width)
        return sums.astype(values.dtype, copy=False).reshape(count, width)
    order = rows.argsort(kind="stable")
    ordered = rows[order]
    first = np.flatnonzero(np.concatenate([ordered[:1] >= 0, ordered[1:] != ordered[:-1]]))
    if len(first) == len(rows):
        table[rows] = values
    else:
        table[ordered[first]] = np.add.reduceat(values[order], first, axis=0)
    return table


def add_rows_by_halves(values: Array, rows: Array, count: int) -> Array:
    """table[r] = Σ values[i] where rows[i] = r, for GPUs: the same bits in every run.

    `np.add.at` adds there with atomics, in whatever order threads arrive. Here rows are sorted, so
    that those of one place stand together, and such a run of neighbours is summed as a tree
    (Hillis and Steele, "Data parallel algorithms", 1986): after k passes every element holds the
    sum of up to 2^k of its run, from itself on. The first of a run then holds all of it, and is
    looked up by each row of the table. The number of passes, log2 n, depends on the shape alone:
    nothing waits for the GPU. A pass reads the values twice and writes them once.
    """
    n = len(rows)
    if not values.size:
        return np.zeros_like(values, shape=(count, values.shape[1]))
    rows = checked_rows(values, rows, count)
    order = rows.argsort(kind="stable")
    ordered, sums = np.take(rows, order), np.take(values, order, axis=0)
    reach = 1
    while reach < n:
        same = (ordered[reach:] == ordered[:-reach])[:, None]
        more = np.where(same, sums[reach:], sums.dtype.type(0))
        sums[:-reach] += more
        reach *= 2
    places = np.arange(count, like=rows)
    first = np.minimum(np.searchsorted(ordered, places), n - 1)
    found = np.take(ordered, first) == places
    return np.where(found[:, None], np.take(sums, first, axis=0), sums.dtype.type(0))


def dropout_reference(x: Array, mask: Array, scale: float) -> Array:
    """x · mask · scale, in float64 (Srivastava et al. 2014, section 4, in inverted form)."""
    with np.errstate(invalid="ignore"):
        return np.asarray(x, np.float64) * np.where(mask, scale, 0.0)


@silently
def dropout(x: Array, mask: Array, scale: float) -> Array:
    """x · mask · scale.

    >>> dropout(np.array([1.0, 2.0]), np.array([True, False]), 2.0)
    array([2., 0.])
    """
    y = np.multiply(x, mask, out=np.empty_like(x, order="C"))
    y *= x.dtype.type(scale)
    return y
