"""How arrays of any leading dimensions become what kernels take: (heads, rows, HEAD), in C order.

Where neighbouring heads share one matrix of keys and one of values they are a *group* (grouped-
query attention, Ainslie et al. 2023): keys and values stay as they are, once a group. Widths that
no kernel has are filled up with zeros: a zero feature adds nothing to a score, and its result is
cut off.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ...cuda.launch import empty
from ..operands import group_of, grouped, leading

Array = Any


class Heads(NamedTuple):
    """The shapes of one call."""

    lead: tuple[int, ...]  # leading dimensions of the result
    key_lead: tuple[int, ...]  # those of the keys, 1 inside a group
    group: int
    queries: int
    keys: int
    width: int  # HEAD, of the kernel

    @property
    def total(self) -> int:
        """How many heads of queries there are."""
        return math.prod(self.lead)


def heads_of(q: Array, k: Array, v: Array, widths: tuple[int, ...]) -> Heads:
    """The shapes, with the least of `widths` that has room for q and v."""
    lead = leading(q, k, v)
    group = group_of(lead, k, v)
    width = next(w for w in widths if w >= max(q.shape[-1], v.shape[-1]))
    return Heads(lead, grouped(lead, group), group, q.shape[-2], k.shape[-2], width)


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


def spread(array: Array, lead: tuple[int, ...], width: int) -> Array:
    """(…, rows, E) -> (heads, rows, width): the same memory if it lies so already, else a copy."""
    rows, own = array.shape[-2:]
    shape = (*lead, rows, width)
    if array.shape != shape or not array.flags.c_contiguous:
        made = empty(array, shape, array.dtype)
        made[..., :own] = array
        if own < width:
            made[..., own:] = 0
        array = made
    return array.reshape(-1, rows, width)


def cut(result: Array, lead: tuple[int, ...], width: int) -> Array:
    """(heads, rows, HEAD) -> (*lead, rows, width), in C order."""
    result = result.reshape(*lead, *result.shape[-2:])
    return result if width == result.shape[-1] else result[..., :width].copy()


def in_c_order(array: Array) -> Array:
    """The array itself, or a copy."""
    return array if array.flags.c_contiguous else array.copy()


def blocks(rows: int, owned: int, heads: int) -> tuple[int]:
    """The grid: tiles of rows times heads."""
    return (-(-rows // owned) * heads,)
