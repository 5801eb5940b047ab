"""x[index]: basic indexing gives views, tensors and masks as indices give copies, as in PyTorch.

An index is taken apart into two operations one after the other: a view by its integers, slices,
None and Ellipsis, and then, if there are any, the tensors.  (NumPy's own rule for integers next to
index arrays differs from PyTorch's.)  The gradient of reading places is adding to these places, and
the gradient of adding is reading, so either can be differentiated any number of times.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import Variable, differentiable, wrap
from minigen.errors import ShapeError
from minigen.ops.accumulate import add_at_places, add_rows
from minigen.ops.dims import wrap_dim
from minigen.ops.shape import broadcast_tensors
from minigen.tensor import Tensor, method

__all__ = ["getitem", "index_select", "masked_select", "narrow", "nonzero", "select"]

_BASIC = frozenset((int, slice, type(None), type(...)))

# -------------------------------------------------------------------------------- basic: a view


@differentiable(view=True)
def _getitem(input: Any, index: tuple) -> Any:
    return input[index]


@differentiable
def _place_region(values: Any, shape: tuple, index: tuple) -> Any:
    """Zeros of `shape` with these values in the region `index`."""
    output = np.zeros_like(values, shape=shape)
    output[index] = values
    return output


_getitem.gradients(input=lambda g, input_shape, index: _place_region(g, input_shape, index))
_place_region.gradients(values=lambda g, index: _getitem(g, index))

# ---------------------------------------------------------------------- one tensor as the index


@differentiable
def take(input: Any, dim: int, index: Any) -> Any:
    """The slices of input at `index`, whose dimensions take the place of `dim`.

    (..., n, ...), index (a, b) -> (..., a, b, ...)
    """
    return np.take(input, backend.beside(index, input), dim)


@differentiable
def add_slices(values: Any, shape: tuple, dim: int, index: Any) -> Any:
    """Zeros of `shape` to which values[..., i, ...] was added at index[i] of `dim`."""
    before, after = shape[:dim], shape[dim + 1 :]
    values = values.reshape(*before, index.size, *after)
    index = backend.beside(index, values)
    rows = add_rows(index.reshape(-1), np.moveaxis(values, dim, 0), shape[dim])
    return np.moveaxis(rows, 0, dim)


take.gradients(input=lambda g, input_shape, dim, index: add_slices(g, input_shape, dim, index))
add_slices.gradients(values=lambda g, dim, index: take(g, dim, index))

# -------------------------------------------------------------------------- several as the index


@differentiable
def pick(input: Any, places: tuple) -> Any:
    """The elements at `places`: index arrays, and slices for whole dimensions between them."""
    return input[places]


@differentiable
def _add_places(values: Any, shape: tuple, places: tuple) -> Any:
    """Zeros of `shape` to which the values were added at these places."""
    return add_at_places(values, shape, places)


pick.gradients(input=lambda g, input_shape, places: _add_places(g, input_shape, places))
_add_places.gradients(values=lambda g, places: pick(g, places))

# -------------------------------------------------------------------------- one mask as the index


@differentiable
def _mask(input: Any, mask: Any) -> Any:
    return input[mask]


@differentiable
def _place_masked(values: Any, shape: tuple, mask: Any) -> Any:
    """Zeros of `shape` with the values where the mask is true."""
    output = np.zeros_like(values, shape=shape)
    output[mask] = values
    return output


_mask.gradients(input=lambda g, input_shape, mask: _place_masked(g, input_shape, mask))
_place_masked.gradients(values=lambda g, mask: _mask(g, mask))

# ------------------------------------------------------------------------------ reading an index


def _check_slice(index: Any) -> None:
    if index.__class__ is slice and index.step is not None and int(index.step) <= 0:
        raise ValueError(f"getitem: the step of a slice must be greater than zero, got {index}")


def _as_item(item: Any, like: Any) -> Any:
    """One entry of an index: an int, slice, None, Ellipsis, bool, or an index or mask tensor."""
    if item.__class__ in _BASIC:
        _check_slice(item)
        return item
    if isinstance(item, list | tuple | range):
        item = np.asarray(item) if len(item) else np.zeros(0, np.int64)
    if isinstance(item, bool | np.bool_):
        return bool(item)
    array = item.array if isinstance(item, Variable) else item
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if kind not in ("b", "i", "u"):
        raise IndexError(
            "getitem: an index is made of integers, slices, Ellipsis, None, and tensors or lists "
            f"of integers or booleans; got {(kind and array.dtype) or type(item).__name__}"
        )
    if kind == "b" or array.dtype == np.uint8:
        return bool(array) if array.ndim == 0 else array.astype(bool, copy=False)
    if array.ndim == 0:
        return int(array)
    if isinstance(item, Variable):
        return item
    return backend.to_device(array, backend.device_of(like))


def _width(item: Any) -> int:
    """How many dimensions of the input an entry stands for."""
    if item is None or item is ... or isinstance(item, bool):
        return 0
    mask = item.__class__ not in _BASIC and not isinstance(item, Variable) and item.dtype == bool
    return item.ndim if mask else 1


def _read(index: tuple, input: Any) -> tuple[tuple, dict]:
    """The basic index, and for dimensions of its result the index array there."""
    array = input.array if isinstance(input, Variable) else input
    items = [_as_item(item, array) for item in index]
    if sum(item is ... for item in items) > 1:
        raise IndexError("getitem: an index can have a single ellipsis (...)")
    used = sum(map(_width, items))
    if used > array.ndim:
        raise IndexError(
            f"getitem: too many indices for a tensor of dimension {array.ndim}: {used} are given"
        )
    basic: list = []
    tensors: dict = {}
    source = target = 0  # the dimension of the input, and of the basic result, that comes next
    for item in items:
        width = _width(item)
        if item is ...:
            width = array.ndim - used
            basic += [slice(None)] * width
            target += width
        elif isinstance(item, bool):
            basic.append(None)
            tensors[target] = backend.array_module(array).zeros(int(item), np.int64)
            target += 1
        elif item.__class__ in _BASIC:
            basic.append(item)
            target += item.__class__ is not int
        else:
            basic += [slice(None)] * width
            parts = (item,)
            if not isinstance(item, Variable) and item.dtype == bool:
                _check_mask(item, array.shape, source)
                parts = item.nonzero()
            for part in parts:
                tensors[target] = part
                target += 1
        source += width
    return tuple(basic), tensors


def _check_mask(mask: Any, shape: tuple, dim: int) -> None:
    if mask.shape != shape[dim : dim + mask.ndim]:
        raise IndexError(
            f"getitem: the shape of the mask {mask.shape} at index {dim} does not match the shape "
            f"of the indexed tensor {shape}"
        )


def _places(tensors: dict) -> tuple:
    """The index arrays with slices for the dimensions between; copies, as the graph keeps them."""
    return tuple(
        (t.array.copy() if isinstance(t, Variable) else t) if t is not None else slice(None)
        for t in (tensors.get(dim) for dim in range(max(tensors) + 1))
    )


class Region:
    """What x[index] stands for, the index read once: a view, and perhaps places in it."""

    def __init__(self, index: Any, array: Any) -> None:
        self.basic, tensors = _read(index if isinstance(index, tuple) else (index,), array)
        self.places = _places(tensors) if tensors else None

    def read(self, value: Any) -> Any:
        """The region of an array or tensor."""
        view = _getitem(value, self.basic)
        return view if self.places is None else pick(view, self.places)

    def write(self, array: Any, value: Any) -> None:
        if self.places is None:
            array[self.basic] = value
        else:
            array[self.basic][self.places] = value


def read_index(name: str, index: tuple, input: Any) -> tuple:
    """An index made of tensors and masks alone, for `pick`.  Raises IndexError for another."""
    given = []
    for item in index:
        if not isinstance(item, Variable) and item != slice(None):
            raise IndexError(f"{name}: an index is made of tensors and None, got {item!r}")
        scalar = isinstance(item, Variable) and item.array.ndim == 0
        given.append(item.reshape(1) if scalar else item)
    _, tensors = _read(tuple(given), input)
    if not tensors:
        raise IndexError(f"{name}: expects at least one index tensor")
    return _places(tensors)


@method("__getitem__")
def getitem(input: Any, index: Any) -> Any:
    """input[index].

    Integers, slices, None and Ellipsis give a view; tensors or lists of integers or booleans give a
    copy.  Raises IndexError for what is out of range.

    >>> import minigen
    >>> x = minigen.arange(6).reshape(2, 3)
    >>> x[:, -1], x[x > 3], x[minigen.tensor([1, 0]), 2]
    (tensor([2, 5]), tensor([4, 5]), tensor([5, 2]))
    """
    kind = index.__class__
    if kind is int:
        return _getitem(input, (index, ...))
    if kind is tuple:
        if _BASIC.issuperset(map(type, index)):
            for item in index:
                _check_slice(item)
            return _getitem(input, index if ... in index else (*index, ...))
    elif isinstance(index, Tensor):
        dtype, ndim = index.array.dtype, index.array.ndim
        if dtype.kind == "b" and ndim and input.shape[:ndim] == index.shape:
            return _mask(input, index)
        if dtype.kind == "i" and ndim and len(input.shape):
            return take(input, 0, index)
    basic, tensors = _read(index if kind is tuple else (index,), input)
    if not tensors or basic.count(slice(None)) < len(basic):
        input = _getitem(input, (*basic, ...))
    if len(tensors) == 1:
        ((dim, only),) = tensors.items()
        return take(input, dim, only)
    return pick(input, _places(tensors)) if tensors else input


@method("select")
def select(input: Any, dim: int, index: Any) -> Any:
    """The slice at `index` of dimension `dim`, which is taken away; a view.

    >>> import minigen
    >>> minigen.arange(6).reshape(2, 3).select(1, -1)
    tensor([2, 5])
    """
    if not len(input.shape):
        raise IndexError("select: a 0-d tensor has no slices")
    dim, n = wrap_dim(dim, len(input.shape)), int(index)
    if not -input.shape[dim] <= n < input.shape[dim]:
        raise IndexError(f"select: index {n} is out of range for {tuple(input.shape)} in dim {dim}")
    return _getitem(input, ((slice(None),) * dim) + (n, ...))


@method("narrow")
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` slices from `start` on along `dim`; a view.

    >>> import minigen
    >>> minigen.arange(5).narrow(0, 1, 2)
    tensor([1, 2])
    """
    if not len(input.shape):
        raise ShapeError("narrow: a 0-d tensor has no dimension to narrow")
    dim, first = wrap_dim(dim, len(input.shape)), int(start)
    size = input.shape[dim]
    if not -size <= first <= size or length < 0:
        raise IndexError(
            f"narrow: start {first} or length {length} is out of range for size {size}"
        )
    first += size if first < 0 else 0
    if first + length > size:
        raise ShapeError(
            f"narrow: start {first} + length {length} exceeds size {size} of dimension {dim}"
        )
    return _getitem(input, ((slice(None),) * dim) + (slice(first, first + length),))


