"""The fused operations by NumPy: ufuncs that write into few arrays, never powers, never a copy."""

from __future__ import annotations

import contextvars
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .reference import CUBIC, SQRT_2_OVER_PI
from .special import erf

Array = Any

# Infinity and NaN go through, without a warning.
SILENT: dict[str, Any] = {
    "divide": "ignore",
    "invalid": "ignore",
    "over": "ignore",
}

_ignoring = contextvars.Context()
_ignoring.run(np.seterr, all="ignore")


def silently(function: Callable[..., Any]) -> Any:
    """Decorate a function of arrays to run without NumPy's warnings.

    NumPy keeps its error state in a context variable: a copy of a context in which it is set takes
    a tenth of the time of `np.errstate`, which is as long as two operations on a small array.
    """

    @functools.wraps(function)
    def quiet(*arrays: Any, **options: Any) -> Any:
        return _ignoring.copy().run(function, *arrays, **options)

    return quiet


def _tanh_of_gelu(x: Array) -> Array:
    """tanh(√(2/π) (x + c x³))."""
    t = np.multiply(x, x, out=np.empty_like(x, order="C"))
    t *= x.dtype.type(SQRT_2_OVER_PI * CUBIC)
    t += x.dtype.type(SQRT_2_OVER_PI)
    t *= x
    return np.tanh(t, out=t)


def _distribution(x: Array) -> Array:
    """2 Φ(x) = 1 + erf(x/√2)."""
    value = erf(np.multiply(x, x.dtype.type(math.sqrt(0.5)), out=np.empty_like(x, order="C")))
    value += 1
    return value


@silently
def gelu(x: Array, approximate: str = "none") -> Array:
    """x Φ(x), or its "tanh" approximation, elementwise.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    if x.ndim == 0:  # what ufuncs return is then no array
        return gelu(x.reshape(1), approximate).reshape(())
    if approximate == "tanh":
        y = _tanh_of_gelu(x)
        y += 1
    else:
        y = _distribution(x)
    y *= x
    y *= 0.5
    return y


@silently
def gelu_backward(grad: Array, x: Array, approximate: str = "none") -> Array:
    """grad · gelu'(x); the formulas stand at `gelu_backward_reference`."""
    if x.ndim == 0:
        return gelu_backward(grad.reshape(1), x.reshape(1), approximate).reshape(())
    if approximate == "tanh":
        t = _tanh_of_gelu(x)
        dx = np.multiply(x, x, out=np.empty_like(x, order="C"))
        dx *= x.dtype.type(3 * CUBIC * SQRT_2_OVER_PI)
        dx += x.dtype.type(SQRT_2_OVER_PI)
        dx *= x  # x · slope
        slope_part = np.multiply(t, t)
        np.subtract(1, slope_part, out=slope_part)
        dx *= slope_part
        dx += t
        dx += 1
        dx *= 0.5
    else:
        dx = np.multiply(x, x, out=np.empty_like(x, order="C"))
        dx *= -0.5
        np.exp(dx, out=dx)
        dx *= x.dtype.type(1 / math.sqrt(2 * math.pi))
        dx *= x
        half = _distribution(x)
        half *= 0.5
        dx += half
    dx *= grad
    return dx


def dots(a: Array, b: Array) -> Array:
    """The inner products of rows, Σⱼ aᵢⱼ bᵢⱼ; on few elements in less than half of einsum's time.

    >>> dots(np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([[1.0, 1.0], [5.0, 1.0]]))
    array([3., 3.])
    """
    if isinstance(a, np.ndarray):
        return np.vecdot(a, b)
    return (a * b).sum(axis=1)  # CuPy has no such ufunc


def sums_of_products(labels: str, a: Array, b: Array, axis: int | tuple[int, ...]) -> Array:
    """Σ a b over `axis`, which `labels` names too: by einsum, with no array for the product.

    CuPy's einsum makes a batch of matrix products of it, for which it calls cuBLAS; that is slow,
    and refused while a CUDA graph is captured.

    >>> sums_of_products("ij,ij->j", np.array([[1.0, 2.0], [0.0, 3.0]]), np.ones((2, 2)), 0)
    array([1., 5.])
    """
    return np.einsum(labels, a, b) if isinstance(a, np.ndarray) else (a * b).sum(axis=axis)


