"""Batch normalisation in training, by its formula in float64 and by NumPy.

    batch_norm(x, weight, bias, eps) -> (y, mean, var, rstd)
    batch_norm_backward(grad, x, weight, mean, rstd) -> (dx, dweight, dbias)

x (batch, channels, positions) is normalised over batch and positions; all else is (channels,), and
weight and bias may be None for 1 and 0. The variance is that of the population.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .vectorised import SILENT, silently, sums_of_products

Array = Any
AXES = (0, 2)


def _beside(channels: Array) -> Array:
    """(channels,) in a shape that broadcasts with x."""
    return channels[:, None]


def batch_norm_reference(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array, Array]:
    """(x - mean) rstd weight + bias by channel, rstd = 1/√(var + eps), in float64.

    Batch Normalization (Ioffe & Szegedy 2015), algorithm 1.
    """
    x = np.asarray(x, np.float64)
    with np.errstate(**SILENT):
        mean = x.mean(axis=AXES)
        y = x - _beside(mean)
        var = (y * y).mean(axis=AXES)
        rstd = 1 / np.sqrt(var + eps)
        y *= _beside(rstd if weight is None else rstd * weight)
        return (y if bias is None else y + _beside(bias)), mean, var, rstd


def batch_norm_backward_reference(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """Gradients of Σ grad·y with respect to x, weight and bias, in float64.

    With x̂ = (x - mean) rstd: dweight = Σ grad x̂, dbias = Σ grad over batch and positions, and
    dx = rstd weight (grad - mean(grad) - x̂ mean(grad x̂)).
    """
    grad, x, mean, rstd = (np.asarray(a, np.float64) for a in (grad, x, mean, rstd))
    count = max(x.shape[0] * x.shape[2], 1)
    normal = (x - _beside(mean)) * _beside(rstd)
    dweight, dbias = (grad * normal).sum(axis=AXES), grad.sum(axis=AXES)
    inner = grad - _beside(dbias / count) - normal * _beside(dweight / count)
    return inner * _beside(rstd if weight is None else rstd * weight), dweight, dbias


def _sum(a: Array) -> Array:
    return np.einsum("ncp->nc", a).sum(axis=0)


def _dot(a: Array, b: Array) -> Array:
    return sums_of_products("ncp,ncp->nc", a, b, 2).sum(axis=0)


@silently
def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array, Array]:
    """(x - mean) / √(var + eps) weight + bias by channel -> y, mean, var, rstd.

    >>> y, mean, var, _ = batch_norm(np.array([[[1.0]], [[3.0]]]), None, None, 0.0)
    >>> y.ravel(), mean, var
    (array([-1.,  1.]), array([2.]), array([1.]))
    """
    count = max(x.shape[0] * x.shape[2], 1)
    mean = _sum(x)
    mean /= count
    y = np.subtract(x, _beside(mean), out=np.empty_like(x, order="C"))
    var = _dot(y, y)
    var /= count
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    y *= _beside(rstd if weight is None else rstd * weight)
    if bias is not None:
        y += _beside(bias)
    return y, mean, var, rstd


@silently
def batch_norm_backward(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias; the formulas stand at `batch_norm_backward_reference`."""
    count = max(x.shape[0] * x.shape[2], 1)
    dx = np.subtract(x, _beside(mean), out=np.empty_like(x, order="C"))
    dbias = _sum(grad)
    dweight = _dot(grad, dx)
    dweight *= rstd
    dx *= _beside(dweight * rstd / count)
    dx += _beside(dbias / count)
    np.subtract(grad, dx, out=dx)
    dx *= _beside(rstd if weight is None else rstd * weight)
    return dx, dweight, dbias
