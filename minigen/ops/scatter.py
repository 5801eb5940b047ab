"""Reading and writing along one dimension at places that an index tensor names.

`gather` and `scatter` take an index of the input's rank; `index_add`, `index_copy` and `index_fill`
move whole slices.  All write into copies; the forms that end in `_` write in place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.errors import ShapeError, describe
from minigen.ops.accumulate import add_rows
from minigen.ops.dims import wrap_dim
from minigen.ops.indexing import add_slices, check_range, getitem, index_array, marked, take
from minigen.tensor import Tensor, method

__all__ = [
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "scatter",
    "scatter_add",
    "take_along_dim",
]


def _region(array: Any, index_shape: tuple, dim: int) -> Any:
    """The part of the array that an index of this shape speaks of: all of `dim`, else its sizes."""
    if all(i == dim or n == array.shape[i] for i, n in enumerate(index_shape)):
        return array
    return array[tuple(slice(None) if i == dim else slice(n) for i, n in enumerate(index_shape))]


def _places(shape: tuple, dim: int, index: Any) -> Any:
    """Where each entry of an index points to in the flattened array of that shape."""
    places: Any = 0
    for d, n in enumerate(shape):
        along = index
        if d != dim:
            along = np.arange(index.shape[d], like=index).reshape(-1, *(1,) * (index.ndim - d - 1))
        places = places * n + along
    return places.reshape(-1)


def check_index(name: str, input: Any, dim: int, index: Any) -> tuple[int, Any]:
    """`dim` counted from the front and the index as an array of input's rank, both checked."""
    dim, index = wrap_dim(dim, input.ndim), index_array(name, index)
    if index.ndim != input.ndim and index.size:
        raise ShapeError(
            f"{name}: index has {index.ndim} dimensions, input {input.ndim}; they must agree"
        )
    if any(i != dim and n > input.shape[i] for i, n in enumerate(index.shape[: input.ndim])):
        raise ShapeError(
            f"{name}: index of shape {index.shape} reaches beyond input of shape {input.shape} in "
            f"a dimension other than {dim}"
        )
    check_range(name, index, input.shape[dim] if input.ndim else 1, dim)
    return dim, index


@method("gather")
@differentiable
def gather(input: Any, dim: int, index: Any) -> Any:
    """output[i][j][k] = input[i][index[i][j][k]][k] for dim = 1, and so on; of the index's shape.

    Raises IndexError for an index outside [0, n - 1].

    >>> import minigen
    >>> x = minigen.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x.gather(1, minigen.tensor([[0], [1]]))
    tensor([[1.],
            [4.]])
    """
    dim, index = check_index("gather", input, dim, index)
    if index.size == 0:
        return np.zeros_like(input, shape=index.shape)
    if input.ndim == 0:
        return input.copy()
    found = np.take_along_axis(_region(input, index.shape, dim), index, dim)
    return marked(found, index, input.shape[dim])


@differentiable
def _add_along(values: Any, shape: tuple, dim: int, index: Any) -> Any:
    """Zeros of `shape` to which the values were added at `index` along dim."""
    output = np.zeros_like(values, shape=shape)
    if not index.size:
        return output
    if not shape:
        return output + values
    dim = wrap_dim(dim, len(shape))
    if index.shape[dim] == 1:  # nothing can be named twice
        np.put_along_axis(_region(output, index.shape, dim), index, values, dim)
        return output
    places = _places(shape, dim, index)
    return add_rows(places, values.reshape(-1), math.prod(shape)).reshape(shape)


gather.gradients(input=lambda g, input_shape, dim, index: _add_along(g, input_shape, dim, index))
_add_along.gradients(values=lambda g, dim, index: gather(g, dim, index))


@method("take_along_dim")
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """As `gather`, but input and indices broadcast against each other in the other dimensions.

    >>> import minigen
    >>> x = minigen.tensor([[3.0, 1.0], [2.0, 4.0]])
    >>> x.take_along_dim(x.argsort(dim=1), dim=1)
    tensor([[1., 3.],
            [2., 4.]])
    """
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    if len(input.shape) != len(indices.shape):
        raise ShapeError(
            f"take_along_dim: input {tuple(input.shape)} and indices {tuple(indices.shape)} must "
            "have the same number of dimensions"
        )
    dim = wrap_dim(dim, len(input.shape))
    shapes = [list(input.shape), list(indices.shape)]
    sizes = [shape[dim] for shape in shapes]
    for shape in shapes:
        shape[dim] = 1
    common = list(np.broadcast_shapes(*map(tuple, shapes)))
    wide = [(*common[:dim], n, *common[dim + 1 :]) for n in sizes]
    return gather(input.expand(wide[0]), dim, indices.expand(wide[1]))


# ------------------------------------------------------------------------------------ scatter


@differentiable
def _scatter(input: Any, src: Any, dim: int, index: Any) -> Any:
    if input.ndim == 0:
        return np.full_like(input, src) if index.size else input
    output = input.copy()
    if index.size:
        np.put_along_axis(_region(output, index.shape, dim), index, src, dim)
    return output


_scatter.gradients(
    input=lambda g, dim, index: _scatter(g, 0, dim, index),
    src=lambda g, dim, index: gather(g, dim, index),
)


@differentiable
def _scatter_add(input: Any, src: Any, dim: int, index: Any) -> Any:
    return input + _add_along(src, input.shape, dim, index)


_scatter_add.gradients(
    input=lambda g: g,
    src=lambda g, dim, index: gather(g, dim, index),
)


