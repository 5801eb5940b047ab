"""Attention by Numba, as the formula is read: a query's scores, their softmax, the mixture.

For each query three passes over the keys: its S scores and the largest of them; their exponentials
and the sum; the values mixed. One row of S numbers is all the scratch there is, against the whole
(L, S) matrix of `numpy`. But every query reads all of K and V again, 2 · S · E numbers for
4 · S · E operations: two a number, and a row of scores is written once and read three times. The
processor waits for its second-level cache, or for memory where K and V do not fit, and each product
of a query and a key ends in a sum across the lanes of a vector.

Measured: 1.06 of NumPy's speed ((8, 8, 128, 64), causal, float32, one thread).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp_decay
from ..jit import device, jit
from ..simd import address, largest, number, peek, poke
from .dropout_loops import dropout_factors
from .rows import ARGUMENTS, mix, multiply, run, score

Array = Any


@device
def softmax(w, count, largest):
    """Scores become exp(score - largest); returns their sum."""
    shift = largest if largest != -np.inf else number(w, 0.0)  # nothing seen: exp(-inf - 0) = 0
    total = number(w, 0.0)
    for j in range(count):
        e = exp_decay(peek(w, j) - shift)
        poke(w, j, e)
        total += e
    return total


@jit("attention, three passes", *ARGUMENTS, seconds=1.5)
def _forward(
    work, q, k, v, mask, starts, steps, sizes, drops,
    masked, causal, dropping, factor, scale, out, logsumexp,
):  # fmt: skip
    queries, keys, depth, width = sizes[0], sizes[1], sizes[2], sizes[3]
    w, qs, ks, vs, outs = address(work), address(q), address(k), address(v), address(out)
    for head in range(sizes[4]):
        for i in range(queries):
            row, seen = head * queries + i, min(keys, i + 1) if causal else keys
            q_at = starts[0, head] + i * steps[0]
            for j in range(seen):
                s = scale * score(qs, q_at, ks, starts[1, head] + j * steps[1], depth)
                if masked:
                    s += peek(address(mask), starts[3, head] + i * steps[3] + j * steps[4])
                poke(w, j, s)
            m = largest(w, 0, seen, number(w, -np.inf))
            total = softmax(w, seen, m)
            if dropping:
                dropout_factors(w, keys, 0, seen, i, head, drops, factor)
                for j in range(seen):
                    poke(w, j, peek(w, j) * peek(w, keys + j))
            for j in range(seen):
                mix(outs, row * width, peek(w, j), vs, starts[2, head] + j * steps[2], width)
            if total != 0:
                multiply(outs, row * width, number(w, 1.0) / total, width)
            poke(address(logsumexp), row, m + math.log(total))


def attention_three_passes(
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

    Shapes and strides as in `attention_flash`. Extra memory: two rows of S numbers.

    >>> x = np.eye(2, dtype=np.float32)
    >>> attention_three_passes(x, x, x, is_causal=True)[0][0]
    array([1., 0.], dtype=float32)
    """
    scratch = 2 * k.shape[-2] + 4
    return run(_forward, scratch, q, k, v, mask, is_causal, scale, dropout_p, seed)
