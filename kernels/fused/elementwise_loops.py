"""The elementwise operations by Numba: one loop over memory, no intermediate array.

Each loop runs over a one-dimensional C-ordered view, so that LLVM sees indices that cannot be
negative, and calls nothing that is not compiled into it; it then becomes vector code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import erf, exp
from ..jit import contiguous, jit
from . import vectorised
from .reference import CUBIC, SQRT_2_OVER_PI

Array = Any

READ, WRITE = "const T[::1]", "T[::1]"


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
    # ½ (1 + tanh u) = 1 / (1 + exp(-2u)); linear and cubic are the coefficients of -2u
    for i in range(x.size):
        v = x[i]
        y[i] = v / (one + exp(v * (linear + cubic * v * v)))


@jit("gelu_backward", READ, READ, WRITE, "T", "T", "T", seconds=0.3)
def _gelu_exact_backward(grad, x, dx, half, root_half, density_at_0):
    for i in range(x.size):
        v = x[i]
        distribution = half * (erf(v * root_half) + half + half)
        dx[i] = grad[i] * (distribution + v * (density_at_0 * exp(-half * v * v)))


@jit("gelu_backward tanh", READ, READ, WRITE, "T", "T", "T", seconds=0.3)
def _gelu_tanh_backward(grad, x, dx, linear, cubic, one):
    # With t = -2u and a = exp(-|t|): s = ½ (1 + tanh u) is 1 / (1 + a) or a / (1 + a), and
    # s (1 - s) = a / (1 + a)², neither by a difference of nearly equal numbers.
    for i in range(x.size):
        v = x[i]
        a = exp(-abs(v * (linear + cubic * v * v)))
        inverse = one / (one + a)
        s = inverse if v >= 0 else a * inverse
        slope = -(linear + (one + one + one) * cubic * v * v)
        dx[i] = grad[i] * (s + v * slope * (a * inverse * inverse))


@jit("adam", WRITE, READ, WRITE, WRITE, *["T"] * 9, seconds=0.3)
def _adam(p, g, m, v, shrink, decay, one_minus_beta1, beta2, one_minus_beta2, root, eps, size, one):
    for i in range(p.size):
        x = p[i] * shrink
        d = g[i] + decay * x
        average = m[i] + one_minus_beta1 * (d - m[i])
        square = v[i] * beta2 + one_minus_beta2 * d * d
        m[i] = average
        v[i] = square
        p[i] = x - size * (average / (np.sqrt(square) / root + eps))


def _flat(*arrays: Array) -> list[Array]:
    return [contiguous(x).reshape(-1) for x in arrays]


def erf_loop(x: Array) -> Array:
    """erf(x), elementwise: see `special.erf`."""
    y = np.empty(x.shape, x.dtype)
    _erf(*_flat(x), y.reshape(-1))
    return y


def gelu_loop(x: Array, approximate: str = "none") -> Array:
    """x Φ(x), or its "tanh" approximation: see `gelu_reference`.

    >>> gelu_loop(np.array([0.0, 1.0], np.float32)).round(4)
    array([0.    , 0.8413], dtype=float32)
    """
    y = np.empty(x.shape, x.dtype)
    (flat,) = _flat(x)
    if approximate == "tanh":
        _gelu_tanh(flat, y.reshape(-1), -2 * SQRT_2_OVER_PI, -2 * SQRT_2_OVER_PI * CUBIC, 1.0)
    else:
        _gelu_exact(flat, y.reshape(-1), 0.5, math.sqrt(0.5))
    return y


def gelu_backward_loop(grad: Array, x: Array, approximate: str = "none") -> Array:
    """grad · gelu'(x): see `gelu_backward_reference`."""
    dx = np.empty(x.shape, x.dtype)
    flat = _flat(grad, x)
    if approximate == "tanh":
        linear = -2 * SQRT_2_OVER_PI
        _gelu_tanh_backward(*flat, dx.reshape(-1), linear, linear * CUBIC, 1.0)
    else:
        density_at_0 = 1 / math.sqrt(2 * math.pi)
        _gelu_exact_backward(*flat, dx.reshape(-1), 0.5, math.sqrt(0.5), density_at_0)
    return dx


def adam_loop(
    parameter: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """One step of Adam or AdamW, in place: see `adam_reference`.

    Arrays to update that are not C-contiguous are left to the NumPy rung.
    """
    state = (parameter, exp_avg, exp_avg_sq)
    if not all(x.flags.carray for x in state):
        vectorised.adam(
            parameter,
            grad,
            exp_avg,
            exp_avg_sq,
            lr,
            beta1,
            beta2,
            eps,
            weight_decay,
            decoupled,
            step,
        )
        return
    p, m, v = (x.reshape(-1) for x in state)
    (g,) = _flat(grad)
    shrink, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    correction1, correction2 = 1 - beta1**step, math.sqrt(1 - beta2**step)
    _adam(
        p,
        g,
        m,
        v,
        shrink,
        decay,
        1 - beta1,
        beta2,
        1 - beta2,
        correction2,
        eps,
        lr / correction1,
        1,
    )
