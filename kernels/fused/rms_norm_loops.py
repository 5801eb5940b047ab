"""RMS normalisation by Numba, see `rms_norm.py`: two passes over a row in the first-level cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import contiguous, jit
from ..simd import address, number, peek, poke
from .parts import each_part, summed_by_part
from .row_loops import INTO_ROW, INTO_ROWS, ROW, ROWS, or_constant

Array = Any


@jit("rms_norm", ROWS, INTO_ROWS, INTO_ROW, ROW, "T", seconds=0.4)
def _rms_norm(x, y, rrms, weight, eps):
    rows, n = x.shape
    p, w, into = address(x), address(weight), address(y)
    one, count = number(p, 1.0), number(p, float(n))
    for i in range(rows):
        at = i * n
        square = number(p, 0.0)
        for j in range(n):
            square += peek(p, at + j) * peek(p, at + j)
        r = one / np.sqrt(square / count + eps)
        rrms[i] = r
        for j in range(n):
            poke(into, at + j, peek(p, at + j) * r * peek(w, j))


@jit("rms_norm_backward", ROWS, ROWS, ROW, INTO_ROWS, ROW, INTO_ROWS, seconds=0.4)
def _rms_norm_backward(grad, x, rrms, dx, weight, sums):
    rows, n = x.shape
    g, p, w = address(grad), address(x), address(weight)
    into, dw = address(dx), address(sums)
    count = number(p, float(n))
    for i in range(rows):
        at, r = i * n, rrms[i]
        inner = number(p, 0.0)
        for j in range(n):
            inner += peek(g, at + j) * peek(w, j) * peek(p, at + j)
        projection = inner * r / count
        for j in range(n):
            normal = peek(p, at + j) * r
            d = peek(g, at + j)
            poke(dw, j, peek(dw, j) + d * normal)
            poke(into, at + j, r * (d * peek(w, j) - normal * projection))


def rms_norm_loop(x: Array, weight: Array | None, eps: float) -> tuple[Array, Array]:
    """y, rrms of RMS normalisation over the last axis: see `rms_norm_reference`."""
    y, rrms = np.empty(x.shape, x.dtype), np.empty(x.shape[0], x.dtype)
    arrays = (contiguous(x), y, rrms)
    each_part(_rms_norm, arrays, (or_constant(weight, 1, x), eps), x.shape[1])
    return y, rrms


def rms_norm_backward_loop(
    grad: Array, x: Array, weight: Array | None, rrms: Array
) -> tuple[Array, Array]:
    """dx, dweight: see `rms_norm_backward_reference`. Rows are added in their order, by parts."""
    dx = np.empty(x.shape, x.dtype)
    arrays = (contiguous(grad), contiguous(x), contiguous(rrms), dx)
    (dweight,) = summed_by_part(_rms_norm_backward, arrays, (or_constant(weight, 1, x),), 1)
    return dx, dweight
