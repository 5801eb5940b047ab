"""Order: sort, topk, median, searching in what is sorted, and counting equal values.

Equal elements keep their order (every sort is stable, as PyTorch's on the CPU), and NaN counts as
the largest value.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigen import backend
from minigen.autograd import Variable, differentiable, wrap
from minigen.backend import quiet
from minigen.errors import ShapeError, describe
from minigen.ops.dims import wrap_dim
from minigen.ops.reduction import Extremes, along, extreme_gradient
from minigen.ops.scatter import gather
from minigen.tensor import method

__all__ = [
    "argsort",
    "bincount",
    "bucketize",
    "histc",
    "histogram",
    "median",
    "searchsorted",
    "sort",
    "topk",
    "unique",
]


@differentiable
def _order(input: Any, dim: int, descending: bool) -> Any:
    """The places of the elements in ascending or descending order."""
    if input.ndim == 0:
        return np.zeros_like(input, np.int64)
    if not descending:
        return np.argsort(input, dim, kind="stable")
    # the largest first, equal ones in their order: an ascending sort read from the end
    return input.shape[dim] - 1 - np.flip(np.argsort(np.flip(input, dim), dim, kind="stable"), dim)


@method("argsort")
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The places of the elements along `dim` in ascending (or descending) order, as int64.

    >>> import minigen
    >>> minigen.tensor([3.0, 1.0, 2.0]).argsort()
    tensor([1, 2, 0])
    """
    return _order(input, wrap_dim(dim, len(input.shape)), descending)


@method("sort")
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Extremes:
    """(values, indices) along `dim` in ascending (or descending) order.

    >>> import minigen
    >>> minigen.tensor([3.0, 1.0, 2.0]).sort().values
    tensor([1., 2., 3.])
    """
    indices = argsort(input, dim, descending)
    return Extremes(gather(input, dim, indices), indices)


@differentiable
def _largest(input: Any, k: int, dim: int, largest: bool) -> Any:
    """The places of the k largest (smallest) elements, in descending (ascending) order."""
    n = input.shape[dim]
    if k == 0 or k > n // 8:
        order = _order(input, dim, largest)
        return order[(slice(None),) * dim + (slice(k),)]
    kth, part = (n - k, slice(n - k, n)) if largest else (k - 1, slice(k))
    places = np.argpartition(input, kth, dim)[(slice(None),) * dim + (part,)]
    places = np.sort(places, dim)
    best = _order(np.take_along_axis(input, places, dim), dim, largest)
    return np.take_along_axis(places, best, dim)


@method("topk")
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extremes:
    """(values, indices) of the k largest (or smallest) elements along `dim`, in order.

    Raises ShapeError if there are fewer than k.

    >>> import minigen
    >>> minigen.tensor([1.0, 4.0, 3.0]).topk(2).indices
    tensor([1, 2])
    """
    dim = wrap_dim(dim, len(input.shape))
    if not 0 <= k <= (input.shape[dim] if len(input.shape) else 1):
        raise ShapeError(
            f"topk: k = {k} is out of range for dimension {dim} of {tuple(input.shape)}"
        )
    if not len(input.shape):
        if not k:
            raise ShapeError("topk: k must be 1 for a 0-d tensor")
        return sort(input)
    indices = _largest(input, k, dim, largest)
    return Extremes(gather(input, dim, indices), indices)


