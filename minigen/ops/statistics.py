"""Variance, standard deviation and logsumexp."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import quiet
from minigen.dtypes import promote_to_float
from minigen.ops.dims import numpy_names
from minigen.ops.functions import exp
from minigen.ops.masking import fill_where
from minigen.ops.reduction import axes, count, mean, spread
from minigen.tensor import method

__all__ = ["logsumexp", "std", "std_mean", "var", "var_mean"]


def _freedom(shape: tuple, dim: Any, correction: float) -> float:
    """Degrees of freedom; never negative, and 0/0 is NaN."""
    return max(0.0, count(shape, dim) - correction)


def _variance(input: Any, dim: Any, correction: float, keepdim: Any) -> Any:
    if input.dtype.kind != "f":
        raise TypeError("expects a floating-point tensor; use x.float()")
    dims, n = axes(dim, input.ndim), count(input.shape, dim)
    with quiet():
        centred = input - np.add.reduce(input, dims, keepdims=True) / input.dtype.type(n)
        centred *= centred
        freedom = input.dtype.type(_freedom(input.shape, dim, correction))
        return np.add.reduce(centred, dims, keepdims=keepdim) / freedom


@differentiable
def _var(input: Any, dim: Any, correction: float, keepdim: Any) -> Any:
    return _variance(input, dim, correction, keepdim)


@differentiable
def _std(input: Any, dim: Any, correction: float, keepdim: Any) -> Any:
    return np.sqrt(_variance(input, dim, correction, keepdim))


def _var_gradient(g: Any, input: Any, dim: Any, correction: float, keepdim: Any) -> Any:
    """2/(n - correction) (x - mean)."""
    freedom = _freedom(tuple(input.shape), dim, correction)
    scaled = g * (2 / freedom if freedom else float("inf"))
    return spread(scaled, tuple(input.shape), dim, keepdim) * (input - mean(input, dim, True))


def _std_gradient(g: Any, input: Any, output: Any, dim: Any, correction: Any, keepdim: Any) -> Any:
    """As of the variance, over 2 std; 0 where all elements are equal, as PyTorch defines it."""
    zero = output == 0
    scaled = fill_where(g, zero, 0) / fill_where(2 * output, zero, 1)  # no 0/0 in forward mode
    return _var_gradient(scaled, input, dim, correction, keepdim)


_var.gradients(input=_var_gradient)
_std.gradients(input=_std_gradient)


def _arguments(dim: Any, unbiased: bool | None, correction: float | None) -> tuple:
    """PyTorch's two spellings: unbiased=True is correction=1, and may come in the place of dim."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError("var, std: give either unbiased or correction")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return dim, correction


@method("var")
@numpy_names
def var(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Σ (x - mean)² / (n - correction) over `dim`; correction = 1 unless given.

    unbiased: False for correction = 0.  NaN where there are not more elements than `correction`.

    >>> import minigen
    >>> minigen.tensor([1.0, 2.0, 3.0, 4.0]).var(unbiased=False)
    tensor(1.2500)
    """
    dim, correction = _arguments(dim, unbiased, correction)
    return _var(input, dim, correction, keepdim)


@method("std")
@numpy_names
def std(
    input: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The square root of `var`; its gradient is taken as 0 where all elements are equal.

    >>> import minigen
    >>> minigen.tensor([1.0, 3.0]).std(correction=0)
    tensor(1.)
    """
    dim, correction = _arguments(dim, unbiased, correction)
    return _std(input, dim, correction, keepdim)


@numpy_names
def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **more: Any
) -> tuple:
    """(var, mean) over `dim`; arguments as of `var`."""
    value = var(input, dim, unbiased, keepdim, **more)
    return value, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, **more: Any
) -> tuple:
    """(std, mean) over `dim`; arguments as of `std`."""
    value = std(input, dim, unbiased, keepdim, **more)
    return value, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@differentiable(promote=promote_to_float)
def _logsumexp(input: Any, dim: Any = None, keepdim: Any = False) -> Any:
    dims = axes(dim, input.ndim)
    with quiet():
        if not count(input.shape, dim):
            return np.log(np.add.reduce(input, dims, keepdims=keepdim))
        largest = input.max(dims, keepdims=True)
        largest = np.where(np.isfinite(largest), largest, input.dtype.type(0))
        terms = input - largest
        terms = np.exp(terms, out=terms if terms.ndim else None)
        total = np.log(np.add.reduce(terms, dims, keepdims=True)) + largest
    if keepdim:
        return total
    return total.reshape(()) if dims is None else total.squeeze(dims)


_logsumexp.gradients(
    input=lambda g, input, output, dim, keepdim: (
        spread(g, tuple(input.shape), dim, keepdim)
        * exp(input - spread(output, tuple(input.shape), dim, keepdim))
    )
)


@method("logsumexp")
@numpy_names
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """log Σ exp(x) over `dim`, without overflow: m + log Σ exp(x - m), m the largest element.

    -inf where all elements are -inf, or where there are none.

    >>> import minigen
    >>> minigen.tensor([1000.0, 1000.0]).logsumexp(0)
    tensor(1000.6932)
    """
    return _logsumexp(input, dim, keepdim)
