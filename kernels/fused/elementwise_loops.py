"""erf and GELU by Numba: one loop over memory, no intermediate array.

Each loop runs over a one-dimensional C-ordered view, so that LLVM sees indices that cannot be
negative, and calls nothing that is not compiled into it; it then becomes vector code.
"""

from __future__ import annotations

import math
from typing import Any

from ..elementary import erf, exp_decay
from ..jit import jit
from .function_loops import READ, WRITE, mapped
from .reference import CUBIC, SQRT_2_OVER_PI

Array = Any

LINEAR = -2 * SQRT_2_OVER_PI


@jit("erf", READ, WRITE, seconds=0.3)
def _erf(x, y):
    for i in range(x.size):
        y[i] = erf(x[i])


@jit("gelu", READ, WRITE, "T", "T", seconds=0.3)
def _gelu_exact(x, y, half, root_half):
    for i in range(x.size):
        v = x[i]
        y[i] = half * v * (erf(v * root_half) + half + half)


@jit("gelu tanh", READ, WRITE, "T", "T", "T", seconds=0.3)
def _gelu_tanh(x, y, linear, cubic, one):
    # ½ (1 + tanh u) = 1 / (1 + exp(-2u)), with a = exp(-|2u|) 1 / (1 + a), below 0 a / (1 + a);
    # linear and cubic are the coefficients of -2u.
    for i in range(x.size):
        v = x[i]
        a = exp_decay(-abs(v * (linear + cubic * v * v)))
        top = one if v >= 0 else a
        y[i] = v * (top / (one + a))


@jit("gelu_backward", READ, READ, WRITE, "T", "T", "T", seconds=0.3)
def _gelu_exact_backward(grad, x, dx, half, root_half, density_at_0):
    for i in range(x.size):
        v = x[i]
        distribution = half * (erf(v * root_half) + half + half)
        dx[i] = grad[i] * (distribution + v * (density_at_0 * exp_decay(-half * v * v)))


@jit("gelu_backward tanh", READ, READ, WRITE, "T", "T", "T", seconds=0.3)
def _gelu_tanh_backward(grad, x, dx, linear, cubic, one):
    # With t = -2u and a = exp(-|t|): s = ½ (1 + tanh u) is 1 / (1 + a) or a / (1 + a), and
    # s (1 - s) = a / (1 + a)², neither by a difference of nearly equal numbers.
    for i in range(x.size):
        v = x[i]
        a = exp_decay(-abs(v * (linear + cubic * v * v)))
        inverse = one / (one + a)
        s = inverse if v >= 0 else a * inverse
        slope = -(linear + (one + one + one) * cubic * v * v)
        dx[i] = grad[i] * (s + v * slope * (a * inverse * inverse))


def erf_loop(x: Array) -> Array:
    """erf(x), elementwise: see `special.erf`."""
    return mapped(_erf, [x])


def gelu_loop(x: Array, approximate: str = "none") -> Array:
    """x Φ(x), or its "tanh" approximation: see `gelu_reference`.

    >>> import numpy as np
    >>> gelu_loop(np.array([0.0, 1.0], np.float32)).round(4)
    array([0.    , 0.8413], dtype=float32)
    """
    if approximate == "tanh":
        return mapped(_gelu_tanh, [x], LINEAR, LINEAR * CUBIC, 1.0)
    return mapped(_gelu_exact, [x], 0.5, math.sqrt(0.5))


def gelu_backward_loop(grad: Array, x: Array, approximate: str = "none") -> Array:
    """grad · gelu'(x): see `gelu_backward_reference`."""
    if approximate == "tanh":
        return mapped(_gelu_tanh_backward, [grad, x], LINEAR, LINEAR * CUBIC, 1.0)
    density_at_0 = 1 / math.sqrt(2 * math.pi)
    return mapped(_gelu_exact_backward, [grad, x], 0.5, math.sqrt(0.5), density_at_0)
