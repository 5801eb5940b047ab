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
from typing import Any, NamedTuple

import numpy as np

Array = Any


class Operand(NamedTuple):
    """A matrix per head: `numbers[start + i * step + d]` is element (i, d)."""

    numbers: Array  # one-dimensional; what lies behind its end is part of the operand all the same
    starts: Array  # (heads,), the table of places
    step: int


@functools.lru_cache(maxsize=128)
def _starts(lead: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """(heads,): Σ index · stride for every index of the leading dimensions, in C order."""
    starts = np.zeros(lead, np.int64)
    for axis, (size, stride) in enumerate(zip(lead, strides)):
        if stride:
            shape = (size,) + (1,) * (len(lead) - axis - 1)
            starts += np.arange(size, dtype=np.int64).reshape(shape) * stride
    starts = starts.reshape(-1)
    starts.setflags(write=False)
    return starts


def _steps(array: Array, lead: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of the leading dimensions in numbers, 0 where they are broadcast."""
    shape, strides = array.shape[:-2], array.strides[:-2]
    own = tuple(0 if n == 1 else s // array.itemsize for n, s in zip(shape, strides))
    return (0,) * (len(lead) - len(own)) + own


def operand(array: Array, lead: tuple[int, ...]) -> Operand:
    """(…, T, E) as an operand of heads `lead`: a view, unless the numbers of a row lie apart."""
    size = array.itemsize
    apart = array.strides[-1] != size and array.shape[-1] > 1
    if apart or not array.flags.aligned or any(s % size for s in array.strides):
        array = np.array(array, order="C")
    if array.size == 0:
        return Operand(np.zeros(1, array.dtype), _starts(lead, (0,) * len(lead)), 0)
    first_row = array[(0,) * (array.ndim - 1)]
    return Operand(first_row, _starts(lead, _steps(array, lead)), array.strides[-2] // size)


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


def mask_parts(
    mask: Array | None, lead: tuple[int, ...], queries: int, keys: int, dtype: Any
) -> tuple[Array, Array, int, int, bool]:
    """A mask of any broadcastable shape as numbers to add, without spreading it out.

    Returns:
        numbers: the mask's own elements in C order; 0 and -inf for a boolean mask.
        starts: (heads,), where in `numbers` a head's mask starts.
        step_i, step_j: distance from query to query and from key to key, 0 where it broadcasts.
        masked: whether there is a mask at all.
    """
    if mask is None:
        return np.zeros(1, dtype), _starts(lead, (0,) * len(lead)), 0, 0, False
    if mask.dtype == bool:
        numbers = np.where(mask, dtype.type(0), dtype.type(-np.inf))
    else:
        numbers = np.array(mask, dtype, order="C")
    numbers = numbers.reshape((1,) * (len(lead) + 2 - numbers.ndim) + numbers.shape)
    np.broadcast_to(numbers, (*lead, queries, keys))  # raises if it does not fit
    step_i, step_j = (
        0 if n == 1 else s // dtype.itemsize
        for n, s in zip(numbers.shape[-2:], numbers.strides[-2:])
    )
    flat = numbers.reshape(-1) if numbers.size else np.zeros(1, dtype)
    return flat, _starts(lead, _steps(numbers, lead)), step_i, step_j, True


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
