"""Whole numbers: `floor`, `ceil`, `trunc`, `round`, `frac`; and `nan_to_num`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import silent
from minigen.ops.comparison import isfinite, where
from minigen.tensor import method

__all__ = ["ceil", "fix", "floor", "frac", "nan_to_num", "round", "trunc"]


@differentiable
def no_slope(input: Any) -> Any:
    """Zeros: the gradient of a function that is constant in pieces."""
    return np.zeros_like(input)


def _rounding(function: Callable, name: str, description: str, shown: str) -> Any:
    def forward(input: Any) -> Any:
        if input.dtype.kind == "f":
            return function(input)
        if input.dtype.kind == "b":
            raise TypeError("is not offered for booleans")
        return input.copy()

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = f"""{description}  Its gradient is 0.

    >>> import minigen
    >>> minigen.{name}(minigen.tensor([1.5, -1.5]))
    {shown}
    """
    return differentiable(forward)


floor = method("floor")(
    _rounding(np.floor, "floor", "The largest whole number <= input.", "tensor([ 1., -2.])")
)
ceil = method("ceil")(
    _rounding(np.ceil, "ceil", "The smallest whole number >= input.", "tensor([ 2., -1.])")
)
trunc = method("trunc", "fix")(
    _rounding(np.trunc, "trunc", "The whole part, towards zero.", "tensor([ 1., -1.])")
)


@method("round")
@differentiable
def round(input: Any, decimals: int = 0) -> Any:
    """The nearest whole number, halves to the even one; or to so many decimals.

    >>> import minigen
    >>> minigen.round(minigen.tensor([0.5, 1.5, -2.7]))
    tensor([ 0.,  2., -3.])
    """
    kind = input.dtype.kind
    if kind == "f":
        return np.round(input, decimals) if decimals else np.rint(input)
    if kind == "b" or decimals:
        raise TypeError(f"is not offered for {input.dtype} with decimals={decimals}")
    return input.copy()


for _constant in (floor, ceil, trunc, round):
    _constant.gradients(input=lambda g: no_slope(g))


@method("frac")
@differentiable
def frac(input: Any) -> Any:
    """input - trunc(input).

    >>> import minigen
    >>> minigen.frac(minigen.tensor([1.25, -1.5]))
    tensor([ 0.2500, -0.5000])
    """
    if input.dtype.kind != "f":
        raise TypeError("expects a floating-point tensor")
    return silent().run(np.subtract, input, np.trunc(input))


frac.gradients(input=lambda g: g)


@method("nan_to_num")
@differentiable
def nan_to_num(input: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced: by 0 and the largest and smallest finite number by default.

    >>> import minigen
    >>> minigen.nan_to_num(minigen.tensor([1.0, float("nan")]), nan=7.0)
    tensor([1., 7.])
    """
    if input.dtype.kind != "f":
        return input.copy()
    return np.nan_to_num(input, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


nan_to_num.gradients(input=lambda g, input: where(isfinite(input), g, 0.0))


fix = trunc
