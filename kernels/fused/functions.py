"""exp and its kin by their formulas in float64 and by NumPy; by Numba in `function_loops.py`.

    exp(x), tanh(x), sigmoid(x), silu(x) -> y           softplus(x, beta, threshold) -> y
    silu_backward(grad, x) -> dx
    tanh_backward(grad, y), sigmoid_backward(grad, y), relu_backward(grad, y, slope) -> dx

Gradients that follow from the result y are computed from it. All are elementwise; x has any shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .special import FEW
from .vectorised import SILENT, silently

Array = Any


def _exact(*arrays: Array) -> list[Array]:
    return [np.asarray(a, np.float64) for a in arrays]


# ----------------------------------------------------------------------------- in float64


def exp_reference(x: Array) -> Array:
    """eˣ, in float64.

    >>> float(exp_reference(1.0).round(4))
    2.7183
    """
    with np.errstate(**SILENT):
        return np.exp(np.asarray(x, np.float64))


def tanh_reference(x: Array) -> Array:
    """sinh(x) / cosh(x), in float64."""
    return np.tanh(np.asarray(x, np.float64))


def sigmoid_reference(x: Array) -> Array:
    """1 / (1 + exp(-x)), in float64; below 0 as exp(x) / (1 + exp(x)), which cannot overflow.

    >>> float(sigmoid_reference(1.0).round(4))
    0.7311
    """
    x = np.asarray(x, np.float64)
    decay = np.exp(-np.abs(x))
    return np.where(x < 0, decay, 1.0) / (1 + decay) + 0 * np.where(np.isnan(x), x, 0)


def softplus_reference(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold, in float64."""
    x = np.asarray(x, np.float64)
    with np.errstate(**SILENT):
        scaled = x * beta
        smooth = np.maximum(scaled, 0) + np.log1p(np.exp(-np.abs(scaled)))
        return np.where(scaled > threshold, x, smooth / beta)


def silu_reference(x: Array) -> Array:
    """x sigmoid(x), in float64 (Ramachandran, Zoph & Le 2017, section 3).

    >>> float(silu_reference(1.0).round(4))
    0.7311
    """
    with np.errstate(**SILENT):
        return np.asarray(x, np.float64) * sigmoid_reference(x)


def silu_backward_reference(grad: Array, x: Array) -> Array:
    """grad · s (1 + x (1 - s)), s = sigmoid(x), in float64."""
    grad, x = _exact(grad, x)
    with np.errstate(**SILENT):
        return grad * (sigmoid_reference(x) * (1 + x * sigmoid_reference(-x)))


def tanh_backward_reference(grad: Array, y: Array) -> Array:
    """grad · (1 - y²), y = tanh(x), in float64."""
    grad, y = _exact(grad, y)
    return grad * (1 - y * y)


def sigmoid_backward_reference(grad: Array, y: Array) -> Array:
    """grad · y (1 - y), y = sigmoid(x), in float64."""
    grad, y = _exact(grad, y)
    return grad * (y * (1 - y))


def relu_backward_reference(grad: Array, y: Array, slope: float = 0.0) -> Array:
    """grad where y > 0, else slope · grad, in float64: the gradient of relu and leaky relu."""
    grad, y = _exact(grad, y)
    return grad * np.where(y > 0, 1.0, slope)


# ------------------------------------------------------------------------------- by NumPy


@silently
def _ufunc(function: Any, x: Array) -> Array:
    return function(x, out=np.empty_like(x, order="C"))


def exp(x: Array) -> Array:
    """eˣ.

    >>> exp(np.array([0.0, 1.0])).round(4)
    array([1.    , 2.7183])
    """
    return _ufunc(np.exp, x)


def tanh(x: Array) -> Array:
    """sinh(x) / cosh(x)."""
    return _ufunc(np.tanh, x)


@silently
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); far below 0, where exp(-x) overflows, it is 0.

    >>> sigmoid(np.array([0.0, 1.0])).round(4)
    array([0.5   , 0.7311])
    """
    y = np.negative(x, out=np.empty_like(x, order="C"))
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def log1p(x: Array) -> Array:
    """log(1 + x) of an array without values below -1, in a new array.

    log(u), u = 1 + x as rounded, and the first-order term of what that lost: as accurate as
    np.log1p, and in float32 three times as fast where there are many. x = -1 gives NaN,
    or -inf where there are few.
    """
    if x.size <= FEW:
        return np.log1p(x, out=np.empty_like(x))
    u, lost = np.empty_like(x), np.empty_like(x)
    np.add(x, 1, out=u)
    np.subtract(u, 1, out=lost)
    np.subtract(x, lost, out=lost)
    lost /= u
    np.log(u, out=u)
    u += lost
    return u


@silently
def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold.

    >>> softplus(np.array([0.0, 100.0])).round(4)
    array([  0.6931, 100.    ])
    """
    scaled = x if beta == 1 else x * x.dtype.type(beta)
    y = np.abs(scaled, out=np.empty_like(x, order="C"))
    np.negative(y, out=y)
    y = log1p(np.exp(y, out=y))
    y += np.maximum(scaled, 0)
    if beta != 1:
        y /= x.dtype.type(beta)
    np.copyto(y, x, where=scaled > threshold)
    return y


@silently
def silu(x: Array) -> Array:
    """x / (1 + exp(-x)).

    >>> silu(np.array([-1.0, 2.0])).round(4)
    array([-0.2689,  1.7616])
    """
    y = np.negative(x, out=np.empty_like(x, order="C"))
    np.exp(y, out=y)
    y += 1
    return np.divide(x, y, out=y)


@silently
def silu_backward(grad: Array, x: Array) -> Array:
    """grad · s (1 + x (1 - s)), s = sigmoid(x)."""
    s = sigmoid(x)
    dx = np.subtract(1, s, out=np.empty_like(x, order="C"))
    dx *= x
    dx += 1
    dx *= s
    dx *= grad
    return dx


def tanh_backward(grad: Array, y: Array) -> Array:
    """grad · (1 - y²)."""
    dx = np.multiply(y, y, out=np.empty_like(y, order="C"))
    np.subtract(1, dx, out=dx)
    dx *= grad
    return dx


def sigmoid_backward(grad: Array, y: Array) -> Array:
    """grad · y (1 - y)."""
    dx = np.subtract(1, y, out=np.empty_like(y, order="C"))
    dx *= y
    dx *= grad
    return dx


def relu_backward(grad: Array, y: Array, slope: float = 0.0) -> Array:
    """grad where y > 0, else slope · grad.

    >>> relu_backward(np.array([1.0, 1.0]), np.array([-3.0, 3.0]), 0.5)
    array([0.5, 1. ])
    """
    dx = np.empty_like(y, order="C")
    np.greater(y, 0, out=dx, casting="unsafe")
    if slope:
        dx *= 1 - slope
        dx += y.dtype.type(slope)
    dx *= grad
    return dx
