"""Sequences and grids: `arange`, `linspace`, `eye`, indices of triangles, `meshgrid`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.backend import silent
from minigen.dtypes import as_dtype, get_default_dtype
from minigen.errors import ShapeError
from minigen.ops.creation import finish, scalar
from minigen.tensor import Tensor

__all__ = [
    "arange",
    "eye",
    "linspace",
    "logspace",
    "meshgrid",
    "tril_indices",
    "triu_indices",
]


def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... before end; `arange(end)` starts at 0.

    int64 if all three are integers, else the default dtype.
    Raises RuntimeError for a step of zero or away from end.

    >>> arange(5)
    tensor([0, 1, 2, 3, 4])
    >>> arange(1, 2, 0.25)
    tensor([1.0000, 1.2500, 1.5000, 1.7500])
    """
    if start is None and end is None:
        raise TypeError("arange: missing the end")
    if end is None:
        start, end = 0, start
    numbers = [scalar("arange", 0 if v is None else v) for v in (start, end, step)]
    if dtype is not None:
        wanted = as_dtype(dtype).numpy
    else:
        whole = all(isinstance(v, int) for v in numbers)
        wanted = np.dtype(np.int64) if whole else get_default_dtype().numpy
    if wanted.kind != "f":
        numbers = [int(v) for v in numbers]
    first, last, by = numbers
    if by == 0:
        raise ShapeError("arange: the step cannot be zero")
    if (last - first) * by < 0:
        raise ShapeError(f"arange: a step of {by} does not lead from {first} to {last}")
    if not math.isfinite(last - first):
        raise ShapeError(f"arange: from {first} to {last} is no finite range")
    if wanted.kind != "f":
        array = np.arange(first, last, by).astype(wanted)
    else:
        count = math.ceil((last - first) / by)
        array = (first + by * np.arange(count, dtype=np.float64)).astype(wanted)
    return finish(array, device, requires_grad)


def _spaced(name: str, start: Any, end: Any, steps: Any) -> np.ndarray:
    count = scalar(name, steps)
    if not isinstance(count, int) or count < 0:
        raise ShapeError(f"{name}: steps must be an integer >= 0, got {steps!r}")
    return silent().run(np.linspace, scalar(name, start), scalar(name, end), count)


def _cast(array: np.ndarray, dtype: Any) -> np.ndarray:
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    return silent().run(array.astype, wanted.numpy)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from start to end, both included.

    >>> linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    return finish(_cast(_spaced("linspace", start, end, steps), dtype), device, requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """base to the power of `linspace(start, end, steps)`.

    >>> logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    powers = silent().run(np.power, float(base), _spaced("logspace", start, end, steps))
    return finish(_cast(powers, dtype), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix (n, n), or ones on the main diagonal of (n, m).

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    m = n if m is None else m
    if n < 0 or m < 0:
        raise ShapeError(f"eye: sizes cannot be negative, got {n} and {m}")
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    return finish(np.eye(n, m, dtype=wanted.numpy), device, requires_grad)


def _triangle(name: str, function: Callable, row: int, col: int, offset: int) -> np.ndarray:
    if row < 0 or col < 0:
        raise ShapeError(f"{name}: sizes cannot be negative, got {row} and {col}")
    return np.stack(function(row, offset, col)).astype(np.int64)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Row and column numbers, (2, N), of the elements on or below the diagonal `offset`.

    >>> tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    found = _triangle("tril_indices", np.tril_indices, row, col, offset)
    return finish(found if dtype is None else _cast(found, dtype), device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Row and column numbers, (2, N), of the elements on or above the diagonal `offset`."""
    found = _triangle("triu_indices", np.triu_indices, row, col, offset)
    return finish(found if dtype is None else _cast(found, dtype), device)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple:
    """Coordinates of a grid: each 1-d tensor along a dimension of its own, all of one shape.

    indexing: "ij" keeps the order of the dimensions; "xy" swaps the first two, as for pictures.
    The results are views.  Raises RuntimeError for tensors of other dtypes or dimensions.

    >>> rows, columns = meshgrid(arange(2), arange(3))
    >>> columns
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        raise TypeError("meshgrid: expects one or more tensors")
    if indexing not in ("ij", "xy"):
        raise ShapeError(f"meshgrid: indexing is 'ij' or 'xy', not {indexing!r}")
    if any(t.ndim > 1 for t in tensors):
        raise ShapeError(f"meshgrid: expects 0-d or 1-d tensors, got {[*map(np.shape, tensors)]}")
    if len({t.dtype for t in tensors}) > 1:
        raise ShapeError("meshgrid: expects tensors of one dtype")
    order = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        order[:2] = [1, 0]
    shape = [tensors[i].numel() for i in order]
    grids = []
    for i, t in enumerate(tensors):
        own = [1] * len(tensors)
        own[order.index(i)] = t.numel()
        grids.append(t.reshape(own).expand(shape))
    return tuple(grids)
