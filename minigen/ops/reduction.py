"""One number out of many: sums, means, extremes.  `dim` is one dimension, several, or None: all."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.backend import silent
from minigen.dtypes import as_dtype
from minigen.ops.dims import numpy_names, wrap_dim, wrap_dims
from minigen.ops.scatter import gather
from minigen.ops.shape import expand, reshape, squeeze
from minigen.tensor import Tensor, method

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "max",
    "mean",
    "min",
    "nansum",
    "sum",
]


class Extremes(NamedTuple):
    """What `max` and `min` return along a dimension."""

    values: Any
    indices: Any


def axes(dim: Any, ndim: int) -> tuple[int, ...] | None:
    """`dim` as NumPy's axis; no dimension named means all of them, as in PyTorch."""
    if dim is None or dim == ():
        return None
    if dim.__class__ is int and -ndim <= dim < ndim:
        return (dim % ndim,)
    dims = wrap_dims(dim, ndim)
    return dims if ndim else None


def spread(g: Any, shape: tuple, dim: Any, keepdim: Any) -> Any:
    """`g`, of the shape of a reduction's result, stretched over the shape that was reduced."""
    if not keepdim:
        dims = axes(dim, len(shape))
        if dims is not None:
            g = reshape(g, _kept(shape, dims))
    return expand(g, shape)


