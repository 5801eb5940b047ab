"""The two loops that a machine's limits are measured with (see roofline.py)."""

from __future__ import annotations

from typing import Any

from minigen.kernels.jit import jit
from minigen.kernels.simd import address, load, multiply_add, store


@jit("chains", "T[::1]", "int64", seconds=0.5)
def chains(scratch: Any, steps: int) -> None:
    """c <- a b + c, twelve times independently, as often as asked for."""
    p = address(scratch)
    a, b = load(p, 0), load(p, 8)
    c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = c8 = c9 = c10 = c11 = load(p, 16)
    for _ in range(steps):
        c0, c1, c2 = multiply_add(c0, a, b), multiply_add(c1, a, b), multiply_add(c2, a, b)
        c3, c4, c5 = multiply_add(c3, a, b), multiply_add(c4, a, b), multiply_add(c5, a, b)
        c6, c7, c8 = multiply_add(c6, a, b), multiply_add(c7, a, b), multiply_add(c8, a, b)
        c9, c10, c11 = multiply_add(c9, a, b), multiply_add(c10, a, b), multiply_add(c11, a, b)
    total = multiply_add(c0, c1, multiply_add(c2, c3, multiply_add(c4, c5, c6)))
    total = multiply_add(c7, c8, multiply_add(c9, c10, multiply_add(c11, a, total)))
    store(p, 24, total)


@jit("triad", "T[::1]", "const T[::1]", "const T[::1]", "T", seconds=0.3)
def triad(a: Any, b: Any, c: Any, s: float) -> None:
    """a = b + s c."""
    for i in range(a.size):
        a[i] = b[i] + s * c[i]
