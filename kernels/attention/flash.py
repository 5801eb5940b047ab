"""Attention by Numba: FlashAttention's forward pass, tile by tile, in O(L + S) memory.

For four queries at a time and one block of keys, the scores are a small matrix product whose result
stays in the first-level cache. Softmax needs the row's largest score and its sum, which are known
only after the last block; so it runs with the largest score so far, m, and when a block brings a
larger one, what was summed before is multiplied by exp(m_old - m_new) (Milakov & Gimelshein 2018;
FlashAttention, Dao et al. 2022, algorithm 1). With a causal mask the keys after the fourth query
are never touched: half of the work, which a product with the whole score matrix cannot leave out.

Queries come in blocks of 32 and keys in blocks of 128, so that a block of K and V (32 kB each at
E = 64) is read from the cache by eight groups of four queries.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp
from ..jit import device, jit
from ..simd import address, copy_scaled, fill, lanes, largest, number, peek, poke
from .operands import four_dimensional, mask_parts, padded
from .tiles import GROUP, add_mask, pack_columns, pack_rows, round_up, start, step, tiles

Array = Any

QUERIES, KEYS = 32, 128  # sizes of a block, multiples of every tile

FLAT, INPUT, OUTPUT = "T[::1]", "const T[:, :, :, :]", "T[::1]"
MASK = ("const T[::1]", "const int64[::1]", "int64", "int64", "boolean")


@device
def soften(w, at, seen, filled, m, total, rescaling, mixed, width):
    """A row of scores becomes exp(s - m), m its largest so far; sum and mixture follow m.

    The first `seen` scores count, those from there to `filled` become zero. `m` and `total` are
    places; `mixed` is where the row's sum of exp(s - m) v is, to be rescaled unless it is empty.
    """
    fill(w, at + seen, filled - seen, number(w, -np.inf))
    before = peek(w, m)
    best = largest(w, at, filled, before)
    shift = best if best != -np.inf else number(w, 0.0)  # nothing seen yet: exp(-inf - 0) = 0
    added = number(w, 0.0)
    for j in range(filled):
        e = exp(peek(w, at + j) - shift)
        poke(w, at + j, e)
        added += e
    rescale = exp(before - shift)
    poke(w, m, best)
    poke(w, total, peek(w, total) * rescale + added)
    if rescaling:
        copy_scaled(w, mixed, width, rescale, w, mixed)


@jit(
    "attention",
    *(FLAT, INPUT, INPUT, INPUT, *MASK, "boolean", "T", OUTPUT, OUTPUT),
    seconds=5.0,
)
def _forward(work, q, k, v, mask, starts, mask_i, mask_j, masked, causal, scale, out, logsumexp):
    heads, queries, depth = q.shape[1], q.shape[2], q.shape[3]
    keys, width = v.shape[2], v.shape[3]
    w, qs, ks, vs, masks = address(work), address(q), address(k), address(v), address(mask)
    outs, sums = address(out), address(logsumexp)
    panel = 2 * lanes(w)
    wide = round_up(width, panel)
    scores = 0
    m = scores + GROUP * KEYS
    total = m + QUERIES
    mixed = total + QUERIES  # sum of exp(s - m) v
    block = mixed + QUERIES * wide  # scale Q
    columns = block + QUERIES * depth  # K transposed, in panels
    rows = columns + round_up(keys, panel) * depth  # V, its rows filled up to whole tiles
    for head in range(q.shape[0] * heads):
        b, h = head // heads, head % heads
        pack_columns(ks, start(k, b, h), step(k), keys, depth, w, columns)
        pack_rows(vs, start(v, b, h), step(v), keys, width, number(w, 1.0), w, rows, wide)
        for q0 in range(0, queries, QUERIES):
            n = min(QUERIES, queries - q0)
            pack_rows(qs, start(q, b, h) + q0 * step(q), step(q), n, depth, scale, w, block, depth)
            fill(w, m, QUERIES, number(w, -np.inf))
            fill(w, total, QUERIES, number(w, 0.0))
            visible = min(keys, q0 + n) if causal else keys
            for k0 in range(0, visible, KEYS):
                for i in range(0, n, GROUP):
                    reach = min(KEYS, visible - k0)
                    if causal:
                        reach = min(reach, q0 + i + GROUP - k0)
                    if reach <= 0:
                        continue
                    tiles(
                        w, block + i * depth, depth, 1, columns + k0 * depth, panel, panel * depth,
                        reach, depth, scores, KEYS, True,
                    )  # fmt: skip
                    for r in range(min(GROUP, n - i)):
                        seen = min(reach, max(0, q0 + i + r + 1 - k0)) if causal else reach
                        at = scores + r * KEYS
                        if masked:
                            mask_at = starts[head] + (q0 + i + r) * mask_i + k0 * mask_j
                            add_mask(w, at, masks, mask_at, mask_j, seen)
                        soften(
                            w, at, seen, round_up(reach, panel), m + i + r, total + i + r,
                            k0 > 0, mixed + (i + r) * wide, wide,
                        )  # fmt: skip
                    tiles(
                        w, scores, KEYS, 1, rows + k0 * wide, wide, panel,
                        wide, reach, mixed + i * wide, wide, k0 == 0,
                    )  # fmt: skip
            for i in range(n):
                row, sum_ = head * queries + q0 + i, peek(w, total + i)
                inverse = number(w, 0.0) if sum_ == 0 else number(w, 1.0) / sum_
                copy_scaled(w, mixed + i * wide, width, inverse, outs, row * width)
                poke(sums, row, peek(w, m + i) + math.log(sum_))


def attention_flash(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp: see `attention_reference`.

    q (…, L, E), k (…, S, E), v (…, S, Ev) of one dtype, any strides; nothing is copied whole if the
    numbers of a row lie side by side. Extra memory: K and V of one head.

    >>> x = np.eye(2, dtype=np.float32)
    >>> attention_flash(x, x, x, is_causal=True)[0][0]
    array([1., 0.], dtype=float32)
    """
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    queries, keys, depth, width = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    scale = 1 / math.sqrt(depth) if scale is None else scale
    out = np.empty((*lead, queries, width), q.dtype)
    logsumexp = np.empty((*lead, queries), q.dtype)
    if keys == 0:
        out.fill(0)
        logsumexp.fill(-np.inf)
        return out, logsumexp
    wide = padded(width)
    size = GROUP * KEYS + QUERIES * (2 + wide + depth) + padded(keys) * (depth + wide)
    _forward(
        np.empty(size, q.dtype),
        *(four_dimensional(x, lead) for x in (q, k, v)),
        *mask_parts(mask, lead, queries, keys, q.dtype),
        is_causal,
        scale,
        out.reshape(-1),
        logsumexp.reshape(-1),
    )
    return out, logsumexp