@differentiable
def _median(input: Any) -> Any:
    if input.size == 0:
        return np.full_like(input, np.nan, shape=())
    flat = np.sort(input.reshape(-1))  # NaN comes last
    broken = flat.dtype.kind == "f" and np.isnan(flat[-1])
    return flat[-1 if broken else (flat.size - 1) // 2]


_median.gradients(input=lambda g, input, output: extreme_gradient(g, input, output, None, False))


@differentiable
def _median_place(input: Any, dim: int) -> Any:
    """Where the median is, or the first NaN; of size 1 in dim."""
    order = _order(input, dim, False)
    rank: Any = (input.shape[dim] - 1) // 2
    if input.dtype.kind == "f":
        missing = np.isnan(input).sum(dim, keepdims=True)
        rank = np.where(missing, input.shape[dim] - missing, rank)
        return np.take_along_axis(order, rank, dim)
    return order[(slice(None),) * dim + (slice(rank, rank + 1),)]


@method("median")
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower of two; or (values, indices) along `dim`.  NaN if one is there.

    >>> import minigen
    >>> minigen.tensor([4.0, 1.0, 3.0, 2.0]).median()
    tensor(2.)
    """
    if dim is None:
        return _median(input)
    dim = wrap_dim(dim, len(input.shape))
    if not len(input.shape):
        return sort(input)
    if input.shape[dim] == 0:
        raise IndexError(f"median: there is none of no elements (shape {tuple(input.shape)})")
    return along(input, _median_place(input, dim), dim, keepdim)


# ---------------------------------------------------------------------------------- searching


@differentiable
def _search(sorted_sequence: Any, input: Any, side: Any) -> Any:
    if sorted_sequence.ndim == 1:
        return np.searchsorted(sorted_sequence, input, side).astype(np.int64, copy=False)
    output = np.empty_like(input, np.int64)
    for place in np.ndindex(sorted_sequence.shape[:-1]):
        output[place] = np.searchsorted(sorted_sequence[place], input[place], side)
    return output


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where each value would be put into an ascending sequence so that it stays in order, int64.

    right: behind equal elements rather than before them (also `side="right"`).
    The last dimension is the sequence; leading dimensions, if any, are those of `input`.

    >>> import minigen
    >>> minigen.searchsorted(minigen.tensor([1, 3, 5]), minigen.tensor([3, 4]))
    tensor([1, 2])
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ShapeError(f"searchsorted: side = {side!r} with right = {right} makes no sense")
    if sorter is not None:
        sorted_sequence = gather(sorted_sequence, -1, sorter)
    if not isinstance(input, Variable):
        input = wrap(backend.as_array(input))
        if len(sorted_sequence.shape) != 1:
            raise ShapeError("searchsorted: a single number needs a 1-d sequence")
    lead = tuple(sorted_sequence.shape[:-1])
    if lead and tuple(input.shape[:-1]) != lead:
        raise ShapeError(
            f"searchsorted: leading dimensions of input {tuple(input.shape)} and of the sequence "
            f"{tuple(sorted_sequence.shape)} must be equal"
        )
    found = _search(sorted_sequence, input, "right" if right or side == "right" else "left")
    return wrap(found.array.astype(np.int32)) if out_int32 else found


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Which bucket each value falls into: boundaries[i - 1] < value <= boundaries[i], or, with
    `right`, boundaries[i - 1] <= value < boundaries[i]."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


# ----------------------------------------------------------------------------------- counting


@method("unique")
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The values that occur, in ascending order, each once; with `dim`, the slices that occur.

    return_inverse: also which of them each element is; return_counts: also how often they occur.

    >>> import minigen
    >>> minigen.tensor([3, 1, 3]).unique(return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    array = input.array
    dim = None if dim is None else wrap_dim(dim, array.ndim)
    values, inverse, counts = np.unique(
        array, return_inverse=True, return_counts=True, axis=dim, equal_nan=False
    )
    results = [wrap(values)]
    if return_inverse:
        results.append(wrap(inverse.reshape(array.shape if dim is None else -1)))
    if return_counts:
        results.append(wrap(counts))
    return tuple(results) if len(results) > 1 else results[0]


@method("bincount")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each of 0, 1, 2, ... occurs in a 1-d tensor, or the sum of their weights.

    Raises ShapeError for negative values or other than 1-d integers.

    >>> import minigen
    >>> minigen.bincount(minigen.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    array = input.array
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise ShapeError("bincount: expects a 1-d tensor of integers >= 0")
    if weights is None:
        return wrap(np.bincount(array, minlength=minlength))
    if tuple(weights.shape) != tuple(input.shape):
        raise ShapeError("bincount: expects weights of the shape of input")
    sums = np.bincount(array, weights.array, minlength)
    return wrap(sums.astype(np.float32 if weights.array.dtype == np.float32 else np.float64))


@method("histc")
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall into each of `bins` bins of equal width from min to max.

    Elements outside are not counted; min = max stands for the extremes of the data.

    >>> import minigen
    >>> minigen.tensor([1.0, 2.0, 1.0]).histc(bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    array = input.array.reshape(-1)
    if array.dtype.kind != "f":
        raise TypeError(f"histc: expects a floating-point tensor, got {input.dtype}")
    if bins < 1:
        raise ShapeError(f"histc: bins must be positive, got {bins}")
    low, high = float(min), float(max)
    if low == high and array.size:
        low, high = float(array.min()), float(array.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite([low, high]).all() and low < high):
        raise ShapeError(f"histc: the range [{low}, {high}] is not finite or not ascending")
    inside = array[(array >= low) & (array <= high)]
    places = ((inside - low) / (high - low) * bins).astype(np.int64)
    counts = np.bincount(np.minimum(places, bins - 1), minlength=bins)
    return wrap(counts.astype(array.dtype))


class Histogram(NamedTuple):
    """What `histogram` returns."""

    hist: Any
    bin_edges: Any


def _edges(array: Any, bins: Any, range: Any) -> Any:
    """The borders of the bins: those that are given, or of equal widths over the range."""
    if isinstance(bins, Variable):
        if range is not None:
            raise ShapeError("histogram: give either the edges of the bins, or a range")
        edges = bins.array
        if edges.ndim != 1 or edges.size < 2 or (np.diff(edges) < 0).any():
            raise ShapeError(
                f"histogram: edges must be ascending, at least 2; got {describe(bins)}"
            )
        if edges.dtype != array.dtype:
            raise TypeError(f"histogram: edges of {edges.dtype} do not fit {array.dtype}")
        return edges
    if bins < 1:
        raise ShapeError(f"histogram: bins must be positive, got {bins}")
    if range is not None:
        low, high = map(float, range)
    else:
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)
    if not (np.isfinite([low, high]).all() and low <= high):
        raise ShapeError(f"histogram: the range [{low}, {high}] is not finite or not ascending")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1).astype(array.dtype)


@method("histogram")
def histogram(
    input: Any, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """How many elements fall into each bin, [left, right) but the last, which is closed.

    bins:    how many of equal width, over `range` (low, high), or from the least to the largest
             element; or a tensor of the n + 1 edges.  Elements outside are not counted.
    weight:  what each element counts, of the shape of input.
    density: divide by the sum and by the width of the bin, so that the integral is 1.
    Returns hist (n) and bin_edges (n + 1).

    >>> import minigen
    >>> minigen.tensor([1.0, 2.0, 1.0]).histogram(2, range=(1, 3)).hist
    tensor([2., 1.])
    """
    array = input.array.reshape(-1)
    if array.dtype.kind != "f":
        raise TypeError(f"histogram: expects a floating-point tensor, got {input.dtype}")
    if weight is not None and (weight.shape != input.shape or weight.dtype != input.dtype):
        raise ShapeError(
            f"histogram: weight {describe(weight)} must have shape and dtype of {describe(input)}"
        )
    edges = _edges(array, bins, range)
    inside = (array >= edges[0]) & (array <= edges[-1])
    places = np.minimum(np.searchsorted(edges, array[inside], "right"), edges.size - 1) - 1
    weights = None if weight is None else weight.array.reshape(-1)[inside]
    hist = np.bincount(places, weights, edges.size - 1).astype(array.dtype)
    if density:
        with quiet():
            hist = hist / (hist.sum() * np.diff(edges))
    return Histogram(wrap(hist), wrap(edges.copy()))
