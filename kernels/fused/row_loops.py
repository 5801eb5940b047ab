"""The row-wise operations by Numba: a row is read once from memory and worked on in the cache.

Rows are reached by address (`minigen.kernels.simd`), not as slices: a slice costs as much as 50
elements of layer normalisation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp_decay
from ..jit import contiguous, jit
from ..simd import address, largest, number, peek, poke
from .parts import each_part, summed_by_part
from .vectorised import check_targets

Array = Any

ROWS, ROW, INTO_ROWS, INTO_ROW = "const T[:, ::1]", "const T[::1]", "T[:, ::1]", "T[::1]"
CLASSES = "const int64[::1]"


@jit("layer_norm", ROWS, INTO_ROWS, INTO_ROW, INTO_ROW, ROW, ROW, "T", seconds=0.4)
def _layer_norm(x, y, mean, rstd, weight, bias, eps):
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
    *(ROWS, ROWS, ROW, ROW, INTO_ROWS, ROW, INTO_ROWS),
    seconds=0.4,
)
def _layer_norm_backward(grad, x, mean, rstd, dx, weight, sums):
    rows, n = x.shape
    g, p, w = address(grad), address(x), address(weight)
    into, dw = address(dx), address(sums)
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
            poke(dw, n + j, peek(dw, n + j) + d)
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
            total += exp_decay(peek(p, at + j) - best)
        logsumexp[i] = best + math.log(total)
        losses[i] = logsumexp[i] - peek(p, at + target[i])


@jit("cross_entropy_backward", ROW, ROWS, CLASSES, ROW, INTO_ROWS, seconds=0.3)
def _cross_entropy_backward(grad, logits, target, logsumexp, dlogits):
    rows, n = logits.shape
    p, into = address(logits), address(dlogits)
    for i in range(rows):
        at, g, shift = i * n, grad[i], logsumexp[i]
        for j in range(n):
            poke(into, at + j, g * exp_decay(peek(p, at + j) - shift))
        poke(into, at + target[i], peek(into, at + target[i]) - g)


def or_constant(parameter: Array | None, value: float, like: Array) -> Array:
    """The parameter of each feature in C order; where it is None, as many times the value."""
    if parameter is None:
        return np.full(like.shape[1], value, like.dtype)
    return contiguous(parameter)


def layer_norm_loop(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """y, mean, rstd of layer normalisation over the last axis: see `layer_norm_reference`."""
    y = np.empty(x.shape, x.dtype)
    mean, rstd = np.empty((2, x.shape[0]), x.dtype)
    arrays = (contiguous(x), y, mean, rstd)
    parameters = or_constant(weight, 1, x), or_constant(bias, 0, x)
    each_part(_layer_norm, arrays, (*parameters, eps), x.shape[1])
    return y, mean, rstd


def layer_norm_backward_loop(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias: see `layer_norm_backward_reference`.

    Rows are added in their order, and if they are many in parts, which are added in theirs.
    """
    dx = np.empty(x.shape, x.dtype)
    arrays = (contiguous(grad), contiguous(x), contiguous(mean), contiguous(rstd), dx)
    sums = summed_by_part(_layer_norm_backward, arrays, (or_constant(weight, 1, x),), 2)
    return dx, sums[0], sums[1]


def cross_entropy_loop(logits: Array, target: Array) -> tuple[Array, Array]:
    """losses and logsumexp of every row: see `cross_entropy_reference`.

    Raises:
        IndexError: a target is not in [0, classes).
    """
    check_targets(logits, target)
    losses, logsumexp = np.empty((2, logits.shape[0]), logits.dtype)
    arrays = (contiguous(logits), contiguous(target), losses, logsumexp)
    each_part(_cross_entropy, arrays, (), logits.shape[1])
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
    arrays = [*map(contiguous, (grad, logits, target, logsumexp)), dlogits]
    each_part(_cross_entropy_backward, arrays, (), logits.shape[1])
    return dlogits
