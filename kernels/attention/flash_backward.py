"""The gradient of attention by Numba: probabilities recomputed tile by tile, in O(L + S) memory.

The forward pass leaves out and logsumexp. For a block of queries and a block of keys this
recomputes P = exp(scale Q Kᵀ + mask - logsumexp), and with δᵢ = Σ dOᵢ Oᵢ forms
dS = P ∘ (dO Vᵀ - δ); three more products of the two blocks add to dV = Pᵀ dO, dK = scale dSᵀ Q and
dQ = scale dS K (FlashAttention, Dao et al. 2022, algorithm 4). With dropout M, zero or 1/(1 - p)
and made again from its seed, it is dS = P ∘ (M ∘ dO Vᵀ - δ) and dV = (P ∘ M)ᵀ dO.

P and dS of a block of 64 queries and 64 keys are 16 kB each in float32 and go from product to
product through the first two levels of cache. Five products, 10 · 64 · 64 · 64 operations at
E = 64, meet seven operands and sums of 16 kB: 23 operations a byte. K, V, dK and dV of a head stay
in the second level, Q and dO come from memory once. With a causal mask none of the five products
touches a key after the query, but for the rounding to tiles of four.

Measured: 2.45 of NumPy's speed ((8, 8, 128, 64), causal, float32, one thread).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp_decay
from ..jit import device, jit
from ..simd import address, fill, lanes, number, peek, poke
from .dropout import scalars
from .flash import FLAT, INPUT, NUMBERS, TABLE, drop, extent
from .operands import gathered, group_of, grouped, key_parts, padded, summed_to
from .tiles import (
    add_mask,
    add_to_keys,
    mixtures,
    pack_columns,
    pack_rows,
    round_up,
    scores,
    unpack_rows,
)

Array = Any

QUERIES, KEYS = 64, 64  # a block of each, multiples of every tile


@device
def differentiate(w, p, ds, rows, reach, lag, logsumexp, row, delta):
    """Rows of scores at p become probabilities, rows of dP at ds become dS = P (dP - δ)."""
    n = lanes(w)
    for i in range(rows):
        seen, filled = extent(i, reach, lag, n)
        at, its = p + i * KEYS, ds + i * KEYS
        fill(w, at + seen, filled - seen, number(w, -np.inf))
        shift, d = peek(logsumexp, row + i), peek(w, delta + i)
        shift = shift if shift != -np.inf else number(w, 0.0)
        for j in range(filled):
            e = exp_decay(peek(w, at + j) - shift)
            poke(w, at + j, e)
            poke(w, its + j, e * (peek(w, its + j) - d))


@device
def slopes(w, p, ds, extents, logsumexp, row, delta, dropping, place, drops, factor):
    """`differentiate`; with dropout M, dP is M times what it was before, and P afterwards."""
    rows, reach, lag = extents
    factors, key, query, head = place
    if dropping:
        drop(w, ds, KEYS, rows, reach, lag, factors, key, query, head, drops, factor)
    differentiate(w, p, ds, rows, reach, lag, logsumexp, row, delta)
    if dropping:
        drop(w, p, KEYS, rows, reach, lag, factors, key, query, head, drops, factor)


@device
def dots(w, at, wide, other, other_at, step, rows, width, result):
    """result[i] = Σ_d w[at + i wide + d] other[other_at + i step + d]."""
    for i in range(rows):
        total = number(w, 0.0)
        for d in range(width):
            total += peek(w, at + i * wide + d) * peek(other, other_at + i * step + d)
        poke(w, result + i, total)


@device
def layout(keys, depth, width, deep, wide):
    """Where in the workspace each piece of scratch starts; the widths of rows are rounded up."""
    p = 0  # a block of scores, then probabilities
    ds = p + QUERIES * KEYS
    factors = ds + QUERIES * KEYS
    delta = factors + KEYS
    q_rows = delta + QUERIES  # scale Q
    grad_rows = q_rows + QUERIES * deep
    dq_rows = grad_rows + QUERIES * wide
    k_columns = dq_rows + QUERIES * deep
    v_columns = k_columns + keys * depth
    dk_rows = v_columns + keys * width
    dv_rows = dk_rows + keys * deep
    k_rows = dv_rows + keys * wide
    return (
        (p, ds, factors, delta, q_rows, grad_rows, dq_rows),
        (k_columns, v_columns, dk_rows, dv_rows, k_rows),
    )


def workspace(keys: int, depth: int, width: int) -> int:
    """How many numbers of scratch that is, at most."""
    deep, wide = padded(depth), padded(width)
    small = (2 * QUERIES + 1) * KEYS + QUERIES * (1 + 2 * deep + wide)
    return small + padded(keys) * (depth + width + 2 * deep + wide)


@device
def pack_keys(w, k, k_at, k_step, v, v_at, v_step, keys, depth, width, places, rows_too):
    """K and V as columns, K as rows too if its own will not do, and sums dK and dV of zero."""
    k_columns, v_columns, dk_rows, dv_rows, k_rows = places
    deep, wide = round_up(depth, lanes(w)), round_up(width, lanes(w))
    pack_columns(k, k_at, k_step, keys, depth, w, k_columns)
    pack_columns(v, v_at, v_step, keys, width, w, v_columns)
    if rows_too:
        pack_rows(k, k_at, k_step, keys, depth, number(w, 1.0), w, k_rows, deep)
    fill(w, dk_rows, keys * deep, number(w, 0.0))
    fill(w, dv_rows, keys * wide, number(w, 0.0))


@jit(
    "attention_backward",
    *(FLAT, INPUT, INPUT, INPUT, INPUT, INPUT, INPUT, "const T[::1]", TABLE),
    *(NUMBERS, NUMBERS, NUMBERS, NUMBERS, "boolean", "boolean", "boolean", "T", "T"),
    *("T[::1]", "T[::1]", "T[::1]"),
    seconds=5.0,
)
def _backward(
    work, grad, q, k, v, out, mask, logsumexp, starts,
    steps, sizes, part, drops, masked, causal, dropping, factor, scale, dq, dk, dv,
):  # fmt: skip
    queries, all_keys, depth, width, group = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    first, keys = part[2], part[3] - part[2]
    w, n, sums = address(work), lanes(address(work)), address(logsumexp)
    one = number(w, 1.0)
    deep, wide = round_up(depth, n), round_up(width, n)
    (p, ds, factors, delta, q_rows, grad_rows, dq_rows), of_keys = layout(
        round_up(keys, 8), depth, width, deep, wide
    )
    k_columns, v_columns, dk_rows, dv_rows, k_rows = of_keys
    in_place = steps[2] == depth == deep
    for head in range(part[0], part[1]):
        k_at, v_at = starts[2, head] + first * steps[2], starts[3, head] + first * steps[3]
        if head % group == 0:
            pack_keys(
                w, address(k), k_at, steps[2], address(v), v_at, steps[3], keys, depth, width,
                of_keys, not in_place,
            )  # fmt: skip
        ks, k_at = (address(k), k_at) if in_place else (w, k_rows)
        for q0 in range(0, queries, QUERIES):
            count = min(QUERIES, queries - q0)
            row = head * queries + q0
            q_at, grad_at = starts[1, head] + q0 * steps[1], starts[0, head] + q0 * steps[0]
            pack_rows(address(q), q_at, steps[1], count, depth, scale, w, q_rows, deep)
            pack_rows(address(grad), grad_at, steps[0], count, width, one, w, grad_rows, wide)
            out_at = starts[4, head] + q0 * steps[4]
            dots(w, grad_rows, wide, address(out), out_at, steps[4], count, width, delta)
            fill(w, dq_rows, count * deep, number(w, 0.0))
            visible = min(keys, q0 + count - first) if causal else keys
            for k0 in range(0, visible, KEYS):
                reach = min(KEYS, visible - k0)
                lag = first + k0 - q0 if causal else -KEYS  # row i sees the columns j <= i - lag
                scores(w, q_rows, deep, depth, count, k_columns + k0 * depth, reach, p, KEYS, lag)
                b = v_columns + k0 * width
                scores(w, grad_rows, wide, width, count, b, reach, ds, KEYS, lag)
                if masked:
                    at = starts[5, head] + q0 * steps[5] + (first + k0) * steps[6]
                    add_mask(w, p, KEYS, count, reach, address(mask), at, steps[5], steps[6])
                extents, place = (count, reach, lag), (factors, first + k0, q0, head)
                slopes(w, p, ds, extents, sums, row, delta, dropping, place, drops, factor)
                b = k_at + k0 * deep
                mixtures(w, ds, KEYS, count, reach, lag, ks, b, deep, depth, dq_rows, deep, False)
                add_to_keys(w, p, KEYS, count, reach, lag, grad_rows, wide, dv_rows + k0 * wide)
                add_to_keys(w, ds, KEYS, count, reach, lag, q_rows, deep, dk_rows + k0 * deep)
            stripe = part[4] * sizes[5] * queries
            unpack_rows(w, dq_rows, deep, count, depth, scale, address(dq), stripe + row)
        if head % group == group - 1:
            row = head // group * all_keys + first
            unpack_rows(w, dk_rows, deep, keys, depth, one, address(dk), row)
            unpack_rows(w, dv_rows, wide, keys, width, one, address(dv), row)


def backward(
    grad: Array, q: Array, k: Array, v: Array, out: Array, logsumexp: Array, mask: Array | None,
    is_causal: bool, scale: float | None, dropout_p: float, seed: int, split: bool,
) -> tuple[tuple[Array, Array, Array], Any, list[tuple[int, int, int, int, int]]]:  # fmt: skip
    """Empty results, a function that fills in a part of them, and the parts.

    Returns:
        gradients: dq, with the stripes as dimension 0 if there are several, and dk and dv, all in
            the broadcast leading dimensions, but dk and dv are 1 in the last ones if k and v are.
        compute: of (first head, last head, first key, last key, stripe).
        parts: one, or more if `split`.
    """
    lead = logsumexp.shape[:-1]
    queries, keys, depth, width = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    scale = 1 / math.sqrt(depth) if scale is None else scale
    heads, group = math.prod(lead), group_of(lead, k, v)
    parts = key_parts(heads, group, queries, keys, depth + width, split)
    stripes = 1 + max((part[4] for part in parts), default=0)
    dq = np.empty((*((stripes,) if stripes > 1 else ()), *lead, queries, depth), q.dtype)
    units = grouped(lead, group)
    dk = np.empty((*units, keys, depth), q.dtype)
    dv = np.empty((*units, keys, width), q.dtype)
    numbers, starts, steps = gathered((grad, q, k, v, out), mask, lead, queries, keys)
    sizes = np.array([queries, keys, depth, width, group, heads])
    drops, dropping, factor = scalars(dropout_p, seed)
    sums = np.ascontiguousarray(logsumexp).reshape(-1)

    def compute(part: tuple[int, int, int, int, int]) -> None:
        _backward(
            np.empty(workspace(part[3] - part[2], depth, width), q.dtype),
            *(*numbers, sums, starts, steps, sizes, np.array(part), drops),
            *(mask is not None, is_causal, dropping, factor, scale),
            *(dq.reshape(-1), dk.reshape(-1), dv.reshape(-1)),
        )

    return (dq, dk, dv), compute, parts


def finished(
    gradients: tuple[Array, Array, Array], q: Array, k: Array, v: Array
) -> tuple[Array, Array, Array]:
    """The sums over stripes and over broadcast dimensions: gradients in the inputs' shapes."""
    dq, dk, dv = gradients
    if dq.ndim > max(q.ndim, k.ndim, v.ndim):
        dq = dq.sum(axis=0)
    return summed_to(dq, q.shape), summed_to(dk, k.shape), summed_to(dv, v.shape)


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
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array, Array]:
    """Gradients with respect to q, k, v: see `attention_backward_reference`.

    Shapes and strides as in `attention_flash`; grad and out (…, L, Ev), logsumexp (…, L).
    Extra memory: five times K or V of one head.
    """
    gradients, compute, parts = backward(
        grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed, split=False
    )
    for part in parts:
        compute(part)
    if k.shape[-2] == 0:
        gradients[0].fill(0)
    return finished(gradients, q, k, v)
