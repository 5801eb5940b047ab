"""The gradient of attention by Numba: probabilities recomputed tile by tile, in O(L + S) memory.

The forward pass leaves out and logsumexp. For a block of queries and a block of keys this
recomputes P = exp(scale Q Kᵀ + mask - logsumexp), and with δᵢ = Σ dOᵢ Oᵢ forms
dS = P ∘ (dO Vᵀ - δ); three more products of the two blocks add to dV = Pᵀ dO, dK = scale dSᵀ Q and
dQ = scale dS K (FlashAttention, Dao et al. 2022, algorithm 4). P and dS, 16 kB each, stay in the
cache. With a causal mask none of the five products touches a key after the query, but for the
rounding to tiles of four.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp
from ..jit import device, jit
from ..simd import address, fill, lanes, number, peek, poke
from .flash import FLAT, INPUT, KEYS, MASK, OUTPUT, QUERIES
from .operands import four_dimensional, mask_parts, padded
from .tiles import (
    GROUP,
    add_mask,
    pack_columns,
    pack_rows,
    round_up,
    start,
    step,
    tiles,
    unpack_rows,
)

Array = Any


@device
def differentiate(w, p, ds, seen, filled, logsumexp, delta):
    """A row of scores at p becomes probabilities, a row of dP at ds becomes dS = P (dP - delta).

    The first `seen` are attended to, those from there to `filled` become zero. Nobody reads what
    lies behind: blocks and tiles both start at multiples of four.
    """
    fill(w, p + seen, filled - seen, number(w, -np.inf))
    shift = logsumexp if logsumexp != -np.inf else number(w, 0.0)
    for j in range(filled):
        e = exp(peek(w, p + j) - shift)
        poke(w, p + j, e)
        poke(w, ds + j, e * (peek(w, ds + j) - delta))


@device
def add_to_keys(w, a, b, b_row, queries, reach, first, c):
    """C += Aᵀ B for `reach` keys: A (queries, KEYS) at a, B (queries, b_row) at b, C's rows as B's.

    Key j is met by the queries from first + j on; what lies before is zero and left out.
    """
    for j in range(0, reach, GROUP):
        i = min(queries, max(0, first + j))
        tiles(
            w, a + i * KEYS + j, 1, KEYS, b + i * b_row, b_row, 2 * lanes(w),
            b_row, queries - i, c + j * b_row, b_row, False,
        )  # fmt: skip


@device
def places(keys, depth, width, deep, wide):
    """Where in the workspace each piece of scratch starts; the widths of rows are rounded up."""
    p = 0  # a block of scores, then probabilities
    ds = p + QUERIES * KEYS
    delta = ds + QUERIES * KEYS
    q_rows = delta + QUERIES  # scale Q
    grad_rows = q_rows + QUERIES * deep
    dq_rows = grad_rows + QUERIES * wide
    k_columns = dq_rows + QUERIES * deep
    v_columns = k_columns + keys * depth
    k_rows = v_columns + keys * width
    dk_rows = k_rows + keys * deep
    dv_rows = dk_rows + keys * deep
    return p, ds, delta, q_rows, grad_rows, dq_rows, k_columns, v_columns, k_rows, dk_rows, dv_rows


@jit(
    "attention_backward",
    *(FLAT, INPUT, INPUT, INPUT, INPUT, INPUT, "const T[::1]", *MASK, "boolean", "T"),
    *(OUTPUT, OUTPUT, OUTPUT),
    seconds=5.0,
)
def _backward(
    work, grad, q, k, v, out, logsumexp, mask, starts, mask_i, mask_j, masked, causal, scale,
    dq, dk, dv,
):  # fmt: skip
    heads, queries, depth = q.shape[1], q.shape[2], q.shape[3]
    keys, width = v.shape[2], v.shape[3]
    w, masks = address(work), address(mask)
    panel = 2 * lanes(w)
    deep, wide, one = round_up(depth, panel), round_up(width, panel), number(w, 1.0)
    p, ds, delta, q_rows, grad_rows, dq_rows, k_columns, v_columns, k_rows, dk_rows, dv_rows = (
        places(round_up(keys, panel), depth, width, deep, wide)
    )
    for head in range(q.shape[0] * heads):
        b, h = head // heads, head % heads
        k_at, v_at = start(k, b, h), start(v, b, h)
        pack_columns(address(k), k_at, step(k), keys, depth, w, k_columns)
        pack_columns(address(v), v_at, step(v), keys, width, w, v_columns)
        pack_rows(address(k), k_at, step(k), keys, depth, one, w, k_rows, deep)
        fill(w, dk_rows, keys * deep, number(w, 0.0))
        fill(w, dv_rows, keys * wide, number(w, 0.0))
        for q0 in range(0, queries, QUERIES):
            n = min(QUERIES, queries - q0)
            q_at = start(q, b, h) + q0 * step(q)
            grad_at = start(grad, b, h) + q0 * step(grad)
            pack_rows(address(q), q_at, step(q), n, depth, scale, w, q_rows, deep)
            pack_rows(address(grad), grad_at, step(grad), n, width, one, w, grad_rows, wide)
            for i in range(n):
                out_at = start(out, b, h) + (q0 + i) * step(out)
                poke(w, delta + i, dot(w, grad_rows + i * wide, address(out), out_at, width))
            visible = min(keys, q0 + n) if causal else keys
            for k0 in range(0, visible, KEYS):
                end = min(KEYS, visible - k0)
                for i in range(0, n, GROUP):
                    reach = max(0, min(end, q0 + i + GROUP - k0)) if causal else end
                    tiles(
                        w, q_rows + i * deep, deep, 1, k_columns + k0 * depth, panel, panel * depth,
                        reach, depth, p + i * KEYS, KEYS, True,
                    )  # fmt: skip
                    tiles(
                        w, grad_rows + i * wide, wide, 1, v_columns + k0 * width, panel,
                        panel * width, reach, width, ds + i * KEYS, KEYS, True,
                    )  # fmt: skip
                    for r in range(i, min(i + GROUP, n)):
                        seen = min(reach, max(0, q0 + r + 1 - k0)) if causal else reach
                        if masked:
                            mask_at = starts[head] + (q0 + r) * mask_i + k0 * mask_j
                            add_mask(w, p + r * KEYS, masks, mask_at, mask_j, seen)
                        differentiate(
                            w, p + r * KEYS, ds + r * KEYS, seen, round_up(reach, panel),
                            logsumexp[head * queries + q0 + r], peek(w, delta + r),
                        )  # fmt: skip
                    tiles(
                        w, ds + i * KEYS, KEYS, 1, k_rows + k0 * deep, deep, panel,
                        deep, reach, dq_rows + i * deep, deep, k0 == 0,
                    )  # fmt: skip
                first = k0 - q0 if causal else -keys
                add_to_keys(w, p, grad_rows, wide, n, end, first, dv_rows + k0 * wide)
                add_to_keys(w, ds, q_rows, deep, n, end, first, dk_rows + k0 * deep)
            unpack_rows(w, dq_rows, deep, n, depth, scale, address(dq), head * queries + q0)
        unpack_rows(w, dk_rows, deep, keys, depth, one, address(dk), head * keys)
        unpack_rows(w, dv_rows, wide, keys, width, one, address(dv), head * keys)


@device
def dot(w, at, other, other_at, count):
    """The sum of products of two runs of numbers."""
    total = number(w, 0.0)
    for d in range(count):
        total += peek(w, at + d) * peek(other, other_at + d)
    return total


def attention_backward_flash(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    logsumexp: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients with respect to q, k, v: see `attention_backward_reference`.

    Shapes and strides as in `attention_flash`; grad and out (…, L, Ev), logsumexp (…, L).
    Extra memory: five times K or V of one head.
    """
    lead = logsumexp.shape[:-1]
    queries, keys, depth, width = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    scale = 1 / math.sqrt(depth) if scale is None else scale
    dq = np.empty((*lead, queries, depth), q.dtype)
    dk = np.empty((*lead, keys, depth), q.dtype)
    dv = np.empty((*lead, keys, width), q.dtype)
    if keys == 0:
        dq.fill(0)
        return dq, dk, dv
    deep, wide = padded(depth), padded(width)
    size = QUERIES * (2 * KEYS + 1 + 2 * deep + wide)
    size += padded(keys) * (depth + width + 2 * deep + wide)
    _backward(
        np.empty(size, q.dtype),
        *(four_dimensional(x, lead) for x in (grad, q, k, v, out)),
        np.ascontiguousarray(logsumexp).reshape(-1),
        *mask_parts(mask, lead, queries, keys, q.dtype),
        is_causal,
        scale,
        *(x.reshape(-1) for x in (dq, dk, dv)),
    )
    return dq, dk, dv
