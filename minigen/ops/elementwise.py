"""Arithmetic and functions of each element: arguments broadcast and promote as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.dtypes import promote, promote_to_float
from minigen.tensor import method

__all__ = ["add", "exp", "mul"]


@method("add", "__add__", reflected="__radd__")
@differentiable(promote=promote)
def add(input: Any, other: Any, alpha: Any = 1) -> Any:
    """input + alpha * other.

    >>> import minigen
    >>> minigen.add(minigen.tensor([1.0, 2.0]), 10)
    tensor([11., 12.])
    """
    return input + other if alpha == 1 else input + alpha * other


add.gradients(
    input=lambda g: g,
    other=lambda g, alpha: g if alpha == 1 else g * alpha,
)


@method("mul", "multiply", "__mul__", reflected="__rmul__")
@differentiable(promote=promote)
def mul(input: Any, other: Any) -> Any:
    """input * other."""
    return input * other


mul.gradients(
    input=lambda g, other: g * other,
    other=lambda g, input: g * input,
)


@method("exp")
@differentiable(promote=promote_to_float)
def exp(input: Any) -> Any:
    return np.exp(input)


exp.gradients(input=lambda g, output: g * output)
