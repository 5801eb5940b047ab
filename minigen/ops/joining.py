"""Tensors put together and taken apart: cat, stack, split, chunk, unbind and their relatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.devices import same_place
from minigen.dtypes import result_type
from minigen.errors import ShapeError
from minigen.ops.dims import wrap_dim
from minigen.ops.shape import reshape
from minigen.tensor import method

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "cat",
    "chunk",
    "column_stack",
    "concat",
    "concatenate",
    "dstack",
    "hstack",
    "row_stack",
    "split",
    "stack",
    "unbind",
    "vstack",
]


def _common(arrays: Sequence) -> tuple:
    """The arrays in the dtype they have in common."""
    first = arrays[0].dtype
    if all(each.dtype is first for each in arrays):
        return tuple(arrays)
    common = result_type(*arrays)
    return tuple(each.astype(common, copy=False) for each in arrays)


def _along(array: Any, dim: int, start: int, stop: int) -> Any:
    """array[..., start:stop, ...], counted along dim."""
    return array[(slice(None),) * dim + (slice(start, stop),)]


# --------------------------------------------------------------------------------------- join


@differentiable
def _cat(dim: int, sizes: tuple, *tensors: Any) -> Any:
    return np.concatenate(_common(tensors), dim)


_cat.gradients(tensors=lambda g, dim, sizes: _split(g, sizes, dim))


def cat(tensors: Any, dim: int = 0) -> Any:
    """The tensors one after the other along `dim`; all other sizes are equal.

    Tensors of shape (0,) are passed over, as in PyTorch.  Raises ShapeError if sizes differ.

    >>> import minigen
    >>> minigen.cat([minigen.tensor([1, 2]), minigen.tensor([3])])
    tensor([1, 2, 3])
    """
    given = tuple(tensors)
    if not given:
        raise ShapeError("cat: expects at least one tensor, the list is empty")
    parts = [each for each in given if tuple(each.shape) != (0,)] or list(given)
    ndim = len(parts[0].shape)
    if ndim == 0:
        raise ShapeError("cat: 0-d tensors cannot be put one after the other; use stack")
    dim = wrap_dim(dim, ndim)
    shape = tuple(parts[0].shape)
    for each in parts[1:]:
        other = tuple(each.shape)
        if len(other) != ndim or (
            other != shape and (other[:dim] != shape[:dim] or other[dim + 1 :] != shape[dim + 1 :])
        ):
            raise ShapeError(
                f"cat: sizes must be equal except in dimension {dim}, got {shape} and {other}"
            )
    return _cat(dim, tuple(each.shape[dim] for each in parts), *parts)


concat = concatenate = cat


@differentiable
def _stack(dim: int, *tensors: Any) -> Any:
    return np.stack(_common(tensors), dim)


_stack.gradients(tensors=lambda g, dim: _unbind(g, dim))


def stack(tensors: Any, dim: int = 0) -> Any:
    """Tensors of one shape side by side along a new dimension `dim`.

    >>> import minigen
    >>> minigen.stack([minigen.tensor([1, 2]), minigen.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    parts = tuple(tensors)
    if not parts:
        raise ShapeError("stack: expects at least one tensor, the list is empty")
    shape = tuple(parts[0].shape)
    for each in parts:
        if tuple(each.shape) != shape:
            raise ShapeError(
                f"stack: expects tensors of equal shape, got {shape} and {tuple(each.shape)}"
            )
    return _stack(wrap_dim(dim, len(shape) + 1), *parts)


def atleast(tensor: Any, ndim: int) -> Any:
    """With dimensions put in until there are `ndim`: in front, and a third behind (as NumPy)."""
    shape = tuple(tensor.shape)
    if len(shape) < ndim:
        lead = min(ndim, 2) - len(shape)
        shape = (1,) * lead + shape
        tensor = reshape(tensor, shape + (1,) * (ndim - len(shape)))
    return tensor


def _at_least(ndim: int) -> Callable:
    def convert(*tensors: Any) -> Any:
        given = tensors[0] if len(tensors) == 1 else tensors
        if isinstance(given, tuple | list):
            return tuple(atleast(each, ndim) for each in given)
        return atleast(given, ndim)

    convert.__name__ = convert.__qualname__ = f"atleast_{ndim}d"
    convert.__doc__ = f"Views with at least {ndim} dimensions, of one tensor or of several."
    return convert


atleast_1d, atleast_2d, atleast_3d = _at_least(1), _at_least(2), _at_least(3)


def hstack(tensors: Any) -> Any:
    """Put side by side: along the second dimension, vectors along their only one."""
    parts = [atleast(each, 1) for each in tensors]
    return cat(parts, 0 if parts and len(parts[0].shape) == 1 else 1)


def vstack(tensors: Any) -> Any:
    """Put below each other: along the first dimension, vectors as rows."""
    return cat([atleast(each, 2) for each in tensors], 0)


row_stack = vstack


def column_stack(tensors: Any) -> Any:
    """Side by side as columns: numbers and vectors become columns, matrices stay as they are.

    >>> import minigen
    >>> column_stack((minigen.tensor([1, 2]), minigen.tensor([3, 4])))
    tensor([[1, 3],
            [2, 4]])
    """
    return cat([reshape(t, (-1, 1)) if t.ndim <= 1 else t for t in tensors], 1)


def dstack(tensors: Any) -> Any:
    """Put behind each other: along the third dimension."""
    return cat([atleast(each, 3) for each in tensors], 2)


# --------------------------------------------------------------------------------------- part


def _filled(gradients: Sequence, shapes: Sequence) -> list:
    """The cotangents of several outputs, with zeros for outputs that nobody used."""
    known = next(g for g in gradients if g is not None)
    array = getattr(known, "array", known)
    zeros = backend.array_module(array).zeros
    return [zeros(shape, array.dtype) if g is None else g for g, shape in zip(gradients, shapes)]


@differentiable(view=True, many=True)
def _split(input: Any, sizes: tuple, dim: int) -> Any:
    ends = accumulate(sizes)
    return [_along(input, dim, end - n, end) for end, n in zip(ends, sizes)]


def _split_gradient(g: Any, input_shape: tuple, sizes: tuple, dim: int) -> Any:
    if (whole := _whole(g, input_shape, sizes, dim)) is not None:
        return whole
    shapes = [(*input_shape[:dim], n, *input_shape[dim + 1 :]) for n in sizes]
    return _cat(dim, sizes, *_filled(g, shapes))


def _whole(parts: Sequence, shape: tuple, sizes: tuple, dim: int) -> Any:
    """The array of that shape whose parts along `dim` these are, where they already lie so in
    memory: attention on a GPU makes the gradients of the thirds of one product so."""
    base = getattr(parts[0], "base", None)  # tensors have none
    if base is None or any(getattr(part, "base", None) is not base for part in parts[1:]):
        return None
    known = backend.on_gpu(base) or isinstance(base, np.ndarray)  # it may be any buffer
    if not (known and base.flags.c_contiguous and base.size == math.prod(shape)):
        return None
    whole = base.reshape(shape)
    ends = accumulate(sizes)
    places = [_along(whole, dim, end - n, end) for end, n in zip(ends, sizes)]
    return whole if all(map(same_place, parts, places)) else None


_split.gradients(input=_split_gradient)


@method("split")
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Views of consecutive parts along `dim`: of one size (the last may be smaller), or of a list
    of sizes that sum to the whole.

    >>> import minigen
    >>> minigen.arange(5).split(2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    dim = wrap_dim(dim, len(tensor.shape))
    if not len(tensor.shape):
        raise ShapeError("split: expects at least 1 dimension, got a 0-d tensor")
    whole = tensor.shape[dim]
    if isinstance(split_size_or_sections, tuple | list):
        sizes = tuple(map(int, split_size_or_sections))
        if sum(sizes) != whole or min(sizes, default=0) < 0:
            raise ShapeError(
                f"split: sizes {sizes} do not sum to {whole}, the size of dimension {dim}"
            )
    else:
        size = int(split_size_or_sections)
        if size < 0 or (size == 0 and whole):
            raise ShapeError(f"split: the size of a part must be positive, got {size}")
        count = max(1, -(-whole // size)) if size else 1
        sizes = tuple(min(size, whole - i * size) for i in range(count))
    return _split(tensor, sizes, dim)


@method("chunk")
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most `chunks` views along `dim`, all of size ceil(n / chunks) but perhaps the last.

    >>> import minigen
    >>> minigen.arange(7).chunk(3)
    (tensor([0, 1, 2]), tensor([3, 4, 5]), tensor([6]))
    """
    if chunks < 1:
        raise ShapeError(f"chunk: expects chunks to be positive, got {chunks}")
    dim = wrap_dim(dim, len(input.shape))
    if not len(input.shape):
        raise ShapeError("chunk: expects at least 1 dimension, got a 0-d tensor")
    whole = input.shape[dim]
    if whole == 0:
        return split(input, [0] * chunks, dim)
    return split(input, -(-whole // chunks), dim)


@differentiable(view=True, many=True)
def _unbind(input: Any, dim: int) -> Any:
    before = (slice(None),) * dim
    return [input[(*before, i, ...)] for i in range(input.shape[dim])]


def _unbind_gradient(g: Any, input_shape: tuple, dim: int) -> Any:
    shape = (*input_shape[:dim], *input_shape[dim + 1 :])
    return _stack(dim, *_filled(g, [shape] * len(g)))


_unbind.gradients(input=_unbind_gradient)


@method("unbind")
def unbind(input: Any, dim: int = 0) -> tuple:
    """Views of all slices along `dim`, which is taken away.

    >>> import minigen
    >>> minigen.tensor([[1, 2], [3, 4]]).unbind()
    (tensor([1, 2]), tensor([3, 4]))
    """
    if not len(input.shape):
        raise ShapeError("unbind: expects at least 1 dimension, got a 0-d tensor")
    return _unbind(input, wrap_dim(dim, len(input.shape)))
