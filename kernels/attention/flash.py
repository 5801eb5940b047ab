"""Attention by Numba: FlashAttention's forward pass, tile by tile, in O(L + S) memory.

For a block of queries and a block of keys the scores are a small matrix product whose result stays
in the first-level cache. Softmax needs a row's largest score and its sum, which are known only
after the last block; so it runs with the largest score so far, m, and when a block brings a larger
one, what was summed before is multiplied by exp(m_old - m_new) (Milakov & Gimelshein 2018;
FlashAttention, Dao et al. 2022, algorithm 1). With a causal mask the tiles above the diagonal are
never touched: half of the work, which a product with the whole score matrix cannot leave out.

Per block of 32 queries and 128 keys, E = 64, float32: Q and the running mixture are 8 kB each, the
scores 16 kB; K and V, 32 kB each, come from the second-level cache and each of their panels of 24
columns, 6 and 12 kB, serves all 32 queries from the first. That is 4 · 32 · 128 · 64 operations for
64 kB read, 16 a byte; K and V themselves come from memory once a head.

Measured: 4.5 times as fast as `online` ((8, 8, 128, 64), causal, float32, one thread).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp_decay
from ..jit import device, jit
from ..simd import address, copy_scaled, fill, lanes, largest, number, peek, poke
from .dropout import scalars
from .dropout_loops import dropout_factors
from .operands import gathered, group_of, leading, padded, query_parts
from .tiles import GROUP, add_mask, mixtures, pack_columns, pack_rows, round_up, scores

Array = Any

QUERIES, STRIP, KEYS = 64, 32, 128  # a block of each, and the rows scored at once

# Arrays: the workspace, the operands and the mask, and for each of these where a head starts
FLAT, INPUT, TABLE = "T[::1]", "const T[:]", "const int64[:, ::1]"
NUMBERS = "const int64[::1]"  # sizes, steps, the part, and dropout's (limit, key, key)


@device
def extent(i, reach, lag, n):
    """How many keys of a block row i sees, and how many its group of rows is computed for."""
    seen = max(0, min(reach, i + 1 - lag))
    return seen, round_up(max(0, min(reach, i - i % GROUP + GROUP - lag)), n)


@device
def soften(w, p, rows, reach, lag, m, total, spare, mixed, wide, first):
    """Rows of scores become exp(s - m), m the largest so far; sums and mixtures follow m.

    `m` and `total` are places of one number a row, `spare` of three; `mixed` is where the rows'
    sums of exp(s - m) v are, to be rescaled but for the first block of keys. What a row does not
    see becomes zero. Row after row in three loops, not one: else each would wait for the last.
    """
    n, best, shift, rescale = lanes(w), spare, spare + STRIP, spare + 2 * STRIP
    for i in range(rows):
        seen, filled = extent(i, reach, lag, n)
        fill(w, p + i * KEYS + seen, filled - seen, number(w, -np.inf))
        poke(w, best + i, largest(w, p + i * KEYS, filled, peek(w, m + i)))
    for i in range(rows):
        before, after = peek(w, m + i), peek(w, best + i)
        by = after if after != -np.inf else number(w, 0.0)  # nothing seen yet: exp(-inf - 0) = 0
        poke(w, shift + i, by)
        poke(w, rescale + i, exp_decay(before - by))
        poke(w, m + i, after)
    for i in range(rows):
        added = exponentials(w, p + i * KEYS, extent(i, reach, lag, n)[1], peek(w, shift + i))
        by = peek(w, rescale + i)
        poke(w, total + i, peek(w, total + i) * by + added)
        if not first and by != number(w, 1.0):
            copy_scaled(w, mixed + i * wide, wide, by, w, mixed + i * wide)


@device
def exponentials(w, at, count, shift):
    """Scores become exp(score - shift); returns their sum."""
    added = number(w, 0.0)
    for j in range(count):
        e = exp_decay(peek(w, at + j) - shift)
        poke(w, at + j, e)
        added += e
    return added


@device
def drop(w, p, p_row, rows, reach, lag, factors, k0, query, head, drops, factor):
    """Rows of weights times dropout's factors: 0, or 1/(1 - p)."""
    for i in range(rows):
        seen = extent(i, reach, lag, 1)[0]
        dropout_factors(w, factors, k0, seen, query + i, head, drops, factor)
        for j in range(seen):
            at = p + i * p_row + j
            poke(w, at, peek(w, at) * peek(w, factors + j))


@device
def finish(w, mixed, wide, width, m, total, rows, out, logsumexp, row):
    """out = mixture / sum and logsumexp = m + log(sum), from place `row` on."""
    for i in range(rows):
        sum_ = peek(w, total + i)
        inverse = number(w, 0.0) if sum_ == 0 else number(w, 1.0) / sum_
        copy_scaled(w, mixed + i * wide, width, inverse, out, (row + i) * width)
        poke(logsumexp, row + i, peek(w, m + i) + math.log(sum_))


@device
def layout(keys, depth, wide):
    """Where in the workspace each piece of scratch starts."""
    p = 0  # scores, then exp(s - m)
    factors = p + STRIP * KEYS
    m = factors + KEYS
    total = m + QUERIES
    spare = total + QUERIES
    mixed = spare + 3 * STRIP  # sum of exp(s - m) v
    block = mixed + QUERIES * wide  # scale Q
    columns = block + QUERIES * depth  # K transposed, in panels
    rows = columns + keys * depth  # V, its rows filled up to whole vectors
    return p, factors, m, total, spare, mixed, block, columns, rows


