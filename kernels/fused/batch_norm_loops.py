"""Batch normalisation in training by Numba, see `batch_norm.py`.

The mean, the variance and the result take three passes over a channel. One channel after the other,
they find it in the cache: a channel of 64 images of 14 x 14 is 50 kB in float32. Features without
positions are taken by blocks of neighbours instead, which lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import parallel
from ..jit import contiguous, jit
from ..simd import address, number, peek, poke
from .parts import row_parts

Array = Any

X, Y, CHANNELS, INTO = "const T[:, :, ::1]", "T[:, :, ::1]", "const T[::1]", "T[::1]"
RANGE = ("int64", "int64")
BLOCK = 64  # features of a block


@jit("batch_norm", X, Y, INTO, INTO, INTO, CHANNELS, CHANNELS, "T", *RANGE, seconds=0.6)
def _planes(x, y, mean, var, rstd, weight, bias, eps, first, last):
    batch, channels, n = x.shape
    p, into = address(x), address(y)
    one, count = number(p, 1.0), number(p, float(batch * n))
    for c in range(first, last):
        total = number(p, 0.0)
        for b in range(batch):
            at = (b * channels + c) * n
            for j in range(n):
                total += peek(p, at + j)
        m = total / count
        square = number(p, 0.0)
        for b in range(batch):
            at = (b * channels + c) * n
            for j in range(n):
                d = peek(p, at + j) - m
                square += d * d
        mean[c], var[c] = m, square / count
        rstd[c] = one / np.sqrt(square / count + eps)
        scale, shift = rstd[c] * weight[c], bias[c]
        for b in range(batch):
            at = (b * channels + c) * n
            for j in range(n):
                poke(into, at + j, (peek(p, at + j) - m) * scale + shift)


@jit("batch_norm of features", X, Y, INTO, INTO, INTO, CHANNELS, CHANNELS, "T", *RANGE, seconds=0.6)
def _columns(x, y, mean, var, rstd, weight, bias, eps, first, last):
    batch, channels, _ = x.shape
    p, into, m, v = address(x), address(y), address(mean), address(var)
    r, w, shift = address(rstd), address(weight), address(bias)
    zero, one, count = number(p, 0.0), number(p, 1.0), number(p, float(batch))
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        for c in range(start, end):
            poke(m, c, zero)
            poke(v, c, zero)
        for b in range(batch):
            for c in range(start, end):
                poke(m, c, peek(m, c) + peek(p, b * channels + c))
        for c in range(start, end):
            poke(m, c, peek(m, c) / count)
        for b in range(batch):
            for c in range(start, end):
                d = peek(p, b * channels + c) - peek(m, c)
                poke(v, c, peek(v, c) + d * d)
        for c in range(start, end):
            poke(v, c, peek(v, c) / count)
            poke(r, c, one / np.sqrt(peek(v, c) + eps))
        for b in range(batch):
            for c in range(start, end):
                normal = (peek(p, b * channels + c) - peek(m, c)) * peek(r, c)
                poke(into, b * channels + c, normal * peek(w, c) + peek(shift, c))


BACKWARD = (X, X, Y, INTO, INTO, CHANNELS, CHANNELS, CHANNELS, *RANGE)


@jit("batch_norm_backward", *BACKWARD, seconds=0.6)
def _planes_backward(grad, x, dx, dweight, dbias, weight, mean, rstd, first, last):
    batch, channels, n = x.shape
    g, p, into = address(grad), address(x), address(dx)
    count = number(p, float(batch * n))
    for c in range(first, last):
        m, r = mean[c], rstd[c]
        total = number(p, 0.0)
        inner = number(p, 0.0)
        for b in range(batch):
            at = (b * channels + c) * n
            for j in range(n):
                total += peek(g, at + j)
                inner += peek(g, at + j) * (peek(p, at + j) - m)
        dweight[c], dbias[c] = inner * r, total
        scale, average, projection = r * weight[c], total / count, inner * r * r / count
        for b in range(batch):
            at = (b * channels + c) * n
            for j in range(n):
                away = average + (peek(p, at + j) - m) * projection
                poke(into, at + j, (peek(g, at + j) - away) * scale)


@jit("batch_norm_backward of features", *BACKWARD, seconds=0.6)
def _columns_backward(grad, x, dx, dweight, dbias, weight, mean, rstd, first, last):
    batch, channels, _ = x.shape
    g, p, into, dw, db = address(grad), address(x), address(dx), address(dweight), address(dbias)
    m, r, w = address(mean), address(rstd), address(weight)
    zero, count = number(p, 0.0), number(p, float(batch))
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        for c in range(start, end):
            poke(dw, c, zero)
            poke(db, c, zero)
        for b in range(batch):
            at = b * channels
            for c in range(start, end):
                normal = (peek(p, at + c) - peek(m, c)) * peek(r, c)
                poke(dw, c, peek(dw, c) + peek(g, at + c) * normal)
                poke(db, c, peek(db, c) + peek(g, at + c))
        for b in range(batch):
            at = b * channels
            for c in range(start, end):
                normal = (peek(p, at + c) - peek(m, c)) * peek(r, c)
                away = (peek(db, c) + normal * peek(dw, c)) / count
                poke(into, at + c, (peek(g, at + c) - away) * (peek(r, c) * peek(w, c)))


def _by_channels(kernel: Callable[..., None], arguments: tuple, shape: tuple[int, ...]) -> None:
    """kernel(*arguments, first, last) for ranges of channels, on several cores if there is much."""
    batch, channels, positions = shape
    parts = row_parts(channels, batch * positions)
    if len(parts) == 1:
        kernel(*arguments, 0, channels)
    else:
        parallel.each(lambda part: kernel(*arguments, *part), parts)


def _or_constant(parameter: Array | None, value: float, like: Array) -> Array:
    return np.full(like.shape[1], value, like.dtype) if parameter is None else contiguous(parameter)


def batch_norm_loop(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array, Array]:
    """y, mean, var, rstd of batch normalisation: see `batch_norm_reference`."""
    y = np.empty(x.shape, x.dtype)
    mean, var, rstd = np.empty((3, x.shape[1]), x.dtype)
    parameters = _or_constant(weight, 1, x), _or_constant(bias, 0, x)
    kernel = _columns if x.shape[2] == 1 else _planes
    _by_channels(kernel, (contiguous(x), y, mean, var, rstd, *parameters, eps), x.shape)
    return y, mean, var, rstd


def batch_norm_backward_loop(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias: see `batch_norm_backward_reference`."""
    dx = np.empty(x.shape, x.dtype)
    dweight, dbias = np.empty((2, x.shape[1]), x.dtype)
    inputs = _or_constant(weight, 1, x), contiguous(mean), contiguous(rstd)
    kernel = _columns_backward if x.shape[2] == 1 else _planes_backward
    arguments = (contiguous(grad), contiguous(x), dx, dweight, dbias, *inputs)
    _by_channels(kernel, arguments, x.shape)
    return dx, dweight, dbias