def marked(values: Any, index: Any, size: int) -> Any:
    """What was read at an index; on a GPU, NaN is put where that is outside [0, size - 1].

    To raise an error there would be to wait for the GPU in every step; without it CuPy reads
    somewhere else.  values (*index.shape, ...); those that are no floats pass as they are.
    """
    if not backend.on_gpu(values) or values.dtype.kind != "f" or not index.size:
        return values
    outside = (index < 0) | (index >= size)
    outside = outside.reshape(index.shape + (1,) * (values.ndim - index.ndim))
    np.copyto(values, values.dtype.type(np.nan), where=outside)  # in place: it reads the mask alone
    return values


def check_range(operation: str, index: Any, size: int, dim: int) -> None:
    """Raise IndexError, naming it, for a value outside [0, size - 1].  On a GPU see `marked`."""
    if index.size and not backend.on_gpu(index):
        low, high = index.min(), index.max()
        if low < 0 or high >= size:
            raise IndexError(
                f"{operation}: index {low if low < 0 else high} is out of bounds for dimension "
                f"{dim} with size {size}"
            )


def index_array(operation: str, index: Any) -> Any:
    """The array of an index tensor.  Raises TypeError unless it holds int64 or int32."""
    array = index.array if isinstance(index, Variable) else index
    if getattr(array, "dtype", None) not in (np.int64, np.int32):
        what = getattr(array, "dtype", type(index).__name__)
        raise TypeError(f"{operation}: expects an index tensor of int64 or int32, got {what}")
    return array


