"""The fused operations by their formulas, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # Hendrycks & Gimpel 2016, section 2

_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf_reference(x: Array) -> Array:
    """erf(x) = 2/√π ∫₀ˣ exp(-t²) dt, by the C library, in float64."""
    return _erf(np.asarray(x, np.float64))


def gelu_reference(x: Array, approximate: str = "none") -> Array:
    """x Φ(x), or with "tanh" its approximation (Hendrycks & Gimpel 2016, section 2), in float64.

    >>> float(gelu_reference(1.0).round(4)), float(gelu_reference(1.0, "tanh").round(4))
    (0.8413, 0.8412)
    """
    x = np.asarray(x, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if approximate == "tanh":
            return 0.5 * x * (1 + np.tanh(SQRT_2_OVER_PI * (x + CUBIC * x**3)))
        return 0.5 * x * (1 + erf_reference(x / math.sqrt(2)))


def gelu_backward_reference(grad: Array, x: Array, approximate: str = "none") -> Array:
    """grad · gelu'(x), in float64.

    exact:  Φ(x) + x φ(x)
    tanh:   ½ (1 + t) + ½ x (1 - t²) √(2/π) (1 + 3 c x²),  t = tanh(√(2/π) (x + c x³))
    """
    grad, x = np.asarray(grad, np.float64), np.asarray(x, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if approximate == "tanh":
            t = np.tanh(SQRT_2_OVER_PI * (x + CUBIC * x**3))
            slope = SQRT_2_OVER_PI * (1 + 3 * CUBIC * x**2)
            return grad * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * slope)
        density = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
        return grad * (0.5 * (1 + erf_reference(x / math.sqrt(2))) + x * density)


def layer_norm_reference(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(x - mean) rstd weight + bias by row, rstd = 1/√(var + eps), in float64.

    Layer Normalization (Ba, Kiros & Hinton 2016), equation 3. x (rows, features), weight and bias
    (features,) or None for one and zero; y as x, mean and rstd (rows,).
    """
    x = np.asarray(x, np.float64)
    mean = x.mean(axis=1)
    rstd = 1 / np.sqrt(((x - mean[:, None]) ** 2).mean(axis=1) + eps)
    y = (x - mean[:, None]) * rstd[:, None]
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), mean, rstd


def layer_norm_backward_reference(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """Gradients of Σ grad·y with respect to x, weight and bias, in float64.

    With x̂ = (x - mean) rstd and h = grad · weight: dx = rstd (h - mean(h) - x̂ mean(h x̂)), means
    over the row; dweight = Σ grad x̂ and dbias = Σ grad over the rows.
    """
    grad, x, mean, rstd = (np.asarray(a, np.float64) for a in (grad, x, mean, rstd))
    normal = (x - mean[:, None]) * rstd[:, None]
    h = grad if weight is None else grad * weight
    inner = h - h.mean(axis=1, keepdims=True) - normal * (h * normal).mean(axis=1, keepdims=True)
    return inner * rstd[:, None], (grad * normal).sum(axis=0), grad.sum(axis=0)


def cross_entropy_reference(logits: Array, target: Array) -> tuple[Array, Array]:
    """log Σⱼ exp(xⱼ) - x_target and log Σⱼ exp(xⱼ) of every row, in float64.

    >>> losses, logsumexp = cross_entropy_reference([[0.0, 0.0]], [1])
    >>> losses == logsumexp == np.log(2)
    array([ True])
    """
    logits, target = np.asarray(logits, np.float64), np.asarray(target)
    largest = logits.max(axis=1)
    with np.errstate(invalid="ignore"):
        shifted = logits - largest[:, None]
        logsumexp = largest + np.log(np.exp(shifted).sum(axis=1))
        return logsumexp - logits[np.arange(len(logits)), target], logsumexp


def cross_entropy_backward_reference(
    grad: Array, logits: Array, target: Array, logsumexp: Array
) -> Array:
    """grad of each row times (softmax(logits) - onehot(target)), in float64."""
    grad, logits, logsumexp = (np.asarray(a, np.float64) for a in (grad, logits, logsumexp))
    with np.errstate(invalid="ignore"):
        probabilities = np.exp(logits - logsumexp[:, None])
    onehot = np.arange(logits.shape[1]) == np.asarray(target)[:, None]
    return grad[:, None] * (probabilities - onehot)
