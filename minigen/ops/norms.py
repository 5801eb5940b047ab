"""Lengths of vectors and distances between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import quiet
from minigen.dtypes import as_dtype
from minigen.errors import ShapeError, describe
from minigen.ops.dims import numpy_names
from minigen.ops.elementwise import abs, pow, sign
from minigen.ops.masking import fill_where
from minigen.ops.reduction import amax, amin, axes, count, spread, sum
from minigen.ops.shape import unsqueeze
from minigen.tensor import method

__all__ = ["cdist", "norm"]


@differentiable
def _euclidean(input: Any, dim: Any, keepdim: Any) -> Any:
    dims = axes(dim, input.ndim)
    with quiet():
        if dims is None and input.flags.c_contiguous:
            flat = input.reshape(-1)
            length = np.sqrt(flat.dot(flat))
            return length.reshape((1,) * input.ndim) if keepdim else length
        return np.sqrt(np.add.reduce(np.square(input), dims, keepdims=keepdim))


def _unless_zero(g: Any, divisor: Any, output: Any) -> Any:
    """g / divisor, and 0 where the norm is 0: without a 0/0 on the way, which forward mode sees."""
    zero = output == 0
    return fill_where(g, zero, 0) / fill_where(divisor, zero, 1)


def _euclidean_gradient(g: Any, input: Any, output: Any, dim: Any, keepdim: Any) -> Any:
    """x / |x|, and 0 at x = 0, where the cone has no slope (PyTorch's choice of subgradient)."""
    scaled = _unless_zero(g, output, output)
    return spread(scaled, tuple(input.shape), dim, keepdim) * input


_euclidean.gradients(input=_euclidean_gradient)


@differentiable
def _p_norm(input: Any, p: float, dim: Any, keepdim: Any) -> Any:
    with quiet():
        powers = np.abs(input)
        powers **= p
        total = np.add.reduce(powers, axes(dim, input.ndim), keepdims=keepdim)
        return np.power(total, 1 / p)


def _p_norm_gradient(g: Any, input: Any, output: Any, p: float, dim: Any, keepdim: Any) -> Any:
    """sign(x) |x|^(p-1) / |x|_p^(p-1), and 0 where that is 0/0."""
    scaled = _unless_zero(g, pow(output, p - 1), output)
    slopes = sign(input) * pow(abs(input), p - 1)
    if p < 1:
        slopes = fill_where(slopes, input == 0, 0)
    return spread(scaled, tuple(input.shape), dim, keepdim) * slopes


_p_norm.gradients(input=_p_norm_gradient)


@differentiable
def _count_norm(input: Any, dim: Any, keepdim: Any) -> Any:
    return np.add.reduce(input != 0, axes(dim, input.ndim), input.dtype, keepdims=keepdim)


_count_norm.gradients(
    input=lambda g: None,
)


def _check_not_empty(shape: tuple, p: float, dim: Any) -> None:
    if count(shape, dim) == 0:
        raise ShapeError(
            f"norm: the {p} norm of no elements is not defined (shape {shape}, dim {dim})"
        )


@method("norm")
@numpy_names
def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """(Σ |x|ᵖ)^(1/p) over `dim`, the elements taken as one vector; "fro" is p = 2.

    p = inf gives the largest |x|, -inf the smallest, 0 the number of elements that are not 0.
    The gradient at the zero vector is taken as 0.

    >>> import minigen
    >>> minigen.tensor([3.0, 4.0]).norm()
    tensor(5.)
    """
    if isinstance(p, str):
        if p != "fro":
            raise ShapeError(f"norm: p = {p!r} is not offered; choose a number or 'fro'")
        p = 2
    if dtype is not None:
        input = input.to(as_dtype(dtype))
    if input.array.dtype.kind != "f":
        raise TypeError(f"norm: expects a floating-point tensor, got {describe(input)}")
    if p < 0 or math.isinf(p):
        _check_not_empty(tuple(input.shape), p, dim)
    if p == 2:
        return _euclidean(input, dim, keepdim)
    if p == 1:
        return sum(abs(input), dim, keepdim)
    if p == 0:
        return _count_norm(input, dim, keepdim)
    if math.isinf(p):
        return (amax if p > 0 else amin)(abs(input), () if dim is None else dim, keepdim)
    return _p_norm(input, float(p), dim, keepdim)


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Any:
    """The p-norm of the difference of every row of x1 with every row of x2.

    (..., m, k), (..., n, k) -> (..., m, n).  All differences (..., m, n, k) are held in memory.

    >>> import minigen
    >>> minigen.cdist(minigen.tensor([[0.0, 0.0]]), minigen.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    if len(x1.shape) < 2 or len(x2.shape) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"cdist: {describe(x1)} and {describe(x2)} are not two sets of rows of one length"
        )
    return norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1)
