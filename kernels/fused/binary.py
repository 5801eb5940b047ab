"""Binary cross-entropy of logits, by its formula in float64 and by NumPy.

    binary_cross_entropy(logits, target) -> losses
    binary_cross_entropy_backward(grad, logits, target) -> dlogits

Elementwise, any shape, target in [0, 1]; grad has the same shape or is one number, as an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .functions import log1p, sigmoid_reference
from .vectorised import silently

Array = Any


def binary_cross_entropy_reference(logits: Array, target: Array) -> Array:
    """max(x, 0) - x y + log(1 + exp(-|x|)), in float64.

    That is -y log s - (1 - y) log(1 - s) with s = sigmoid(x), without overflow for any x.

    >>> float(binary_cross_entropy_reference(0.0, 1.0).round(4))
    0.6931
    """
    x, y = np.asarray(logits, np.float64), np.asarray(target, np.float64)
    with np.errstate(all="ignore"):
        return np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))


def binary_cross_entropy_backward_reference(grad: Array, logits: Array, target: Array) -> Array:
    """grad · (sigmoid(x) - y), in float64."""
    grad, target = np.asarray(grad, np.float64), np.asarray(target, np.float64)
    with np.errstate(all="ignore"):
        return grad * (sigmoid_reference(logits) - target)


@silently
def binary_cross_entropy(logits: Array, target: Array) -> Array:
    """max(x, 0) - x y + log(1 + exp(-|x|)).

    >>> binary_cross_entropy(np.array([0.0, -200.0]), np.array([1.0, 0.0])).round(4)
    array([0.6931, 0.    ])
    """
    decay = np.abs(logits, out=np.empty_like(logits, order="C"))
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    losses = np.maximum(logits, 0, out=np.empty_like(logits, order="C"))
    losses -= logits * target
    losses += log1p(decay)  # last, lest a small one is rounded away
    return losses


@silently
def binary_cross_entropy_backward(grad: Array, logits: Array, target: Array) -> Array:
    """grad · (sigmoid(x) - y); sigmoid(x) is 1 / (1 + a), below 0 a / (1 + a), a = exp(-|x|)."""
    decay = np.abs(logits, out=np.empty_like(logits, order="C"))
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    dx = np.greater(logits, 0, out=np.empty_like(logits, order="C"), casting="unsafe")
    np.maximum(decay, dx, out=dx)
    decay += 1
    dx /= decay
    dx -= target
    dx *= grad
    return dx
