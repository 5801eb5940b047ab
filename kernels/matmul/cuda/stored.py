"""How an operand lies in memory, and what a kernel is told about it.

A kernel sees memory, not strides. A transposed view of a contiguous array (`w.T`, the gradient's
`x.swapaxes(-1, -2)`) is that array, read across k instead of along it or the other way round; a
batch that broadcasts is one matrix with a distance of 0. Anything else is copied.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...checking import device_of

Array = Any  # numpy.ndarray or cupy.ndarray

ALIGNMENT = 16  # bytes, of where an array begins


class Stored(NamedTuple):
    """An operand as it is stored.

    array: (…, rows, pitch), C-contiguous; transposed: whether its rows are the operand's columns;
    size: numbers from one matrix of the batch to the next, 0 if they are all the same one.
    """

    array: Array
    transposed: bool
    size: int

    @property
    def pitch(self) -> int:
        """Numbers from one stored row to the next."""
        return self.array.shape[-1]


def library(array: Array) -> Any:
    """numpy or cupy."""
    if device_of(array) == "cuda":
        import cupy

        return cupy
    return np


def stored(matrix: Array, lead: tuple[int, ...], multiple: int) -> Stored:
    """A matrix (…, r, c), to be used in a batch of shape `lead`, as it lies in memory.

    Of two ways to see it (a single row or column) that with a pitch which needs no padding to
    `multiple` is taken.

    >>> weight = np.ones((3, 8), np.float32)
    >>> stored(weight.T, (), 4).transposed, stored(weight.T, (5,), 4).size
    (True, 0)
    """
    xp = library(matrix)
    single = all(n == 1 or step == 0 for n, step in zip(matrix.shape[:-2], matrix.strides))
    if single:
        matrix = matrix[(0,) * (matrix.ndim - 2)]
    elif matrix.shape[:-2] != lead:
        matrix = xp.broadcast_to(matrix, lead + matrix.shape[-2:])
    ways = [
        (array, transposed)
        for array, transposed in ((matrix, False), (matrix.swapaxes(-1, -2), True))
        if array.flags.c_contiguous and _address(array) % ALIGNMENT == 0
    ]
    ways.sort(key=lambda way: way[0].shape[-1] % multiple != 0)
    array, transposed = ways[0] if ways else (_copied(matrix, xp), False)
    return Stored(array, transposed, 0 if single else array.shape[-1] * array.shape[-2])


def _copied(array: Array, xp: Any) -> Array:
    return xp.array(array, order="C", copy=True)


def _address(array: Array) -> int:
    return int(array.data.ptr) if device_of(array) == "cuda" else int(array.ctypes.data)


def row_major(operand: Stored) -> Stored:
    """The same operand, stored row after row."""
    if not operand.transposed:
        return operand
    array = _copied(operand.array.swapaxes(-1, -2), library(operand.array))
    return Stored(array, False, operand.size)


def padded(operand: Stored, multiple: int) -> Stored:
    """The same with zeros behind every row, up to a multiple, as 16-byte copies need it."""
    array = operand.array
    if array.shape[-1] % multiple == 0:
        return operand
    xp = library(array)
    wide = xp.zeros((*array.shape[:-1], round_up(array.shape[-1], multiple)), array.dtype)
    wide[..., : array.shape[-1]] = array
    return Stored(wide, operand.transposed, operand.size and wide.shape[-1] * wide.shape[-2])


def round_up(number: int, multiple: int) -> int:
    """The next multiple.

    >>> round_up(9, 8), round_up(8, 8)
    (16, 8)
    """
    return -(-number // multiple) * multiple
