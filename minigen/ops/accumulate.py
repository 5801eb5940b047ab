"""Sums into places that may be named more than once, always in the same order.

By the kernel `add_rows`, as `np.add.at` takes microseconds a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend

__all__: list[str] = []


def add_rows(rows: Any, values: Any, count: int) -> Any:
    """Zeros (count, ...) to which values[i], (n, ...), was added at row rows[i], (n,).

    Negative rows count from the end.

    >>> add_rows(np.array([0, 2, 0]), np.array([[1.0], [2.0], [3.0]]), 3).ravel()
    array([4., 0., 2.])
    """
    shape = (count, *values.shape[1:])
    if not values.size:
        return np.zeros_like(values, shape=shape)
    known = isinstance(values, np.ndarray) or backend.on_gpu(values)
    if values.dtype.kind != "f" or not known:  # sums of integers are the same in any order
        output = np.zeros_like(values, shape=shape)
        np.add.at(output, rows, values)
        return output
    if values.dtype == np.float16:
        return add_rows(rows, values.astype(np.float32), count).astype(np.float16)
    flat, rows = values.reshape(len(rows), -1), rows.astype(np.int64, copy=False)
    return backend.kernel("add_rows", flat, rows, count).reshape(shape)


def add_at_places(values: Any, shape: tuple, places: tuple) -> Any:
    """Zeros of `shape` to which the values were added at `places`: index arrays, and slices for
    whole dimensions between them."""
    dims = [dim for dim, place in enumerate(places) if not isinstance(place, slice)]
    rest = [dim for dim in range(len(shape)) if dim not in dims]
    sizes = tuple(shape[dim] for dim in dims)
    arrays = [np.where(places[d] < 0, places[d] + n, places[d]) for d, n in zip(dims, sizes)]
    rows: Any = 0
    for array, n in zip(arrays, sizes):
        rows = rows * n + array
    ndim = rows.ndim  # where the index arrays' own dimensions are in the values
    start = dims[0] if dims[-1] - dims[0] == len(dims) - 1 else 0
    moved = np.moveaxis(values, range(start, start + ndim), range(ndim))
    count = 1
    for n in sizes:
        count *= n
    sums = add_rows(rows.reshape(-1), moved.reshape(rows.size, *moved.shape[ndim:]), count)
    kept = tuple(shape[dim] for dim in rest)
    return np.moveaxis(sums.reshape(*sizes, *kept), range(len(dims)), dims)
