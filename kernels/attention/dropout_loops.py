"""`minigen.kernels.attention.dropout` for Numba: the factors of a run of keys of one query."""

from __future__ import annotations

import numpy as np

from ..jit import device
from ..simd import number, poke
from .dropout import MULTIPLY_0, MULTIPLY_1, ROUNDS, WEYL_0, WEYL_1

M0, M1, W0, W1 = (np.uint32(x) for x in (MULTIPLY_0, MULTIPLY_1, WEYL_0, WEYL_1))
SHIFT = np.uint64(32)


@device
def philox_words(c0, c1, c2, c3, key_0, key_1):
    """The four words of Philox4x32-10; everything is an unsigned integer of 32 bits."""
    for _ in range(ROUNDS):
        first = np.uint64(c0) * np.uint64(M0)
        second = np.uint64(c2) * np.uint64(M1)
        c0 = np.uint32(np.uint32(second >> SHIFT) ^ c1 ^ key_0)
        c2 = np.uint32(np.uint32(first >> SHIFT) ^ c3 ^ key_1)
        c1, c3 = np.uint32(second), np.uint32(first)
        key_0, key_1 = np.uint32(key_0 + W0), np.uint32(key_1 + W1)
    return c0, c1, c2, c3


@device
def dropout_factors(w, at, first, count, query, head, dropout, factor):
    """w[at + j] = factor or 0 for the keys first + j, j < count rounded up to fours.

    `first` is a multiple of four; `dropout` is (limit, key_0, key_1).
    """
    limit = np.uint32(dropout[0])
    key_0, key_1 = np.uint32(dropout[1]), np.uint32(dropout[2])
    query, head, zero = np.uint32(query), np.uint32(head), np.uint32(0)
    nothing = number(w, 0.0)
    for four in range((count + 3) // 4):
        x, y, z, u = philox_words(np.uint32(first // 4 + four), query, head, zero, key_0, key_1)
        j = at + 4 * four
        poke(w, j, factor if x <= limit else nothing)
        poke(w, j + 1, factor if y <= limit else nothing)
        poke(w, j + 2, factor if z <= limit else nothing)
        poke(w, j + 3, factor if u <= limit else nothing)
