"""Attention by Numba in one pass: a running maximum, a running sum, a running mixture.

A softmax seems to need its largest score before its first exponential. It does not: keep the
largest so far, m, and whenever a score exceeds it, multiply what was summed up to there, the
denominator and the mixture of values, by exp(m_old - m_new) (Milakov & Gimelshein 2018, "Online
normalizer calculation for softmax", algorithm 3; Rabe & Staats 2021 for attention). So each key and
its value are met once per query, and no row of scores exists: scratch is O(1).

K and V still stream past every query, 2 · S · E numbers for 4 · S · E operations, and the
exponential, one at a time, waits for its score: this rung is here for its idea, which saves memory
and not yet time. `flash` applies it to blocks of queries and keys, and then it saves both.

Measured: 0.58 times as fast as `three_passes` ((8, 8, 128, 64), causal, float32, one thread).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp_decay
from ..jit import jit
from ..simd import address, number, peek, poke
from .dropout_loops import dropout_factors
from .rows import ARGUMENTS, mix, multiply, run, score

Array = Any

DROPPED = 128  # keys whose dropout factors are made at once


@jit("attention, online softmax", *ARGUMENTS, seconds=1.5)
def _forward(
    work, q, k, v, mask, starts, steps, sizes, drops,
    masked, causal, dropping, factor, scale, out, logsumexp,
):  # fmt: skip
    queries, keys, depth, width = sizes[0], sizes[1], sizes[2], sizes[3]
    w, qs, ks, vs, outs = address(work), address(q), address(k), address(v), address(out)
    zero = number(w, 0.0)
    for head in range(sizes[4]):
        for i in range(queries):
            row, seen = head * queries + i, min(keys, i + 1) if causal else keys
            q_at, mixed = starts[0, head] + i * steps[0], row * width
            m, total = number(w, -np.inf), zero
            for j in range(seen):
                s = scale * score(qs, q_at, ks, starts[1, head] + j * steps[1], depth)
                if masked:
                    s += peek(address(mask), starts[3, head] + i * steps[3] + j * steps[4])
                if s > m:
                    rescale = exp_decay(m - s)
                    total *= rescale
                    multiply(outs, mixed, rescale, width)
                    m = s
                weight = exp_decay(s - m) if s != -np.inf else zero  # -inf - (-inf) is NaN
                total += weight
                if dropping:
                    if j % DROPPED == 0:
                        dropout_factors(w, 0, j, min(DROPPED, seen - j), i, head, drops, factor)
                    weight *= peek(w, j % DROPPED)
                mix(outs, mixed, weight, vs, starts[2, head] + j * steps[2], width)
            if total != 0:
                multiply(outs, mixed, number(w, 1.0) / total, width)
            poke(address(logsumexp), row, m + math.log(total))


def attention_online(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp: see `attention_reference`.

    Shapes and strides as in `attention_flash`. Extra memory: none that grows.

    >>> x = np.eye(2, dtype=np.float32)
    >>> attention_online(x, x, x, is_causal=True)[0][0]
    array([1., 0.], dtype=float32)
    """
    return run(_forward, DROPPED, q, k, v, mask, is_causal, scale, dropout_p, seed)
