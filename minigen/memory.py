"""Freed memory stays with the process, so that the next step finds it.

A training step allocates the same arrays again and again. glibc takes arrays of more than 128 kB
from the kernel and gives them back when they are freed, until it has seen larger ones, and it gives
back what is free at the end of its heap; each time the arrays come anew the kernel has to clear
their pages (a GPT of 0.8 million parameters: 6,900 pages a step, a sixth of its time). With larger
thresholds it keeps them. Memory that a process has once used is then not available to others
until it ends.

Where the C library is another one, or MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_ or
GLIBC_TUNABLES are set in the environment, nothing is changed.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT, FROM_HEAP = (
    1 << 30,
    32 << 20,
)  # bytes free at the end of the heap; largest array taken from it
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@functools.cache
def keep_freed_memory() -> bool:
    """Have the C library keep up to 1 GiB of freed memory; whether it does. Called by optimizers.

    >>> keep_freed_memory() in (True, False)
    True
    """
    if platform.libc_ver()[0] != "glibc" or any(os.environ.get(name) for name in _VARIABLES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, FROM_HEAP) and mallopt(_M_TRIM_THRESHOLD, KEPT))