def workspace(keys: int, depth: int, width: int) -> int:
    """How many numbers of scratch that is, at most."""
    small = (STRIP + 1) * KEYS + 2 * QUERIES + 3 * STRIP + QUERIES * (padded(width) + depth)
    return small + padded(keys) * (depth + padded(width))


@jit(
    "attention",
    *(FLAT, INPUT, INPUT, INPUT, INPUT, TABLE, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    *("boolean", "boolean", "boolean", "T", "T", "T[::1]", "T[::1]"),
    seconds=5.0,
)
def _forward(
    work, q, k, v, mask, starts, steps, sizes, part, drops,
    masked, causal, dropping, factor, scale, out, logsumexp,
):  # fmt: skip
    queries, keys, depth, width, group = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    w, n, one = address(work), lanes(address(work)), number(address(work), 1.0)
    wide = round_up(width, n)
    p, factors, m, total, spare, mixed, block, columns, rows = layout(
        round_up(keys, n), depth, wide
    )
    in_place = steps[2] == width == wide
    for head in range(part[0], part[1]):
        if head == part[0] or head % group == 0:
            pack_columns(address(k), starts[1, head], steps[1], keys, depth, w, columns)
            if not in_place:
                pack_rows(address(v), starts[2, head], steps[2], keys, width, one, w, rows, wide)
        vs, v_at = (address(v), starts[2, head]) if in_place else (w, rows)
        for q0 in range(part[2], part[3], QUERIES):
            count = min(QUERIES, part[3] - q0)
            q_at = starts[0, head] + q0 * steps[0]
            pack_rows(address(q), q_at, steps[0], count, depth, scale, w, block, depth)
            fill(w, m, QUERIES, number(w, -np.inf))
            fill(w, total, QUERIES, number(w, 0.0))
            visible = min(keys, q0 + count) if causal else keys
            for k0 in range(0, visible, KEYS):
                reach = min(KEYS, visible - k0)
                for s in range(0, count, STRIP):
                    height, c = min(STRIP, count - s), mixed + s * wide
                    lag = k0 - q0 - s if causal else -KEYS  # row i sees the columns j <= i - lag
                    if lag >= height:
                        continue
                    a, b = block + s * depth, columns + k0 * depth
                    scores(w, a, depth, depth, height, b, reach, p, KEYS, lag)
                    if masked:
                        at = starts[3, head] + (q0 + s) * steps[3] + k0 * steps[4]
                        add_mask(w, p, KEYS, height, reach, address(mask), at, steps[3], steps[4])
                    soften(w, p, height, reach, lag, m + s, total + s, spare, c, wide, k0 == 0)
                    if dropping:
                        drop(
                            w, p, KEYS, height, reach, lag,
                            factors, k0, q0 + s, head, drops, factor,
                        )  # fmt: skip
                    b = v_at + k0 * wide
                    mixtures(w, p, KEYS, height, reach, lag, vs, b, wide, width, c, wide, k0 == 0)
            row = head * queries + q0
            finish(w, mixed, wide, width, m, total, count, address(out), address(logsumexp), row)


def forward(
    q: Array, k: Array, v: Array, mask: Array | None, is_causal: bool, scale: float | None,
    dropout_p: float, seed: int, split: bool,
) -> tuple[tuple[Array, Array], Any, list[tuple[int, int, int, int]]]:  # fmt: skip
    """Empty results, a function that fills in a part of them, and the parts.

    Returns:
        results: out and logsumexp.
        compute: of (first head, last head, first query, last query).
        parts: one, or more if `split`.
    """
    lead = leading(q, k, v)
    queries, keys, depth, width = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    scale = 1 / math.sqrt(depth) if scale is None else scale
    out = np.empty((*lead, queries, width), q.dtype)
    logsumexp = np.empty((*lead, queries), q.dtype)
    heads, group = math.prod(lead), group_of(lead, k, v)
    numbers, starts, steps = gathered((q, k, v), mask, lead, queries, keys)
    sizes = np.array([queries, keys, depth, width, group])
    drops, dropping, factor = scalars(dropout_p, seed)

    def compute(part: tuple[int, int, int, int]) -> None:
        _forward(
            np.empty(workspace(keys, depth, width), q.dtype),
            *(*numbers, starts, steps, sizes, np.array(part), drops),
            *(mask is not None, is_causal, dropping, factor, scale),
            *(out.reshape(-1), logsumexp.reshape(-1)),
        )

    if keys == 0:
        out.fill(0)
        logsumexp.fill(-np.inf)
        return (out, logsumexp), compute, []
    parts = query_parts(heads, group, queries, keys, depth + width, split)
    return (out, logsumexp), compute, parts


def attention_flash(
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

    q (…, L, E), k (…, S, E), v (…, S, Ev) of one dtype, any strides; nothing is copied whole if the
    numbers of a row lie side by side. Extra memory: K and V of one head.

    >>> x = np.eye(2, dtype=np.float32)
    >>> attention_flash(x, x, x, is_causal=True)[0][0]
    array([1., 0.], dtype=float32)
    """
    results, compute, parts = forward(q, k, v, mask, is_causal, scale, dropout_p, seed, split=False)
    for part in parts:
        compute(part)
    return results
