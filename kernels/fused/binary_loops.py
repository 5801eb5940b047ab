"""Binary cross-entropy of logits by Numba, see `binary.py`."""

from __future__ import annotations

from typing import Any

import numba

from ..elementary import exp_decay, log1p
from ..jit import FASTMATH, jit
from .function_loops import READ, WRITE, mapped

Array = Any


# Sums stay in their order: where x y cancels max(x, 0), the small logarithm is the whole loss.
@numba.njit(error_model="numpy", fastmath=FASTMATH - {"reassoc"})
def _loss(x, y, zero):
    above = x if x > 0 else zero
    linear = above - x * y
    small = log1p(exp_decay(-abs(x)))
    return linear + small


@jit("binary_cross_entropy", READ, READ, WRITE, "T", seconds=0.3)
def _losses(target, logits, losses, zero):
    for i in range(logits.size):
        losses[i] = _loss(logits[i], target[i], zero)


@jit("binary_cross_entropy_backward", READ, READ, WRITE, "T", "T", seconds=0.3)
def _share_backward(target, logits, dlogits, share, one):
    for i in range(logits.size):
        x = logits[i]
        a = exp_decay(-abs(x))
        top = a if x < 0 else one
        dlogits[i] = share * (top / (one + a) - target[i])


@jit("binary_cross_entropy_backward", READ, READ, READ, WRITE, "T", seconds=0.3)
def _each_backward(grad, target, logits, dlogits, one):
    for i in range(logits.size):
        x = logits[i]
        a = exp_decay(-abs(x))
        top = a if x < 0 else one
        dlogits[i] = grad[i] * (top / (one + a) - target[i])


def binary_cross_entropy_loop(logits: Array, target: Array) -> Array:
    """The loss of every element: see `binary_cross_entropy_reference`."""
    return mapped(_losses, [target, logits], 0.0)


def binary_cross_entropy_backward_loop(grad: Array, logits: Array, target: Array) -> Array:
    """grad · (sigmoid(x) - y): see `binary_cross_entropy_backward_reference`."""
    if grad.size == 1:
        return mapped(_share_backward, [target, logits], grad.item(), 1.0)
    return mapped(_each_backward, [grad, target, logits], 1.0)
