"""What the two Numba rungs share that work on one query at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..jit import device
from ..simd import number, peek, poke
from .dropout import dropout_of
from .operands import mask_parts, operand

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
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    queries, keys, depth, width = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    out = np.zeros((*lead, queries, width), q.dtype)
    logsumexp = np.empty((*lead, queries), q.dtype)
    numbers, mask_starts, step_i, step_j, masked = mask_parts(mask, lead, queries, keys, q.dtype)
    operands = [operand(x, lead) for x in (q, k, v)]
    dropout = dropout_of(dropout_p, seed)
    kernel(
        np.empty(scratch, q.dtype),
        *(x.numbers for x in operands),
        numbers,
        np.stack([*(x.starts for x in operands), mask_starts]),
        np.array([*(x.step for x in operands), step_i, step_j]),
        np.array([queries, keys, depth, width, math.prod(lead)]),
        np.array([dropout.limit, dropout.key_0, dropout.key_1] if dropout else [0, 0, 0]),
        *(masked, is_causal, dropout is not None, dropout.factor if dropout else 1.0),
        1 / math.sqrt(depth) if scale is None else scale,
        *(out.reshape(-1), logsumexp.reshape(-1)),
    )
    return out, logsumexp
