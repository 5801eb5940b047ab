"""The softmax family: exponentials that are divided by their sum along one dimension."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable, wrap
from minigen.backend import silent
from minigen.errors import ShapeError
from minigen.ops.functions import exp
from minigen.ops.reduction import sum
from minigen.tensor import method

__all__ = ["gumbel_softmax", "log_softmax", "softmax", "softmin"]


def floating(operands: Sequence) -> Sequence:
    """For `differentiable(promote=)`: the operands as they are, which have to be floating-point."""
    if operands[0].dtype.kind != "f":
        raise TypeError(f"needs a floating-point input, not {operands[0].dtype}; use x.float()")
    return operands


def _shifted(input: Any, dim: int) -> Any:
    """input - max(input), a new array: its exponentials have the same ratios and no overflow."""
    if input.ndim == 0:
        raise IndexError("a softmax of a bare number has no dimension")
    if input.size == 0:
        return input + input.sum(axis=dim, keepdims=True)  # a copy; an IndexError for a wrong dim
    return input - input.max(axis=dim, keepdims=True)


def _of_rows(operation: str, dim: int, *arrays: Any) -> Any:
    """The kernel `operation` of the rows (..., n) that the arrays have once `dim` is their last."""
    last = dim in (-1, arrays[0].ndim - 1)
    moved = arrays if last else [np.moveaxis(a, dim, -1) for a in arrays]
    shape = moved[0].shape
    rows = backend.kernel(operation, *(a.reshape(-1, shape[-1]) for a in moved)).reshape(shape)
    return rows if last else np.moveaxis(rows, -1, dim)


@differentiable(promote=floating)
def _softmax(input: Any, dim: int = -1) -> Any:
    if input.size and input.ndim and backend.large(input):
        return _of_rows("softmax", dim, input)
    return silent().run(_normalised, input, dim)


def _normalised(input: Any, dim: int) -> Any:
    output = _shifted(input, dim)
    np.exp(output, out=output)
    output /= output.sum(axis=dim, keepdims=True)
    return output


@differentiable(promote=floating)
def _log_softmax(input: Any, dim: int = -1) -> Any:
    if input.size and input.ndim and backend.large(input):
        return _of_rows("log_softmax", dim, input)
    return silent().run(_log_normalised, input, dim)


def _log_normalised(input: Any, dim: int) -> Any:
    output = _shifted(input, dim)
    output -= np.log(np.exp(output).sum(axis=dim, keepdims=True))
    return output


def _softmax_gradient(g: Any, output: Any, dim: int) -> Any:
    if backend.large(g) and g.size:
        return _of_rows("softmax_backward", dim, g, output)
    return output * (g - sum(g * output, dim, keepdim=True))


def _log_softmax_gradient(g: Any, output: Any, dim: int) -> Any:
    if backend.large(g) and g.size:
        return _of_rows("log_softmax_backward", dim, g, output)
    return g - exp(output) * sum(g, dim, keepdim=True)


_softmax.gradients(input=_softmax_gradient)
_log_softmax.gradients(input=_log_softmax_gradient)


def _along(operation: Callable, input: Any, dim: int | None, dtype: Any) -> Any:
    """The operation along `dim`, after a cast to `dtype`; a number counts as a vector of one."""
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"softmax without dim is deprecated; it is taken along dim={dim} here", stacklevel=3
        )
    if dtype is not None:
        input = input.to(dtype)
    if input.ndim == 0:
        return operation(input.reshape(1), dim).reshape(())
    return operation(input, dim)


@method("softmax")
def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """exp(x) / Σ exp(x), sums along `dim`: positive numbers that add up to 1.  Any shape.

    dtype: cast the input to it first, against overflow.  A row of -inf gives NaN.  Without `dim`
    the dimension is 0 for inputs of 0, 1 and 3 dimensions and otherwise 1, with a warning.

    >>> import minigen
    >>> softmax(minigen.tensor([[0.0, 0.0], [1.0, 1.0]]), dim=1)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    return _along(_softmax, input, dim, dtype)


@method("log_softmax")
def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """x - log Σ exp(x), sums along `dim`: the logarithm of `softmax`, without its underflow.

    >>> import minigen
    >>> log_softmax(minigen.tensor([0.0, 0.0, -1000.0]), dim=0)
    tensor([-6.9315e-01, -6.9315e-01, -1.0007e+03])
    """
    return _along(_log_softmax, input, dim, dtype)


def softmin(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """softmax(-x).

    >>> import minigen
    >>> softmin(minigen.tensor([0.0, 1000.0]), dim=0)
    tensor([1., 0.])
    """
    return _along(_softmax, -input, dim, dtype)


@differentiable
def _one_hot_of_largest(input: Any, dim: int = -1) -> Any:
    """1 at the largest element along `dim`, else 0; its gradient is passed straight through."""
    output = backend.zeros_like(input)
    largest = np.expand_dims(input.argmax(axis=dim), dim)
    np.put_along_axis(output, largest, 1, axis=dim)
    return output


_one_hot_of_largest.gradients(input=lambda g: g)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, *, dim: int = -1) -> Any:
    """A random vector that tends to a one-hot draw from softmax(logits) as tau falls to 0.

    softmax((logits + G) / tau) with G = -log E, E standard exponential (so that G has the Gumbel
    distribution).  hard: one-hot in the forward pass, with the gradient of the soft sample
    (straight-through).  Source: Jang, Gu & Poole 2017, arXiv:1611.01144, equations 1 and 2.

    >>> import minigen
    >>> _ = minigen.manual_seed(0)
    >>> gumbel_softmax(minigen.tensor([[0.0, 9.0, 0.0]]), hard=True)
    tensor([[0., 1., 0.]])
    """
    if tau <= 0:
        raise ShapeError(f"gumbel_softmax: tau must be positive, got {tau}")

    def draw() -> Any:
        exponential = backend.stream(None).standard_exponential(logits.shape)
        return backend.cast(-np.log(exponential), logits.array.dtype)

    sample = softmax((logits + wrap(backend.drawn(draw, logits.device))) / tau, dim)
    return _one_hot_of_largest(sample, dim) if hard else sample
