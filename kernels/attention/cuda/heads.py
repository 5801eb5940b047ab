"""How arrays of any leading dimensions become what kernels take: (batch, heads, rows, HEAD).

A model makes the queries, keys and values of all heads in one product and wants the result as
(batch, rows, heads, width), so what attention is given are transposed views and what it returns
will be transposed. Nothing is copied for that: kernels read by strides (of batch, head and row),
and write results in the order (batch, rows, heads, width), which are returned as views.

Leading dimensions are cut in two, those of the batch and those of heads, each counted as one.
Where neighbouring heads share one matrix of keys and one of values they are a *group* (grouped-
query attention, Ainslie et al. 2023): keys and values stay as they are, once a group. Widths that
no kernel has are filled up with zeros: a zero feature adds nothing to a score, and its result is
cut off.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...checking import device_of
from ...cuda.launch import ALIGNMENT, empty
from ..operands import group_of, grouped, leading

Array = Any

FLOAT = 4  # bytes
FOUR = 4  # floats of a vector load: what strides are multiples of
LARGEST_STRIDE = 2**31  # not any more an int


class Heads(NamedTuple):
    """The shapes of one call."""

    lead: tuple[int, ...]  # leading dimensions of the result
    key_lead: tuple[int, ...]  # those of the keys, 1 inside a group
    group: int
    queries: int
    keys: int
    width: int  # HEAD, of the kernel
    split: int  # how many of the leading dimensions are those of the batch

    @property
    def total(self) -> int:
        """How many heads of queries there are."""
        return math.prod(self.lead)

    @property
    def heads(self) -> int:
        """How many of them make a batch."""
        return math.prod(self.lead[self.split :])


class Strided(NamedTuple):
    """An array where it lies: its memory, and how far it is to the next batch, head and row."""

    memory: Array  # one-dimensional, from the first number to the last
    strides: tuple[int, int, int]  # in numbers


def heads_of(widths: Sequence[int], q: Array, k: Array, v: Array, *more: Array) -> Heads:
    """The shapes, with the least of `widths` that has room for q and v; `more`: arrays with the
    leading dimensions of the result, whose strides matter too."""
    lead = leading(q, k, v)
    group = group_of(lead, k, v)
    key_lead = grouped(lead, group)
    width = next(w for w in widths if w >= max(q.shape[-1], v.shape[-1]))
    split = min(1, len(lead))
    if len(lead) > 2:
        split = _split(((lead, q), (key_lead, k), (key_lead, v), *((lead, x) for x in more)))
    return Heads(lead, key_lead, group, q.shape[-2], k.shape[-2], width, split)


def _split(arrays: Sequence[tuple[tuple[int, ...], Array]]) -> int:
    """Where most arrays can be read without a copy; after the first dimension if that is equal."""

    def readable(split: int) -> int:
        return sum(
            strides_of(x.shape, x.strides, lead, split, FOUR) is not None for lead, x in arrays
        )

    return max(range(1, len(arrays[0][0]) + 1), key=readable)


def takes(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    scale: float | None,
    dropout_p: float,
    widest: int,
) -> bool:
    """Whether the kernels compute this: no mask but the causal one, no dropout, a positive scale,
    heads of `widest` numbers or fewer, and nothing empty."""
    plain = mask is None and dropout_p == 0 and (scale is None or scale > 0)
    filled = q.size > 0 and k.size > 0 and v.size > 0
    return plain and filled and max(q.shape[-1], v.shape[-1]) <= widest


def strided(
    array: Array, lead: tuple[int, ...], split: int, width: int, multiple: int = FOUR
) -> Strided:
    """(…, rows, E) as (batch, heads, rows, width): the same memory, or a copy if it has to be.

    It has to be where E is not the width, the numbers of a row lie apart, the dimensions of the
    batch or those of heads cannot be counted as one, or vector loads would not be aligned (strides
    are no multiples of `multiple`).
    """
    found = strides_of(array.shape, array.strides, lead, split, multiple)
    if found is None or array.shape[-1] != width or _address(array) % ALIGNMENT:
        array = filled_copy(array, lead, width)
        found = strides_of(array.shape, array.strides, lead, split, 1)
        assert found is not None, "an array in C order is read as it is"
    return Strided(_memory(array), found)


def filled_copy(array: Array, lead: tuple[int, ...], width: int) -> Array:
    """(…, rows, E) -> (*lead, rows, width) in C order, zeros behind the E numbers of a row."""
    rows, own = array.shape[-2:]
    made = empty(array, (*lead, rows, width), array.dtype)
    made[..., :own] = array
    if own < width:
        made[..., own:] = 0
    return made


@functools.lru_cache(maxsize=1024)
def strides_of(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    lead: tuple[int, ...],
    split: int,
    multiple: int,
) -> tuple[int, int, int] | None:
    """Strides of batch, head and row in numbers, from those of float32 arrays in bytes.

    They are 0 where the array is broadcast to the leading dimensions. None if a kernel cannot read
    the array so.

    >>> strides_of((2, 3, 5, 8), (1440, 32, 288, 4), (2, 3), 1, 4)  # of (2, 5, 3, 3, 8)
    (360, 8, 72)
    >>> strides_of((3, 8, 5), (160, 4, 32), (3,), 1, 4)  # transposed: rows are not in one piece
    """
    if shape[-1] > 1 and strides[-1] != FLOAT:
        return None
    *steps, row = (0 if n == 1 else step for n, step in zip(shape[:-1], strides))
    steps = [0] * (len(lead) - len(steps)) + steps
    batch, head = _as_one(lead[:split], steps[:split]), _as_one(lead[split:], steps[split:])
    if batch is None or head is None:
        return None
    found = (batch // FLOAT, head // FLOAT, row // FLOAT)
    if any(s % (FLOAT * multiple) for s in (batch, head, row)):
        return None
    return found if min(found) >= 0 and max(found) < LARGEST_STRIDE else None


def _as_one(sizes: Sequence[int], strides: Sequence[int]) -> int | None:
    """The stride of several dimensions counted as one, in C order; None if they have no one."""
    kept = [each for each in zip(sizes, strides) if each[0] != 1]
    for (_, outer), (size, inner) in itertools.pairwise(kept):
        if outer != size * inner:
            return None
    return kept[-1][1] if kept else 0


def _memory(array: Array) -> Array:
    """All numbers from the array's first to its last, those in between that are not its own too."""
    if array.flags.c_contiguous:
        return array.reshape(-1)
    module: Any = np
    if device_of(array) == "cuda":
        import cupy

        module = cupy
    last = sum((n - 1) * stride for n, stride in zip(array.shape, array.strides))
    return module.lib.stride_tricks.as_strided(array, (last // FLOAT + 1,), (FLOAT,))


def _address(array: Array) -> int:
    return int(array.data.ptr) if device_of(array) == "cuda" else int(array.ctypes.data)


def room(like: Array, lead: tuple[int, ...], split: int, rows: int, width: int) -> Array:
    """Memory for a result, (batch, rows, heads, width)."""
    return empty(like, (*lead[:split], rows, *lead[split:], width))


def rooms(shapes: Heads, q: Array, k: Array, v: Array) -> list[Array]:
    """Memory for dq, dk and dv, each (batch, rows, heads, width).

    Where q, k and v are the thirds of one product, side by side in its rows, so are they: what a
    model split is put together again without a copy.
    """
    split, width = shapes.split, shapes.width
    if not _thirds(shapes, q, k, v):
        rows = (shapes.queries, shapes.keys, shapes.keys)
        leads = (shapes.lead, shapes.key_lead, shapes.key_lead)
        return [room(q, lead, split, n, width) for lead, n in zip(leads, rows)]
    batch, heads = shapes.lead[:split], shapes.lead[split:]
    made = empty(q, (*batch, shapes.queries, 3, *heads, width))
    return [made[(*(slice(None),) * (split + 1), part)] for part in range(3)]


def _thirds(shapes: Heads, q: Array, k: Array, v: Array) -> bool:
    """Whether one array of (batch, rows, 3, heads, width) has all three of them."""
    alike = q.shape == k.shape == v.shape and q.strides == k.strides == v.strides
    if not alike or q.shape[:-2] != shapes.lead or q.shape[-1] != shapes.width:
        return False
    steps = strides_of(q.shape, q.strides, shapes.lead, shapes.split, FOUR)
    third = shapes.heads * shapes.width
    first, second, last = (_address(x) // FLOAT for x in (q, k, v))
    row = steps[2] if steps else 0
    return (row, second - first, last - second) == (3 * third, third, third)


def written(result: Array, split: int) -> tuple[Array, int]:
    """(batch, rows, heads, width) as a kernel writes it: its memory, and how many numbers its rows
    are apart."""
    return _memory(result), result.strides[split] // FLOAT


def returned(result: Array, split: int, width: int) -> Array:
    """(batch, rows, heads, HEAD) -> (batch, heads, rows, width), a view if HEAD is the width."""
    if width < result.shape[-1]:
        result = result[..., :width].copy()
    last = result.ndim - 1
    return result.transpose(*range(split), *range(split + 1, last), split, last)


def in_c_order(array: Array) -> Array:
    """The array itself, or a copy."""
    return array if array.flags.c_contiguous else array.copy()


def blocks(rows: int, owned: int, heads: int) -> tuple[int]:
    """The grid: tiles of rows times heads."""
    return (-(-rows // owned) * heads,)
