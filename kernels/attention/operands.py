"""What the Numba attention kernels are given: where each head's matrices start, and how they step.

Heads are counted in C order of the leading dimensions that q, k and v broadcast to. A matrix is
found by the place of its first number, one of a table `starts`, so that leading dimensions of any
number, order and stride, broadcast ones too, need no copy.

Where k and v have one matrix for several neighbouring heads (their last leading dimensions are 1),
those heads are a *group*: its keys are packed once, and its dK and dV are one sum. Grouped-query
attention (Ainslie et al. 2023, arXiv:2305.13245) is q (…, Hkv, group, L, E) with k and v
(…, Hkv, 1, S, E).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = Any


class Operand(NamedTuple):
    """A matrix per head: `numbers[start + i * step + d]` is element (i, d)."""

    numbers: Array  # one-dimensional; what lies behind its end is part of the operand all the same
    strides: tuple[int, ...]  # of the leading dimensions, in numbers; 0 where they are broadcast
    step: int


@functools.lru_cache(maxsize=128)
def table(lead: tuple[int, ...], *strides: tuple[int, ...]) -> Array:
    """(operands, heads): Σ index · stride for every index of the leading dimensions, in C order.

    >>> table((2, 3), (30, 10), (0, 4))
    array([[ 0, 10, 20, 30, 40, 50],
           [ 0,  4,  8,  0,  4,  8]])
    """
    starts = np.zeros((len(strides), *lead), np.int64)
    for places, steps in zip(starts, strides):
        for axis, (size, stride) in enumerate(zip(lead, steps)):
            shape = (size,) + (1,) * (len(lead) - axis - 1)
            places += np.arange(size, dtype=np.int64).reshape(shape) * stride
    starts = starts.reshape(len(strides), -1)
    starts.setflags(write=False)
    return starts


def leading(*arrays: Array) -> tuple[int, ...]:
    """The leading dimensions that q, k and v broadcast to."""
    shapes = [x.shape[:-2] for x in arrays]
    if shapes[0] == shapes[1] == shapes[2]:  # and nothing has to be worked out
        return shapes[0]
    return np.broadcast_shapes(*shapes)


def _strides(array: Array, lead: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of the leading dimensions in numbers, 0 where they are broadcast."""
    size, shape, strides = array.itemsize, array.shape[:-2], array.strides[:-2]
    own = [0 if n == 1 else stride // size for n, stride in zip(shape, strides)]
    return (*(0,) * (len(lead) - len(own)), *own)


def operand(array: Array, lead: tuple[int, ...]) -> Operand:
    """(…, T, E) as an operand of heads `lead`: a view, unless the numbers of a row lie apart."""
    size = array.itemsize
    apart = array.strides[-1] != size and array.shape[-1] > 1
    if apart or not array.flags.aligned:
        array = np.array(array, order="C")
    if array.size == 0:
        return Operand(np.zeros(1, array.dtype), (0,) * len(lead), 0)
    first_row = array[(0,) * (array.ndim - 1)]
    return Operand(first_row, _strides(array, lead), array.strides[-2] // size)


def group_of(lead: tuple[int, ...], k: Array, v: Array) -> int:
    """How many neighbouring heads share one matrix of keys and one of values."""
    group = 1
    for axis in range(1, len(lead) + 1):
        if any(x.ndim - 2 >= axis and x.shape[-2 - axis] != 1 for x in (k, v)):
            break
        group *= lead[-axis]
    return max(group, 1)


def summed_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The sum of a gradient over the leading dimensions in which its input was broadcast."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    axes = tuple(
        i for i, n in enumerate(gradient.shape) if i < extra or (shape[i - extra] == 1 and n != 1)
    )
    return gradient.sum(axis=axes).reshape(shape)


def mask_operand(
    mask: Array | None, lead: tuple[int, ...], queries: int, keys: int, dtype: Any
) -> tuple[Operand, int]:
    """A mask of any broadcastable shape as numbers to add, not spread out; and the step to a key.

    The numbers are the mask's own elements in C order, 0 and -inf for a boolean mask; both steps
    are 0 where the mask broadcasts.
    """
    if mask is None:
        return Operand(np.zeros(1, dtype), (0,) * len(lead), 0), 0
    if mask.dtype == bool:
        numbers = np.where(mask, dtype.type(0), dtype.type(-np.inf))
    else:
        numbers = np.array(mask, dtype, order="C")
    numbers = numbers.reshape((1,) * (len(lead) + 2 - numbers.ndim) + numbers.shape)
    np.broadcast_to(numbers, (*lead, queries, keys))  # raises if it does not fit
    size, shape, strides = dtype.itemsize, numbers.shape[-2:], numbers.strides[-2:]
    step_i, step_j = (0 if n == 1 else stride // size for n, stride in zip(shape, strides))
    flat = numbers.reshape(-1) if numbers.size else np.zeros(1, dtype)
    return Operand(flat, _strides(numbers, lead), step_i), step_j


def gathered(
    arrays: Sequence[Array], mask: Array | None, lead: tuple[int, ...], queries: int, keys: int
) -> tuple[list[Array], Array, Array]:
    """What a kernel takes of the arrays and the mask: their numbers, a table, and their steps."""
    added, step_j = mask_operand(mask, lead, queries, keys, arrays[0].dtype)
    operands = [*(operand(x, lead) for x in arrays), added]
    starts = table(lead, *(x.strides for x in operands))
    return [x.numbers for x in operands], starts, np.array([*(x.step for x in operands), step_j])


def padded(count: int) -> int:
    """The count rounded up to whole vectors of either dtype, and to whole groups of rows."""
    return (count + 7) // 8 * 8


def grouped(lead: tuple[int, ...], group: int) -> tuple[int, ...]:
    """The leading dimensions with the last ones, those of a group, set to 1."""
    axis = len(lead)
    while group > 1:
        axis -= 1
        group //= lead[axis]
    return lead[:axis] + (1,) * (len(lead) - axis)


# Work is cut by shapes alone, into pieces of 200 microseconds (multiply-adds at 30 a nanosecond)
# or more, and into no more than 16, which is enough for the cores of a desktop to share out.
PIECE, PIECES = 6_000_000, 16


def query_parts(
    heads: int, group: int, queries: int, keys: int, features: int, split: bool
) -> list[tuple[int, int, int, int]]:
    """(first head, last head, first query, last query): whole groups of heads in one piece.

    Where groups are fewer than pieces, queries are cut too, into 128 or more.
    """
    pieces = min(PIECES, heads * queries * keys * features // PIECE) if split else 1
    if pieces <= 1:
        return [(0, heads, 0, queries)]
    units = heads // group
    at_once = -(-units // pieces)
    stripes = min(-(-queries // 128), -(-pieces // units))
    length = -(-queries // (64 * stripes)) * 64
    return [
        (first * group, min(units, first + at_once) * group, i, min(queries, i + length))
        for first in range(0, units, at_once)
        for i in range(0, queries, length)
    ]


def key_parts(
    heads: int, group: int, queries: int, keys: int, features: int, split: bool
) -> list[tuple[int, int, int, int, int]]:
    """(first head, last head, first key, last key, stripe) of the backward pass.

    A part has dK and dV of its keys for itself, so only keys are cut, into stripes of 512 or more
    and as few as make four parts: each stripe brings a dQ of its own, summed in the end.
    """
    pieces = min(PIECES, 5 * heads * queries * keys * features // (2 * PIECE)) if split else 1
    if pieces <= 1:
        return [(0, heads, 0, keys, 0)] if keys else []
    units = heads // group
    at_once = -(-units // pieces)
    stripes = max(1, min(keys // 512, -(-4 // units)))
    length = -(-keys // (128 * stripes)) * 128
    return [
        (first * group, min(units, first + at_once) * group, j, min(keys, j + length), j // length)
        for first in range(0, units, at_once)
        for j in range(0, keys, length)
    ]
