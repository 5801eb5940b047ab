"""exp and its kin by Numba: one loop over memory each, see `functions.py` for the formulas.

The exponential of a positive number is never taken where it may overflow: sigmoid and what is made
of it follow from a = exp(-|x|), as 1 / (1 + a) for x >= 0 and a / (1 + a) below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..elementary import INSIDE, exp, exp_decay, exp_inside, log1p, tanh
from ..jit import contiguous, device, jit
from ..simd import address, within
from .parts import each_part

Array = Any

READ, WRITE = "const T[::1]", "T[::1]"
BLOCK = 4096


@device
def _exp_of_any(x, y):
    for i in range(x.size):
        y[i] = exp(x[i])


@device
def _exp_of_moderate(x, y):
    for i in range(x.size):
        y[i] = exp_inside(x[i])


@jit("exp", READ, WRITE, "T", seconds=0.4)
def _exp(x, y, bound):
    # Looking whether a block has numbers near the ends costs less than being ready for them.
    for start in range(0, x.size, BLOCK):
        block, result = x[start : start + BLOCK], y[start : start + BLOCK]
        if within(address(block), 0, block.size, bound):
            _exp_of_moderate(block, result)
        else:
            _exp_of_any(block, result)


@jit("tanh", READ, WRITE, seconds=0.3)
def _tanh(x, y):
    for i in range(x.size):
        y[i] = tanh(x[i])


@jit("sigmoid", READ, WRITE, "T", seconds=0.3)
def _sigmoid(x, y, one):
    for i in range(x.size):
        a = exp_decay(-abs(x[i]))
        top = a if x[i] < 0 else one
        y[i] = top / (one + a)


@jit("softplus", READ, WRITE, "T", "T", "T", seconds=0.3)
def _softplus(x, y, beta, threshold, zero):
    for i in range(x.size):
        scaled = x[i] * beta
        above = scaled if scaled > 0 else zero
        smooth = (above + log1p(exp_decay(-abs(scaled)))) / beta
        y[i] = x[i] if scaled > threshold else smooth


@jit("silu", READ, WRITE, "T", seconds=0.3)
def _silu(x, y, one):
    for i in range(x.size):
        v = x[i]
        a = exp_decay(-abs(v))
        top = a if v < 0 else one
        y[i] = v * (top / (one + a))


@jit("silu_backward", READ, READ, WRITE, "T", seconds=0.3)
def _silu_backward(grad, x, dx, one):
    for i in range(x.size):
        v = x[i]
        a = exp_decay(-abs(v))
        inverse = one / (one + a)
        s = a * inverse if v < 0 else inverse
        rest = inverse if v < 0 else a * inverse  # 1 - s, without a difference
        dx[i] = grad[i] * (s * (one + v * rest))


@jit("tanh_backward", READ, READ, WRITE, "T", seconds=0.3)
def _tanh_backward(grad, y, dx, one):
    for i in range(y.size):
        dx[i] = grad[i] * (one - y[i] * y[i])


@jit("sigmoid_backward", READ, READ, WRITE, "T", seconds=0.3)
def _sigmoid_backward(grad, y, dx, one):
    for i in range(y.size):
        dx[i] = grad[i] * (y[i] * (one - y[i]))


@jit("relu_backward", READ, READ, WRITE, "T", "T", seconds=0.3)
def _relu_backward(grad, y, dx, slope, one):
    for i in range(y.size):
        dx[i] = grad[i] * (one if y[i] > 0 else slope)


def mapped(kernel: Callable[..., None], inputs: Sequence[Array], *numbers: float) -> Array:
    """kernel(*inputs, result, *numbers) on flat arrays, in parts if they are long."""
    x = inputs[-1]
    if len(inputs) > 1 and any(a.size != x.size for a in inputs):
        raise ValueError(f"arrays of shapes {[a.shape for a in inputs]} have different sizes")
    result = np.empty(x.shape, x.dtype)
    flat = [a if a.ndim == 1 else a.reshape(-1) for a in (*map(contiguous, inputs), result)]
    each_part(kernel, flat, numbers, 1)
    return result


def exp_loop(x: Array) -> Array:
    """eˣ, elementwise: see `exp_reference`.

    >>> exp_loop(np.array([0.0, 1.0], np.float32)).round(4)
    array([1.    , 2.7183], dtype=float32)
    """
    return mapped(_exp, [x], INSIDE)


def tanh_loop(x: Array) -> Array:
    """tanh(x), elementwise."""
    return mapped(_tanh, [x])


def sigmoid_loop(x: Array) -> Array:
    """1 / (1 + exp(-x)), elementwise: see `sigmoid_reference`."""
    return mapped(_sigmoid, [x], 1.0)


def softplus_loop(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta x)) / beta: see `softplus_reference`."""
    return mapped(_softplus, [x], beta, threshold, 0.0)


def silu_loop(x: Array) -> Array:
    """x sigmoid(x): see `silu_reference`."""
    return mapped(_silu, [x], 1.0)


def silu_backward_loop(grad: Array, x: Array) -> Array:
    """grad · silu'(x): see `silu_backward_reference`."""
    return mapped(_silu_backward, [grad, x], 1.0)


def tanh_backward_loop(grad: Array, y: Array) -> Array:
    """grad · (1 - y²)."""
    return mapped(_tanh_backward, [grad, y], 1.0)


def sigmoid_backward_loop(grad: Array, y: Array) -> Array:
    """grad · y (1 - y)."""
    return mapped(_sigmoid_backward, [grad, y], 1.0)


def relu_backward_loop(grad: Array, y: Array, slope: float = 0.0) -> Array:
    """grad where y > 0, else slope · grad."""
    return mapped(_relu_backward, [grad, y], slope, 1.0)
