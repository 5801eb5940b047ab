"""Which attention weights dropout keeps: a function of (seed, head, query, key) and nothing else.

A generator with a state draws numbers in an order; here tiles, threads and the backward pass each
want theirs in an order of their own. A counter-based generator has no state: it encrypts a counter.
Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3) makes
four words of 32 bits of a counter of four and a key of two; it passes TestU01's BigCrush. With

    counter = (key j // 4, query i, head h, 0),    key = the low and the high half of the seed

word j mod 4 decides on the weight of key j for query i in head h. So the backward pass finds the
mask of the forward pass again without keeping it, and every rung, tile size and number of threads
drops the same weights. A head is counted in C order of the scores' leading dimensions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

Array = Any

ROUNDS = 10
MULTIPLY_0, MULTIPLY_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85  # the golden ratio and √3 - 1, times 2³²
WORD = 0xFFFFFFFF

NOTHING = np.zeros(3, np.int64)  # that the kernels do not look at


class Dropout(NamedTuple):
    """dropout_p and seed as kernels use them: word <= limit keeps a weight, times `factor`."""

    limit: int
    factor: float
    key_0: int
    key_1: int
    keys: Array | None = None  # of all rounds, if they lie on a GPU


def dropout_of(dropout_p: float, seed: int | Array) -> Dropout | None:
    """None if nothing is dropped. A weight stays with probability 1 - p to the nearest 2⁻³².

    The seed may be the array of its `round_keys`, on a GPU: a CUDA graph that is replayed finds
    other ones there each time.

    >>> dropout_of(0.5, 1)
    Dropout(limit=2147483647, factor=2.0, key_0=1, key_1=0, keys=None)
    """
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"attention: dropout_p is a probability, from 0 to 1; got {dropout_p}")
    if dropout_p == 0:
        return None
    keep = 1 - dropout_p
    limit = max(1, round(keep * 2**32)) - 1
    factor = 1 / keep if keep else 0.0
    if not isinstance(seed, int):
        return Dropout(limit, factor, 0, 0, seed)
    return Dropout(limit, factor, seed & WORD, seed >> 32 & WORD)


def round_keys(seed: int) -> Array:
    """The two keys of every round, uint64 (ROUNDS, 2).

    >>> [hex(key) for key in round_keys(2**32)[1]]
    ['0x9e3779b9', '0xbb67ae86']
    """
    steps = np.arange(ROUNDS, dtype=np.uint64)[:, None] * np.array([WEYL_0, WEYL_1], np.uint64)
    return (np.array([seed & WORD, seed >> 32 & WORD], np.uint64) + steps) & np.uint64(WORD)


def scalars(dropout_p: float, seed: int) -> tuple[Array, bool, float]:
    """What a Numba kernel takes: (limit, key, key), whether to drop at all, and the factor."""
    dropout = dropout_of(dropout_p, seed)
    if dropout is None:
        return NOTHING, False, 1.0
    return np.array([dropout.limit, dropout.key_0, dropout.key_1]), True, dropout.factor


def philox(
    counter: tuple[Array, Array, Array, Array], key_0: int, key_1: int, keys: Array | None = None
) -> tuple[Array, ...]:
    """Philox4x32-10: four arrays of words of a counter of four, each below 2³², that broadcast.

    The keys of all rounds may be given in place of the first two.

    >>> [hex(word) for word in philox((0, 0, 0, 0), 0, 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    low, shift = np.uint64(WORD), np.uint64(32)
    c0, c1, c2, c3 = (
        c.astype(np.uint64) if hasattr(c, "astype") else np.uint64(c) for c in counter
    )
    keys = round_keys(key_1 << 32 | key_0) if keys is None else keys
    for key in keys:
        first, second = c0 * np.uint64(MULTIPLY_0), c2 * np.uint64(MULTIPLY_1)
        c0 = (second >> shift) ^ c1 ^ key[0]
        c2 = (first >> shift) ^ c3 ^ key[1]
        c1, c3 = second & low, first & low
    return c0, c1, c2, c3


def kept(shape: tuple[int, ...], dropout: Dropout, like: Array | None = None) -> Array:
    """(…, L, S) of booleans: which weights stay; beside `like`, if that is on a GPU.

    >>> kept((2, 8), dropout_of(0.5, 0)).astype(int)
    array([[1, 0, 0, 0, 0, 1, 0, 1],
           [1, 0, 1, 1, 1, 0, 0, 1]])
    """
    *lead, queries, keys = shape
    heads = math.prod(lead)
    if like is not None and not isinstance(like, np.ndarray):
        return _kept_at_once(shape, dropout, like)
    stays = np.empty((heads, queries, (keys + 3) // 4, 4), bool)
    query, fours = np.arange(queries)[:, None], np.arange((keys + 3) // 4)
    for head in range(heads):
        words = philox((fours, query, head, 0), dropout.key_0, dropout.key_1)
        for place, word in enumerate(words):
            np.less_equal(word, dropout.limit, out=stays[head, ..., place])
    return stays.reshape(heads, queries, -1)[..., :keys].reshape(shape)


def _kept_at_once(shape: tuple[int, ...], dropout: Dropout, like: Array) -> Array:
    """The same on a GPU, all heads in one go: there a launch costs more than the numbers."""
    *lead, queries, keys = shape
    heads = math.prod(lead)
    head = np.arange(heads, like=like)[:, None, None]
    query, fours = np.arange(queries, like=like)[:, None], np.arange((keys + 3) // 4, like=like)
    words = philox((fours, query, head, 0), dropout.key_0, dropout.key_1, dropout.keys)
    stays = np.empty_like(words[0], bool, shape=(*words[0].shape, 4))
    for place, word in enumerate(words):
        np.less_equal(word, np.uint64(dropout.limit), out=stays[..., place])
    return stays.reshape(heads, queries, -1)[..., :keys].reshape(shape)


def factors(
    shape: tuple[int, ...],
    dropout_p: float,
    seed: int | Array,
    dtype: Any = float,
    like: Array | None = None,
) -> Array | None:
    """(…, L, S), 0 where a weight is dropped and 1/(1 - p) where it stays; None for p = 0.

    On the device of `like`, else on the CPU.
    """
    dropout = dropout_of(dropout_p, seed)
    if dropout is None:
        return None
    return np.where(
        kept(shape, dropout, like), np.dtype(dtype).type(dropout.factor), np.dtype(dtype).type(0)
    )
