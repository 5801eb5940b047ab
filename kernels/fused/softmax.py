"""softmax and log_softmax of rows by their formulas in float64 and by NumPy.

softmax(x) -> y, log_softmax(x) -> y                                    x (rows, classes)
softmax_backward(grad, y) -> dx, log_softmax_backward(grad, y) -> dx
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .vectorised import SILENT, dots, silently

Array = Any


def _shifted(x: Array) -> Array:
    """x less the largest of its row, a new array: exponentials of it cannot overflow."""
    return np.subtract(x, x.max(axis=1, keepdims=True), out=np.empty_like(x, order="C"))


def softmax_reference(x: Array) -> Array:
    """exp(xᵢ) / Σⱼ exp(xⱼ) of every row, in float64.

    >>> softmax_reference([[0.0, 0.0]])
    array([[0.5, 0.5]])
    """
    with np.errstate(**SILENT):
        terms = np.exp(_shifted(np.asarray(x, np.float64)))
        return terms / terms.sum(axis=1, keepdims=True)


def softmax_backward_reference(grad: Array, y: Array) -> Array:
    """yᵢ (gradᵢ - Σⱼ gradⱼ yⱼ) of every row, in float64."""
    grad, y = np.asarray(grad, np.float64), np.asarray(y, np.float64)
    with np.errstate(**SILENT):
        return y * (grad - (grad * y).sum(axis=1, keepdims=True))


def log_softmax_reference(x: Array) -> Array:
    """xᵢ - log Σⱼ exp(xⱼ) of every row, in float64."""
    with np.errstate(**SILENT):
        y = _shifted(np.asarray(x, np.float64))
        return y - np.log(np.exp(y).sum(axis=1, keepdims=True))


def log_softmax_backward_reference(grad: Array, y: Array) -> Array:
    """gradᵢ - exp(yᵢ) Σⱼ gradⱼ of every row, in float64."""
    grad, y = np.asarray(grad, np.float64), np.asarray(y, np.float64)
    with np.errstate(**SILENT):
        return grad - np.exp(y) * grad.sum(axis=1, keepdims=True)


@silently
def softmax(x: Array) -> Array:
    """exp(xᵢ) / Σⱼ exp(xⱼ) of every row.

    >>> softmax(np.array([[1.0, 1.0, 1.0, 1.0]]))
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    y = _shifted(x)
    np.exp(y, out=y)
    y /= y.sum(axis=1, keepdims=True)
    return y


@silently
def softmax_backward(grad: Array, y: Array) -> Array:
    """yᵢ (gradᵢ - Σⱼ gradⱼ yⱼ) of every row."""
    dx = np.subtract(grad, dots(grad, y)[:, None], out=np.empty_like(grad, order="C"))
    dx *= y
    return dx


@silently
def log_softmax(x: Array) -> Array:
    """xᵢ - log Σⱼ exp(xⱼ) of every row.

    >>> log_softmax(np.zeros((1, 4)))[0, 0] == -np.log(4)
    np.True_
    """
    y = _shifted(x)
    y -= np.log(np.exp(y).sum(axis=1, keepdims=True))
    return y


@silently
def log_softmax_backward(grad: Array, y: Array) -> Array:
    """gradᵢ - exp(yᵢ) Σⱼ gradⱼ of every row."""
    dx = np.exp(y, out=np.empty_like(y, order="C"))
    dx *= grad.sum(axis=1, keepdims=True)
    np.subtract(grad, dx, out=dx)
    return dx