def _source(name: str, input: Any, dim: int, index: Any, src: Any) -> Any:
    """The part of src that an index of its shape speaks of; checked."""
    check_index(name, input.array, dim, index)
    if src.dtype != input.dtype:
        raise TypeError(f"{name}: expects src of {input.dtype}, as input, got {src.dtype}")
    shape = tuple(index.shape)
    if shape == tuple(src.shape) or index.array.size == 0:
        return src if index.array.size else src.reshape(-1)[:0].reshape(shape)
    if len(shape) != len(src.shape) or any(n > m for n, m in zip(shape, src.shape)):
        raise ShapeError(f"{name}: index of shape {shape} reaches beyond src {describe(src)}")
    return getitem(src, tuple(slice(n) for n in shape))


@method("scatter")
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None) -> Any:
    """A copy of input with output[index[i][j]][j] = src[i][j] for dim = 0, and so on.

    src: a tensor at least of the index's shape, or a number (also as `value`).  Where an index
    occurs more than once, the last one written stays, and the gradient is right for none: PyTorch
    says so too.

    >>> import minigen
    >>> minigen.zeros(1, 3).scatter(1, minigen.tensor([[2]]), 1.0)
    tensor([[0., 0., 1.]])
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: expects either src or value")
    src = value if src is None else src
    dim = wrap_dim(dim, len(input.shape))
    if isinstance(src, Tensor) and (value is None or src.array.ndim):
        return _scatter(input, _source("scatter", input, dim, index, src), dim, index)
    check_index("scatter", input.array, dim, index)
    return _scatter(input, getattr(src, "array", src), dim, index)


@method("scatter_add")
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """A copy of input with src[i][j] added to output[index[i][j]][j] for dim = 0, and so on.

    >>> import minigen
    >>> x, i = minigen.tensor([1.0, 2.0, 3.0]), minigen.tensor([0, 0, 1])
    >>> minigen.zeros(2).scatter_add(0, i, x)
    tensor([3., 3.])
    """
    dim = wrap_dim(dim, len(input.shape))
    return _scatter_add(input, _source("scatter_add", input, dim, index, src), dim, index)


# -------------------------------------------------------------------------------- whole slices


def _slice_index(name: str, input: Any, dim: int, index: Any) -> tuple[int, Any]:
    dim, array = wrap_dim(dim, len(input.shape)), index_array(name, index)
    if array.ndim > 1:
        raise ShapeError(f"{name}: expects a 1-d index, got {array.ndim} dimensions")
    check_range(name, array, input.shape[dim] if len(input.shape) else 1, dim)
    return dim, index if array.ndim else index.reshape(1)


def _check_slices(name: str, input: Any, dim: int, index: Any, source: Any) -> None:
    shape = tuple(input.shape)
    wanted = (*shape[:dim], index.shape[0], *shape[dim + 1 :]) if shape else ()
    if tuple(source.shape) != wanted:
        raise ShapeError(f"{name}: source must have shape {wanted}, got {describe(source)}")
    if source.dtype != input.dtype:
        raise TypeError(f"{name}: expects source of {input.dtype}, as input, got {source.dtype}")


@differentiable
def _index_add(input: Any, source: Any, dim: int, index: Any, alpha: float) -> Any:
    added = add_slices(source, input.shape, dim, index)
    return input + (added if alpha == 1 else added * alpha)


_index_add.gradients(
    input=lambda g: g,
    source=lambda g, dim, index, alpha: take(g if alpha == 1 else g * alpha, dim, index),
)


@method("index_add")
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """A copy of input with alpha * source[i] added to the slice index[i] of `dim`, for all i.

    >>> import minigen
    >>> minigen.zeros(3).index_add(0, minigen.tensor([0, 2, 0]), minigen.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    dim, index = _slice_index("index_add", input, dim, index)
    _check_slices("index_add", input, dim, index, source)
    if not len(input.shape):
        return input + source.sum() * alpha if index.shape[0] else input.clone()
    return _index_add(input, source, dim, index, alpha)


@differentiable
def _index_write(input: Any, source: Any, dim: int, index: Any) -> Any:
    output = input.copy()
    output[(slice(None),) * dim + (index,)] = source
    return output


_index_write.gradients(
    input=lambda g, dim, index: _index_write(g, 0, dim, index),
    source=lambda g, dim, index: take(g, dim, index),
)


@method("index_copy")
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """A copy of input with source[i] in place of the slice index[i] of `dim`, for all i.

    >>> import minigen
    >>> minigen.zeros(3).index_copy(0, minigen.tensor([2]), minigen.tensor([5.0]))
    tensor([0., 0., 5.])
    """
    dim, index = _slice_index("index_copy", input, dim, index)
    _check_slices("index_copy", input, dim, index, source)
    if not len(input.shape):
        return index_copy(input.reshape(1), 0, index, source.reshape(-1)).reshape(())
    return _index_write(input, source, dim, index)


@method("index_fill")
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """A copy of input with a number (or 0-d tensor) in all slices of `dim` that `index` names.

    >>> import minigen
    >>> minigen.zeros(3).index_fill(0, minigen.tensor([0, 2]), 7)
    tensor([7., 0., 7.])
    """
    dim, index = _slice_index("index_fill", input, dim, index)
    if not len(input.shape):
        return index_fill(input.reshape(1), 0, index, value).reshape(())
    if not isinstance(value, Tensor):
        return _index_write(input, value, dim, index)
    if value.array.ndim:
        raise ShapeError(f"index_fill: expects a number or a 0-d tensor, got {describe(value)}")
    shape = (*input.shape[:dim], index.shape[0], *input.shape[dim + 1 :])
    return _index_write(input, value.expand(shape), dim, index)
