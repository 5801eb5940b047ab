"""RMS normalisation by its formula in float64 and by NumPy.

    rms_norm(x, weight, eps) -> (y, rrms)
    rms_norm_backward(grad, x, weight, rrms) -> (dx, dweight)

x (rows, features) is normalised over features; weight (features,) or None for 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .vectorised import SILENT, dots, silently, sums_of_products

Array = Any


def rms_norm_reference(x: Array, weight: Array | None, eps: float) -> tuple[Array, Array]:
    """x rrms weight by row and rrms = 1/√(mean(x²) + eps), in float64.

    Root Mean Square Layer Normalization (Zhang & Sennrich 2019), equation 4.
    """
    x = np.asarray(x, np.float64)
    with np.errstate(**SILENT):
        rrms = 1 / np.sqrt((x * x).mean(axis=1) + eps)
        y = x * rrms[:, None]
        return (y if weight is None else y * weight), rrms


def rms_norm_backward_reference(
    grad: Array, x: Array, weight: Array | None, rrms: Array
) -> tuple[Array, Array]:
    """Gradients of Σ grad·y with respect to x and weight, in float64.

    With x̂ = x rrms and h = grad · weight: dx = rrms (h - x̂ mean(h x̂)), dweight = Σ grad x̂.
    """
    grad, x, rrms = (np.asarray(a, np.float64) for a in (grad, x, rrms))
    normal = x * rrms[:, None]
    h = grad if weight is None else grad * weight
    inner = h - normal * (h * normal).mean(axis=1, keepdims=True)
    return inner * rrms[:, None], (grad * normal).sum(axis=0)


@silently
def rms_norm(x: Array, weight: Array | None, eps: float) -> tuple[Array, Array]:
    """x / √(mean(x²) + eps) weight by row: x (rows, features) -> y, rrms.

    >>> rms_norm(np.array([[1.0, 7.0]]), None, 0.0)
    (array([[0.2, 1.4]]), array([0.2]))
    """
    square = dots(x, x)
    square /= x.shape[1]
    square += eps
    rrms = 1 / np.sqrt(square)
    y = np.multiply(x, rrms[:, None], out=np.empty_like(x, order="C"))
    if weight is not None:
        y *= weight
    return y, rrms


@silently
def rms_norm_backward(
    grad: Array, x: Array, weight: Array | None, rrms: Array
) -> tuple[Array, Array]:
    """dx, dweight; the formulas stand at `rms_norm_backward_reference`."""
    normal = np.multiply(x, rrms[:, None], out=np.empty_like(x, order="C"))
    dweight = sums_of_products("rf,rf->f", grad, normal, 0)
    dx = np.multiply(grad, 1 if weight is None else weight, out=np.empty_like(grad, order="C"))
    inner = dots(dx, normal)
    inner /= x.shape[1]
    normal *= inner[:, None]
    dx -= normal
    dx *= rrms[:, None]
    return dx, dweight