@silently
def layer_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(x - mean) / √(var + eps) weight + bias by row: x (rows, features) -> y, mean, rstd.

    >>> layer_norm(np.array([[1.0, 3.0]]), None, None, 0.0)
    (array([[-1.,  1.]]), array([2.]), array([1.]))
    """
    features = float(x.shape[1])  # NumPy takes longer to convert an int
    mean = x.sum(axis=1)
    mean /= features
    y = np.subtract(x, mean[:, None], out=np.empty_like(x, order="C"))
    variance = dots(y, y)
    variance /= features
    variance += eps
    rstd = 1 / np.sqrt(variance)
    y *= rstd[:, None]
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, mean, rstd


@silently
def layer_norm_backward(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias; the formulas stand at `layer_norm_backward_reference`."""
    features = float(x.shape[1])
    normal = np.subtract(x, mean[:, None], out=np.empty_like(x, order="C"))
    normal *= rstd[:, None]
    dweight = sums_of_products("ij,ij->j", grad, normal, 0)
    dx = np.multiply(grad, 1 if weight is None else weight, out=np.empty_like(grad, order="C"))
    inner = dots(dx, normal)
    inner /= features
    total = dx.sum(axis=1, keepdims=True)
    total /= features
    dx -= total
    normal *= inner[:, None]
    dx -= normal
    dx *= rstd[:, None]
    dbias = grad.sum(axis=0)
    return dx, dweight, dbias


def check_targets(logits: Array, target: Array) -> None:
    """Raise an IndexError that names the first target outside [0, classes).

    On a GPU only the shape is looked at, as looking at numbers would make the program wait for it;
    `_marked` then lets a wrong target show.
    """
    rows, classes = logits.shape
    if target.shape != (rows,):
        raise ValueError(f"cross_entropy: target has shape {target.shape}, expected ({rows},)")
    if not isinstance(target, np.ndarray):
        return
    if rows and not (target.min() >= 0 and target.max() < classes):
        row = int(np.flatnonzero((target < 0) | (target >= classes))[0])
        raise IndexError(
            f"cross_entropy: target {target[row]} of row {row} is not a class in [0, {classes})"
        )


def _marked(losses: Array, target: Array, classes: int) -> Array:
    """The losses; on a GPU, NaN where a target is not in [0, classes)."""
    if isinstance(target, np.ndarray):
        return losses
    outside = (target < 0) | (target >= classes)
    return np.where(outside, losses.dtype.type(np.nan), losses)


@silently
def cross_entropy(logits: Array, target: Array) -> tuple[Array, Array]:
    """log Σⱼ exp(xⱼ) - x_target and log Σⱼ exp(xⱼ) of every row of logits (rows, classes).

    Raises:
        IndexError: a target is not in [0, classes). On a GPU its loss is NaN instead.

    >>> cross_entropy(np.zeros((1, 4)), np.array([2]))[0] == np.log(4)
    array([ True])
    """
    check_targets(logits, target)
    largest = logits.max(axis=1)
    terms = np.subtract(logits, largest[:, None])
    np.exp(terms, out=terms)
    logsumexp = np.log(terms.sum(axis=1))
    logsumexp += largest
    rows = np.arange(len(logits), like=target)
    losses = logsumexp - logits[rows, target]
    return _marked(losses, target, logits.shape[1]), logsumexp


@silently
def cross_entropy_backward(grad: Array, logits: Array, target: Array, logsumexp: Array) -> Array:
    """grad (rows,) times (softmax(logits) - onehot(target)).

    Raises:
        IndexError: a target is not in [0, classes).
    """
    check_targets(logits, target)
    dlogits = np.subtract(logits, logsumexp[:, None], out=np.empty_like(logits, order="C"))
    np.exp(dlogits, out=dlogits)
    dlogits[np.arange(len(logits), like=target), target] -= 1
    dlogits *= grad[:, None]
    return dlogits
