"""What a warp's access costs: sectors of global memory, wavefronts of shared memory.

Global memory is moved in sectors of 32 bytes. The 32 threads of a warp ask together, and a sector
is brought once however many of them want something from it: 32 neighbouring float32 are 4 sectors,
32 numbers a row apart are 32.

Shared memory lies in 32 banks: the word of 4 bytes number w is in bank w mod 32. In one pass, a
wavefront, each bank gives one word, to all threads that want that one. Threads that want different
words of the same bank wait for each other: a bank conflict.

(CUDA C++ Programming Guide, "Device Memory Accesses" and "Shared Memory".)
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

WARP = 32
SECTOR = 32  # bytes
WORD = 4  # bytes
BANKS = 32
PLACES = 2**40  # more than there are bytes in an array, so that warp * PLACES + place is unique


def distinct(keys: Array) -> Array:
    """The different values among the keys, in order."""
    ordered = np.sort(keys)
    new = np.empty(ordered.size, bool)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def sectors(warps: Array, places: Array, itemsize: int) -> int:
    """How many sectors the warps move.

    warps, places: (threads,), each thread's warp and the index of the number it wants.

    >>> lanes = np.arange(32)
    >>> sectors(0 * lanes, lanes, 4), sectors(0 * lanes, 100 * lanes, 4), sectors(0 * lanes, 5, 4)
    (4, 32, 1)
    """
    return distinct(warps * PLACES + places * itemsize // SECTOR).size


def wavefronts(warps: Array, places: Array, itemsize: int) -> int:
    """How many passes over the banks the warps need.

    >>> lanes = np.arange(32)
    >>> [wavefronts(0 * lanes, stride * lanes, 4) for stride in (1, 2, 33, 32)]
    [1, 2, 1, 32]
    >>> wavefronts(0 * lanes, lanes, 8), wavefronts(0 * lanes, 2 * lanes, 8)
    (2, 4)
    """
    words = warps * PLACES + places * itemsize // WORD
    if itemsize > WORD:
        words = np.concatenate([words, words + 1])
    words = distinct(words)
    banks = words // PLACES * BANKS + words % BANKS
    wanted = np.bincount(banks, minlength=(int(warps.max()) + 1) * BANKS)
    return int(wanted.reshape(-1, BANKS).max(axis=1).sum())


def fewest(active: Array, unit: int, itemsize: int) -> int:
    """Sectors or wavefronts for warps of so many active threads, side by side and aligned.

    >>> fewest(np.array([32, 32, 8]), SECTOR, 4)
    9
    """
    return int(-(-active * itemsize // unit).sum())
