"""What the two Numba rungs share that work on one query at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..jit import device
from ..simd import number, peek, poke
from .dropout import scalars
from .operands import gathered, leading

Array = Any

# the workspace, the operands and the mask; where a head starts in each, steps, sizes, dropout
ARGUMENTS = (
    *("T[::1]", "const T[:]", "const T[:]", "const T[:]", "const T[:]", "const int64[:, ::1]"),
    *("const int64[::1]", "const int64[::1]", "const int64[::1]"),
    *("boolean", "boolean", "boolean", "T", "T", "T[::1]", "T[::1]"),
)


@device
def score(q, q_at, k, k_at, depth):
    """Σ_d q_d k_d."""
    total = number(q, 0.0)
    for d in range(depth):
        total += peek(q, q_at + d) * peek(k, k_at + d)
    return total


@device
def mix(out, at, weight, v, v_at, width):
    """out += weight · v."""
    for d in range(width):
        poke(out, at + d, peek(out, at + d) + weight * peek(v, v_at + d))


@device
def multiply(out, at, by, width):
    """out *= by."""
    for d in range(width):
        poke(out, at + d, peek(out, at + d) * by)


def run(
    kernel: Any, scratch: int, q: Array, k: Array, v: Array, mask: Array | None, is_causal: bool,
    scale: float | None, dropout_p: float, seed: int,
) -> tuple[Array, Array]:  # fmt: skip
    """out and logsumexp by a kernel of these `ARGUMENTS` that needs so many numbers of scratch."""
    lead = leading(q, k, v)
    queries, keys, depth, width = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    out = np.zeros((*lead, queries, width), q.dtype)
    logsumexp = np.empty((*lead, queries), q.dtype)
    numbers, starts, steps = gathered((q, k, v), mask, lead, queries, keys)
    sizes = np.array([queries, keys, depth, width, math.prod(lead)])
    drops, dropping, factor = scalars(dropout_p, seed)
    scale = 1 / math.sqrt(depth) if scale is None else scale
    kernel(
        np.empty(scratch, q.dtype),
        *(*numbers, starts, steps, sizes, drops),
        *(mask is not None, is_causal, dropping, factor, scale),
        *(out.reshape(-1), logsumexp.reshape(-1)),
    )
    return out, logsumexp
