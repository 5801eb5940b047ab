"""softmax and log_softmax by Numba: a row is read once from memory and worked on in the cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..elementary import exp_decay
from ..jit import contiguous, jit
from ..simd import address, largest, number, peek, poke
from .parts import each_part

Array = Any

ROWS, INTO_ROWS = "const T[:, ::1]", "T[:, ::1]"


@jit("softmax", ROWS, INTO_ROWS, seconds=0.4)
def _softmax(x, y):
    rows, n = x.shape
    p, into = address(x), address(y)
    for i in range(rows):
        at = i * n
        best = largest(p, at, n, number(p, -np.inf))
        total = number(p, 0.0)
        for j in range(n):
            term = exp_decay(peek(p, at + j) - best)
            poke(into, at + j, term)
            total += term
        share = number(p, 1.0) / total
        for j in range(n):
            poke(into, at + j, peek(into, at + j) * share)


@jit("softmax_backward", ROWS, ROWS, INTO_ROWS, seconds=0.3)
def _softmax_backward(grad, y, dx):
    rows, n = y.shape
    g, p, into = address(grad), address(y), address(dx)
    for i in range(rows):
        at = i * n
        mean = number(p, 0.0)
        for j in range(n):
            mean += peek(g, at + j) * peek(p, at + j)
        for j in range(n):
            poke(into, at + j, peek(p, at + j) * (peek(g, at + j) - mean))


@jit("log_softmax", ROWS, INTO_ROWS, seconds=0.4)
def _log_softmax(x, y):
    rows, n = x.shape
    p, into = address(x), address(y)
    for i in range(rows):
        at = i * n
        best = largest(p, at, n, number(p, -np.inf))
        total = number(p, 0.0)
        for j in range(n):
            total += exp_decay(peek(p, at + j) - best)
        logarithm = math.log(total)
        for j in range(n):
            shifted = peek(p, at + j) - best
            poke(into, at + j, shifted - logarithm)


@jit("log_softmax_backward", ROWS, ROWS, INTO_ROWS, seconds=0.3)
def _log_softmax_backward(grad, y, dx):
    rows, n = y.shape
    g, p, into = address(grad), address(y), address(dx)
    for i in range(rows):
        at = i * n
        total = number(p, 0.0)
        for j in range(n):
            total += peek(g, at + j)
        for j in range(n):
            poke(into, at + j, peek(g, at + j) - exp_decay(peek(p, at + j)) * total)


def _by_rows(kernel: Any, *inputs: Array) -> Array:
    arrays = [contiguous(a) for a in inputs]
    arrays.append(np.empty(arrays[0].shape, arrays[0].dtype))
    each_part(kernel, arrays, (), arrays[0].shape[1])
    return arrays[-1]


def softmax_loop(x: Array) -> Array:
    """exp(xᵢ) / Σⱼ exp(xⱼ) of every row: see `softmax_reference`."""
    return _by_rows(_softmax, x)


def softmax_backward_loop(grad: Array, y: Array) -> Array:
    """yᵢ (gradᵢ - Σⱼ gradⱼ yⱼ) of every row."""
    return _by_rows(_softmax_backward, grad, y)


def log_softmax_loop(x: Array) -> Array:
    """xᵢ - log Σⱼ exp(xⱼ) of every row: see `log_softmax_reference`."""
    return _by_rows(_log_softmax, x)


def log_softmax_backward_loop(grad: Array, y: Array) -> Array:
    """gradᵢ - exp(yᵢ) Σⱼ gradⱼ of every row."""
    return _by_rows(_log_softmax_backward, grad, y)
