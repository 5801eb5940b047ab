"""Clipping gradients by their norm by Numba, see `clip.py`: a loop that sums, one that scales."""

from __future__ import annotations

import math

import numpy as np

from .. import parallel
from ..jit import contiguous, jit
from ..simd import address, number, peek
from .clip import factor_of
from .optimizers import Array, Arrays, as_lists
from .parts import each_part, row_parts


@jit("squares of gradients", "const T[::1]", "float64[::1]", seconds=0.3)
def _square_sum(g, total):
    # 256 at a time in g's own precision, which fills vectors; those sums in float64.
    p, n = address(g), g.size
    for first in range(0, n, 256):
        square = number(p, 0.0)
        for i in range(first, min(first + 256, n)):
            square += peek(p, i) * peek(p, i)
        total[0] += square


@jit("scaling of gradients", "T[::1]", "T", seconds=0.2)
def _scale(g, factor):
    for i in range(g.size):
        g[i] *= factor


def _squares(flat: Array) -> float:
    """Σ g², in parts that several cores share, added in their order."""
    parts = row_parts(flat.size, 1)
    sums = np.zeros(len(parts))

    def run(place: int) -> None:
        _square_sum(flat[slice(*parts[place])], sums[place : place + 1])

    parallel.each(run, range(len(parts)))
    return float(sums.sum())


def clip_norm_loop(grads: Arrays, max_norm: float) -> tuple[Array, Array]:
    """norm and factor, the arrays scaled in place: see `clip_norm_reference`.

    >>> clip_norm_loop(np.array([3.0, 4.0]), 10.0)
    (array(5.), array(1.))
    """
    (grads,) = as_lists(grads)
    flat = [contiguous(g.reshape(-1)) for g in grads]
    norm = np.asarray(math.sqrt(sum(map(_squares, flat))), grads[0].dtype)
    factor = np.asarray(factor_of(norm, max_norm))
    if factor != 1:
        for g, f in zip(grads, flat):
            if np.may_share_memory(g, f):
                each_part(_scale, (f,), (factor.item(),), 1)
            else:  # no flat view shows it
                g *= factor
    return norm, factor