@method("index_select")
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices of input along `dim` that the 1-d tensor `index` names, as a copy.

    >>> import minigen
    >>> minigen.arange(6).reshape(2, 3).index_select(1, minigen.tensor([2, 0]))
    tensor([[2, 0],
            [5, 3]])
    """
    dim, array = wrap_dim(dim, len(input.shape)), index_array("index_select", index)
    if array.ndim > 1:
        raise IndexError(f"index_select: expects a 1-d index, got {array.ndim} dimensions")
    if not len(input.shape):
        return take(input.reshape(1), 0, index).reshape(())
    check_range("index_select", array, input.shape[dim], dim)
    return take(input, dim, index if array.ndim else index.reshape(1))


@method("masked_select")
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where the mask, broadcast against the input, is true; 1-d.

    >>> import minigen
    >>> x = minigen.tensor([1.0, -2.0, 3.0])
    >>> x.masked_select(x > 0)
    tensor([1., 3.])
    """
    if mask.array.dtype != bool:
        raise TypeError(f"masked_select: expects a boolean mask, got {mask.dtype}")
    return _mask(*broadcast_tensors(input, mask))


@method("nonzero")
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Where the elements are not zero: a row of coordinates for each, in row-major order.

    as_tuple: a tuple of one 1-d tensor a dimension instead, which can serve as an index.

    >>> import minigen
    >>> minigen.tensor([[0, 2], [3, 0]]).nonzero()
    tensor([[0, 1],
            [1, 0]])
    """
    array = input.array
    found = np.nonzero(array.reshape(1) if array.ndim == 0 else array)
    if as_tuple:
        return tuple(wrap(each) for each in found)
    rows = np.stack(found, 1) if array.ndim else np.zeros((len(found[0]), 0), np.int64)
    return wrap(rows)