def _kept(shape: tuple, dims: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a reduction's result with the dimensions `dims` kept, as 1."""
    return tuple([1 if i in dims else n for i, n in enumerate(shape)])


def count(shape: tuple, dim: Any) -> int:
    """How many elements go into one result."""
    dims = axes(dim, len(shape))
    return math.prod(shape if dims is None else [shape[d] for d in dims])


# -------------------------------------------------------------------------------------- sums


_add_up: Any = np.add.reduce


def _sum(input: Any, dims: Any, keepdim: Any, dtype: Any) -> Any:
    wanted = input.dtype if dtype is None else as_dtype(dtype).numpy
    if dtype is None and wanted.kind != "f":
        wanted = np.dtype(np.int64)
    if wanted.char == "e":  # too coarse to add up in
        return silent().run(_add_up, input, dims, "f", None, keepdim).astype(wanted)
    return silent().run(_add_up, input, dims, wanted, None, keepdim)


@method("sum")
@differentiable
def sum(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Σ input over `dim`; integers and booleans are summed in int64.  The empty sum is 0.

    >>> import minigen
    >>> minigen.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(dim=0)
    tensor([4., 6.])
    """
    return _sum(input, axes(dim, input.ndim), keepdim, dtype)


sum.gradients(input=lambda g, input_shape, dim, keepdim: spread(g, input_shape, dim, keepdim))


@method("mean")
@differentiable
def mean(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """(1/n) Σ input over `dim`, n elements each; NaN where there are none.

    Raises TypeError for integers: cast them first, or give a floating-point `dtype`.

    >>> import minigen
    >>> minigen.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(dim=1)
    tensor([1.5000, 3.5000])
    """
    if (input.dtype if dtype is None else as_dtype(dtype).numpy).kind != "f":
        raise TypeError(
            "expects a floating-point tensor, since a mean of integers rarely is one; use "
            "x.float().mean() or mean(dtype=...)"
        )
    total, n = _sum(input, axes(dim, input.ndim), keepdim, dtype), count(input.shape, dim)
    return total / n if n else total * float("nan")


mean.gradients(
    input=lambda g, input_shape, dim, keepdim: spread(
        g / (count(input_shape, dim) or 1), input_shape, dim, keepdim
    )
)

# ---------------------------------------------------------------------------------- extremes


def _check_not_empty(name: str, shape: tuple, dim: Any) -> None:
    if count(shape, dim) == 0 and (axes(dim, len(shape)) is None or math.prod(shape) == 0):
        raise IndexError(f"{name}: there is no extreme of no elements (shape {shape}, dim {dim})")


@differentiable
def _tie_weights(input: Any, output: Any, dim: Any, keepdim: Any) -> Any:
    """1/n for each of the n elements of a group that equal its extreme, 0 for the others."""
    dims = axes(dim, input.ndim)
    if not keepdim and dims is not None:
        output = output.reshape(_kept(input.shape, dims))
    equal = (input == output).astype(input.dtype)
    ties = np.add.reduce(equal, dims, keepdims=True)
    if backend.on_gpu(output) or not ties.all():  # NaN is the extreme of some, and equals nothing
        equal += np.isnan(input) & np.isnan(output)
        ties = np.add.reduce(equal, dims, keepdims=True)
    return equal / ties


def extreme_gradient(g: Any, input: Any, output: Any, dim: Any, keepdim: Any) -> Any:
    weights = _tie_weights(input, output, dim, keepdim)
    return spread(g, tuple(weights.shape), dim, keepdim) * weights


@method("amax")
@differentiable
def amax(input: Any, dim: Any = (), keepdim: Any = False) -> Any:
    """The largest element over `dim`; elements that tie share the gradient equally.

    >>> import minigen
    >>> minigen.tensor([[1.0, 3.0], [2.0, 0.0]]).amax(dim=1)
    tensor([3., 2.])
    """
    _check_not_empty("amax", input.shape, dim)
    return input.max(axes(dim, input.ndim), keepdims=keepdim)


@method("amin")
@differentiable
def amin(input: Any, dim: Any = (), keepdim: Any = False) -> Any:
    """The smallest element over `dim`; elements that tie share the gradient equally."""
    _check_not_empty("amin", input.shape, dim)
    return input.min(axes(dim, input.ndim), keepdims=keepdim)


amax.gradients(input=extreme_gradient)
amin.gradients(input=extreme_gradient)


def _position(find: Any, input: Any, dim: Any, keepdim: Any) -> Any:
    """np.argmax or np.argmin, with dim=None for the place in the flattened input."""
    if dim is not None:
        dim = wrap_dim(dim, input.ndim)
        if input.ndim == 0:
            dim = None
    if input.size == 0 and (dim is None or input.shape[dim] == 0):
        raise IndexError(f"there is no extreme of no elements (shape {input.shape}, dim {dim})")
    return find(input, dim, keepdims=keepdim)


@differentiable
def _argmax(input: Any, dim: Any, keepdim: Any) -> Any:
    return _position(np.argmax, input, dim, keepdim)


@differentiable
def _argmin(input: Any, dim: Any, keepdim: Any) -> Any:
    return _position(np.argmin, input, dim, keepdim)


def _check_not_bool(name: str, input: Any) -> None:
    if input.array.dtype.kind == "b":
        raise TypeError(f"{name}: expects numbers, got a boolean tensor; use x.int()")


@method("argmax")
@numpy_names
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The place of the largest element along `dim`, of the first one if several tie, as int64.

    >>> import minigen
    >>> minigen.tensor([[1.0, 3.0], [2.0, 0.0]]).argmax(dim=1)
    tensor([1, 0])
    """
    _check_not_bool("argmax", input)
    return _argmax(input, dim, keepdim)


@method("argmin")
@numpy_names
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The place of the smallest element along `dim`, of the first one if several tie, as int64."""
    _check_not_bool("argmin", input)
    return _argmin(input, dim, keepdim)


def along(input: Any, indices: Any, dim: int, keepdim: bool) -> Extremes:
    """The elements at `indices`, of size 1 in dim, and the indices: what max(dim) returns."""
    values = gather(input, dim, indices)
    if not keepdim and len(input.shape):
        values, indices = squeeze(values, dim), squeeze(indices, dim)
    return Extremes(values, indices)


@method("max")
@numpy_names
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; or (values, indices) along `dim`; or element by element with `other`.

    `max(x)` shares the gradient among ties, `max(x, dim)` gives it to the element at `indices`.

    >>> import minigen
    >>> x = minigen.tensor([[1.0, 3.0], [2.0, 0.0]])
    >>> x.max()
    tensor(3.)
    >>> x.max(dim=1).indices
    tensor([1, 0])
    """
    if dim is None and other is None:
        return amax(input)
    if other is not None or isinstance(dim, Tensor):
        return input.maximum(dim if other is None else other)
    return along(input, _argmax(input, dim, True), dim, keepdim)


@method("min")
@numpy_names
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; or (values, indices) along `dim`; or element by element with `other`.

    `min(x)` shares the gradient among ties, `min(x, dim)` gives it to the element at `indices`.
    """
    if dim is None and other is None:
        return amin(input)
    if other is not None or isinstance(dim, Tensor):
        return input.minimum(dim if other is None else other)
    return along(input, _argmin(input, dim, True), dim, keepdim)


# ------------------------------------------------------------------------ truth and counting


def _truth(name: str, reduce: Any) -> Any:
    def forward(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
        result = reduce(input, axes(dim, input.ndim), keepdims=keepdim)
        return result.astype(np.uint8) if input.dtype == np.uint8 else result

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = f"Whether {name} of the elements over `dim` are not zero."
    return method(name)(differentiable(forward))


all = _truth("all", np.all)
any = _truth("any", np.any)


@method("count_nonzero")
@differentiable
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements over `dim` are not zero, as int64.

    >>> import minigen
    >>> minigen.tensor([[0, 1], [2, 3]]).count_nonzero(dim=1)
    tensor([1, 2])
    """
    return np.add.reduce(input != 0, axes(dim, input.ndim), np.int64)


@method("nansum")
@differentiable
def nansum(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Σ over `dim` of the elements that are not NaN.

    >>> import minigen
    >>> minigen.tensor([1.0, float("nan"), 2.0]).nansum()
    tensor(3.)
    """
    if input.dtype.kind == "f":
        input = np.where(np.isnan(input), input.dtype.type(0), input)
    return _sum(input, axes(dim, input.ndim), keepdim, dtype)


nansum.gradients(
    input=lambda g, input, dim, keepdim: (
        spread(g, tuple(input.shape), dim, keepdim) * (input == input)
    )
)
