"""Products, and sums and products of everything so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.backend import quiet
from minigen.dtypes import as_dtype
from minigen.ops.dims import numpy_names, wrap_dim
from minigen.ops.masking import fill_where
from minigen.ops.rearrange import triu
from minigen.ops.reduction import spread, sum
from minigen.ops.shape import expand, reshape, unsqueeze
from minigen.tensor import method

__all__ = ["cumprod", "cumsum", "prod"]


def _summed(kind: np.dtype, dtype: Any) -> Any:
    """The dtype of a sum or product: `dtype` if given, int64 for integers and booleans."""
    if dtype is not None:
        return as_dtype(dtype).numpy
    return kind if kind.kind == "f" else np.dtype(np.int64)


# ------------------------------------------------------------------------------------- cumsum


@differentiable
def _cumsum(input: Any, dim: int, reverse: bool, dtype: Any) -> Any:
    kind = _summed(input.dtype, dtype)
    if input.ndim == 0:
        return input.astype(kind)
    with quiet():
        if reverse:
            return np.flip(np.cumsum(np.flip(input, dim), dim, kind), dim)
        return np.cumsum(input, dim, kind)


_cumsum.gradients(input=lambda g, dim, reverse: _cumsum(g, dim, not reverse, None))


@method("cumsum")
@numpy_names
def cumsum(input: Any, dim: int, dtype: Any = None) -> Any:
    """y[i] = x[0] + ... + x[i] along `dim`; int64 for integers.

    >>> import minigen
    >>> minigen.tensor([1.0, 2.0, 3.0]).cumsum(0)
    tensor([1., 3., 6.])
    """
    return _cumsum(input, wrap_dim(dim, len(input.shape)), False, dtype)


# ------------------------------------------------------------------------------------ cumprod


def diagonal_mask(like: Any, n: int) -> Any:
    """True on the diagonal of an n x n matrix, on the device of a tensor or array."""
    array = getattr(like, "array", like)
    return backend.array_module(array).eye(n, dtype=bool)


def _without_one(input: Any) -> Any:
    """M[..., i, j] = x[..., j], but 1 where i = j."""
    n = input.shape[-1]
    rows = expand(unsqueeze(input, -2), (*input.shape[:-1], n, n))
    return fill_where(rows, diagonal_mask(input, n), 1)


@differentiable
def _cumprod(input: Any) -> Any:
    """Along the last dimension."""
    with quiet():
        return np.cumprod(input, -1)


@differentiable
def _any_zero(input: Any) -> Any:
    return (input == 0).any()


def _cumprod_gradient(g: Any, input: Any, output: Any) -> Any:
    """dL/dx_i = Σ_{k >= i} g_k y_k / x_i; with zeros, g_k times the product of the others."""
    if not _any_zero(input):
        return _cumsum(g * output, len(input.shape) - 1, True, None) / input
    others = triu(_cumprod(_without_one(input)))  # [i, k]: the product of x_j, j <= k, j != i
    return sum(unsqueeze(g, -2) * others, -1)


_cumprod.gradients(input=_cumprod_gradient)


@method("cumprod")
@numpy_names
def cumprod(input: Any, dim: int, dtype: Any = None) -> Any:
    """y[i] = x[0] x[1] ... x[i] along `dim`; int64 for integers.

    >>> import minigen
    >>> minigen.tensor([1.0, 2.0, 3.0]).cumprod(0)
    tensor([1., 2., 6.])
    """
    dim = wrap_dim(dim, len(input.shape))
    input = _converted(input, dtype)
    if not len(input.shape):
        return input.clone()
    return _cumprod(input.movedim(dim, -1)).movedim(-1, dim)


def _converted(input: Any, dtype: Any) -> Any:
    kind = _summed(input.array.dtype, dtype)
    return input if input.array.dtype == kind else input.to(as_dtype(kind))


# --------------------------------------------------------------------------------------- prod


@differentiable
def _prod(input: Any) -> Any:
    """Over the last dimension."""
    with quiet():
        return np.multiply.reduce(input, -1)


@differentiable
def product_of_others(input: Any) -> Any:
    """y_i = Π_{j != i} x_j along the last dimension: what is before times what is behind."""
    ahead, behind = np.ones_like(input), np.ones_like(input)
    np.cumprod(input[..., :-1], -1, out=ahead[..., 1:])
    behind[..., :-1] = np.flip(np.cumprod(np.flip(input[..., 1:], -1), -1), -1)
    return ahead * behind


def _others_gradient(g: Any, input: Any) -> Any:
    """dL/dx_k = Σ_{i != k} g_i Π_{j != i, k} x_j."""
    pairs = product_of_others(_without_one(input))  # [i, k]
    pairs = fill_where(pairs, diagonal_mask(input, input.shape[-1]), 0)
    return sum(unsqueeze(g, -1) * pairs, -2)


def _prod_gradient(g: Any, input: Any, output: Any) -> Any:
    if _any_zero(input):
        return unsqueeze(g, -1) * product_of_others(input)
    return spread(g * output, tuple(input.shape), -1, False) / input


_prod.gradients(input=_prod_gradient)
product_of_others.gradients(input=_others_gradient)


@method("prod")
@numpy_names
def prod(input: Any, dim: int | None = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """Π input over all elements or along one `dim`; int64 for integers.  The empty product is 1.

    The gradient holds where elements are zero, too: it is the product of the others.

    >>> import minigen
    >>> minigen.tensor([[1.0, 2.0], [3.0, 4.0]]).prod(dim=1)
    tensor([ 2., 12.])
    """
    input = _converted(input, dtype)
    ndim = len(input.shape)
    if dim is None:
        result = _prod(reshape(input, (input.array.size,)))
        return reshape(result, (1,) * ndim) if keepdim else result
    dim = wrap_dim(dim, ndim)
    result = _prod(input.movedim(dim, -1)) if ndim else input.clone()
    return unsqueeze(result, dim) if keepdim and ndim else result
