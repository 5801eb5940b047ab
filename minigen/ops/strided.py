"""Views by explicit strides: `as_strided`, for reading alone."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.errors import ShapeError
from minigen.ops.indexing import add_slices, take
from minigen.ops.shape import reshape
from minigen.tensor import Tensor, method

__all__ = ["as_strided"]

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]  # sizes, strides and offset, in elements


def _start(array: Any) -> int:
    """The address of the first element."""
    if backend.on_gpu(array):
        return int(array.data.ptr)
    return int(array.__array_interface__["data"][0])


def _memory(array: Any) -> Any:
    """All elements of the memory that an array looks at, in order, as a 1-d array."""
    owner = base = array
    while (base := getattr(base, "base", None)) is not None:
        if isinstance(base, type(array)):
            owner = base
    by_stride = sorted(range(owner.ndim), key=lambda dim: -abs(owner.strides[dim]))
    return owner.transpose(by_stride).reshape(-1).view(array.dtype)


@method("storage_offset")
def storage_offset(self: Tensor) -> int:
    """How many elements stand before the first one in the memory that this tensor is a view of.

    >>> import minigen
    >>> minigen.zeros(2, 3)[1].storage_offset()
    3
    """
    return (_start(self.array) - _start(_memory(self.array))) // self.array.itemsize


def _positions(geometry: Geometry) -> Any:
    """Where each element stands in the memory, in row-major order."""
    size, stride, offset = geometry
    places = np.full(size, offset, np.int64)
    for dim, (n, step) in enumerate(zip(size, stride)):
        places += (np.arange(n) * step).reshape((-1,) + (1,) * (len(size) - dim - 1))
    return places.reshape(-1)


@differentiable(view=True)
def _as_strided(input: Any, view: Geometry, own: Geometry) -> Any:
    """The elements that `view` names of the memory of which the input shows `own`."""
    size, stride, offset = view
    steps = tuple(step * input.itemsize for step in stride)
    first = _memory(input)[offset:]
    if backend.on_gpu(first):  # where nothing can be made read-only
        return backend.array_module(first).lib.stride_tricks.as_strided(first, size, steps)
    return np.lib.stride_tricks.as_strided(first, size, steps, writeable=False)


def _gradient(g: Any, view: Geometry, own: Geometry) -> Any:
    """Added up in the memory, and read back where the input stands."""
    target, source = _positions(own), _positions(view)
    extent = 1 + max(target.max(initial=-1), source.max(initial=-1))
    memory = add_slices(reshape(g, (-1,) if source.size else (0,)), (extent,), 0, source)
    # an element that the input shows several times shares the gradient
    share = 1 / np.bincount(target, minlength=extent)[target]
    dtype = getattr(g, "array", g).dtype
    return reshape(take(memory, 0, target) * backend.beside(share.astype(dtype), g), own[0])


_as_strided.gradients(input=_gradient)


@method("as_strided")
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A view of the memory under `input` with any sizes and strides, which may overlap.

    size, stride:   sequences of one length; strides count elements and are not negative.
    storage_offset: of the first element in that memory; that of input unless given.
    The view is for reading: as its elements may share places, writing into it is an error.  Raises
    ShapeError where it would leave the memory.

    >>> import minigen
    >>> minigen.arange(5).as_strided((3, 3), (1, 1))
    tensor([[0, 1, 2],
            [1, 2, 3],
            [2, 3, 4]])
    """
    sizes, strides = tuple(map(index, size)), tuple(map(index, stride))
    offset = input.storage_offset() if storage_offset is None else index(storage_offset)
    if len(sizes) != len(strides) or min((*sizes, *strides, offset), default=0) < 0:
        raise ShapeError(
            f"as_strided: sizes {sizes} and strides {strides} must be as many, and neither they "
            f"nor the offset {offset} negative"
        )
    memory = _memory(input.array)
    last = offset + sum((n - 1) * step for n, step in zip(sizes, strides))
    if math.prod(sizes) and last >= memory.size:
        raise ShapeError(
            f"as_strided: sizes {sizes} and strides {strides} from {offset} on reach element {last}"
            f", but the memory has {memory.size}"
        )
    own = (tuple(input.shape), input.stride(), input.storage_offset())
    return _as_strided(input, (sizes, strides, offset), own)
