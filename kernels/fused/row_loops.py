"""The row-wise operations by Numba: a row is read once from memory and worked on in the cache.

Rows are reached by address (`minigen.kernels.simd`), not as slices: a slice costs as much as 50
elements of layer normalisation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp
from ..jit import contiguous, jit
from ..simd import address, largest, number, peek, poke
from .vectorised import check_targets

Array = Any

ROWS, ROW, INTO_ROWS, INTO_ROW = "const T[:, ::1]", "const T[::1]", "T[:, ::1]", "T[::1]"
CLASSES = "const int64[::1]"


@jit("layer_norm", ROWS, ROW, ROW, INTO_ROWS, INTO_ROW, INTO_ROW, "T", seconds=0.4)
def _layer_norm(x, weight, bias, y, mean, rstd, eps):
    rows, n = x.shape
    p, w, b, into = address(x), address(weight), address(bias), address(y)
    zero, one, count = number(p, 0.0), number(p, 1.0), number(p, float(n))
    for i in range(rows):
        at = i * n
        m = zero
        for j in range(n):
            m += peek(p, at + j)
        m /= count
        v = zero
        for j in range(n):
            d = peek(p, at + j) - m
            v += d * d
        r = one / np.sqrt(v / count + eps)
        mean[i], rstd[i] = m, r
        for j in range(n):
            poke(into, at + j, (peek(p, at + j) - m) * r * peek(w, j) + peek(b, j))


@jit(
    "layer_norm_backward",
    *(ROWS, ROWS, ROW, ROW, ROW, INTO_ROWS, INTO_ROW, INTO_ROW),
    seconds=0.4,
)
def _layer_norm_backward(grad, x, weight, mean, rstd, dx, dweight, dbias):
    rows, n = x.shape
    g, p, w = address(grad), address(x), address(weight)
    into, dw, db = address(dx), address(dweight), address(dbias)
    zero, count = number(p, 0.0), number(p, float(n))
    for i in range(rows):
        at, m, r = i * n, mean[i], rstd[i]
        h_sum = zero
        h_normal_sum = zero
        for j in range(n):
            normal = (peek(p, at + j) - m) * r
            h = peek(g, at + j) * peek(w, j)
            h_sum += h
            h_normal_sum += h * normal
        h_mean, projection = h_sum / count, h_normal_sum / count
        for j in range(n):
            normal = (peek(p, at + j) - m) * r
            d = peek(g, at + j)
            poke(dw, j, peek(dw, j) + d * normal)
            poke(db, j, peek(db, j) + d)
            poke(into, at + j, r * (d * peek(w, j) - h_mean - normal * projection))


@jit("cross_entropy", ROWS, CLASSES, INTO_ROW, INTO_ROW, seconds=0.3)
def _cross_entropy(logits, target, losses, logsumexp):
    rows, n = logits.shape
    p = address(logits)
    for i in range(rows):
        at = i * n
        best = largest(p, at, n, number(p, -np.inf))
        total = number(p, 0.0)
        for j in range(n):
            total += exp(peek(p, at + j) - best)
        logsumexp[i] = best + math.log(total)
        losses[i] = logsumexp[i] - peek(p, at + target[i])


@jit("cross_entropy_backward", ROW, ROWS, CLASSES, ROW, INTO_ROWS, seconds=0.3)
def _cross_entropy_backward(grad, logits, target, logsumexp, dlogits):
    rows, n = logits.shape
    p, into = address(logits), address(dlogits)
    for i in range(rows):
        at, g, shift = i * n, grad[i], logsumexp[i]
        for j in range(n):
            poke(into, at + j, g * exp(peek(p, at + j) - shift))
        poke(into, at + target[i], peek(into, at + target[i]) - g)


def _or_constant(parameter: Array | None, value: float, like: Array) -> Array:
    if parameter is None:
        return np.full(like.shape[1], value, like.dtype)
    return contiguous(parameter)


def layer_norm_loop(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """y, mean, rstd of layer normalisation over the last axis: see `layer_norm_reference`."""
    y = np.empty(x.shape, x.dtype)
    mean, rstd = np.empty((2, x.shape[0]), x.dtype)
    weight, bias = _or_constant(weight, 1, x), _or_constant(bias, 0, x)
    _layer_norm(contiguous(x), weight, bias, y, mean, rstd, eps)
    return y, mean, rstd


def layer_norm_backward_loop(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias: see `layer_norm_backward_reference`. Rows are added in their order."""
    dx = np.empty(x.shape, x.dtype)
    dweight, dbias = np.zeros((2, x.shape[1]), x.dtype)
    inputs = [contiguous(a) for a in (grad, x)]
    weight = _or_constant(weight, 1, x)
    _layer_norm_backward(*inputs, weight, contiguous(mean), contiguous(rstd), dx, dweight, dbias)
    return dx, dweight, dbias


def cross_entropy_loop(logits: Array, target: Array) -> tuple[Array, Array]:
    """losses and logsumexp of every row: see `cross_entropy_reference`.

    Raises:
        IndexError: a target is not in [0, classes).
    """
    check_targets(logits, target)
    losses, logsumexp = np.empty((2, logits.shape[0]), logits.dtype)
    _cross_entropy(contiguous(logits), contiguous(target), losses, logsumexp)
    return losses, logsumexp


def cross_entropy_backward_loop(
    grad: Array, logits: Array, target: Array, logsumexp: Array
) -> Array:
    """grad times (softmax(logits) - onehot(target)): see `cross_entropy_backward_reference`.

    Raises:
        IndexError: a target is not in [0, classes).
    """
    check_targets(logits, target)
    dlogits = np.empty(logits.shape, logits.dtype)
    inputs = [contiguous(a) for a in (grad, logits, target, logsumexp)]
    _cross_entropy_backward(*inputs, dlogits)
    return dlogits
