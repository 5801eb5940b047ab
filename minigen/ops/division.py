"""Quotients and remainders: `div`, `floor_divide`, `remainder`, `fmod`, `reciprocal`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import silent
from minigen.dtypes import promote, promote_to_float
from minigen.errors import ShapeError
from minigen.ops.rounding import no_slope
from minigen.tensor import method

__all__ = ["div", "divide", "floor_divide", "fmod", "reciprocal", "remainder", "true_divide"]


@method("__truediv__", reflected="__rtruediv__")
@differentiable(promote=promote_to_float)
def _div(input: Any, other: Any) -> Any:
    return silent().run(np.divide, input, other)


_div.gradients(
    input=lambda g, other: g / other,
    other=lambda g, input, other: -g * (input / other) / other,
)


def _check_divisor(divisor: Any) -> None:
    """Raise RuntimeError, as PyTorch does, for what integers cannot be divided by."""
    kind = divisor.dtype.kind
    if kind == "b":
        raise TypeError("is not offered for two booleans")
    if kind != "f" and not np.all(divisor):
        raise ValueError("ZeroDivisionError: an integer is divided by zero")


@differentiable(promote=promote)
def _floor_divide(input: Any, other: Any) -> Any:
    _check_divisor(other)
    return silent().run(np.floor_divide, input, other)


@differentiable(promote=promote)
def _trunc_divide(input: Any, other: Any) -> Any:
    _check_divisor(other)
    if input.dtype.kind == "f":
        return silent().run(lambda: np.trunc(input / other))
    return (input - silent().run(np.fmod, input, other)) // other


_ROUNDED = {"floor": _floor_divide, "trunc": _trunc_divide}
for _rounded in _ROUNDED.values():
    _rounded.gradients(input=lambda g: no_slope(g), other=lambda g: no_slope(g))


@method("div", "divide", "true_divide")
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other, in floating point; with rounding_mode "trunc" rounded towards zero, with
    "floor" towards minus infinity, both in the common dtype of the operands.

    Raises RuntimeError for an integer divided by zero in a rounding mode.

    >>> import minigen
    >>> minigen.div(minigen.tensor([-7, 7]), 2)
    tensor([-3.5000,  3.5000])
    >>> minigen.div(minigen.tensor([-7, 7]), 2, rounding_mode="floor")
    tensor([-4,  3])
    """
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode not in _ROUNDED:
        raise ShapeError(f"div: rounding_mode is None, 'trunc' or 'floor', not {rounding_mode!r}")
    return _ROUNDED[rounding_mode](input, other)


@method("floor_divide", "__floordiv__", reflected="__rfloordiv__")
def floor_divide(input: Any, other: Any) -> Any:
    """The quotient rounded towards minus infinity, in the common dtype of the operands.

    Raises RuntimeError for an integer divided by zero.  Its gradient is zero.

    >>> import minigen
    >>> minigen.tensor([-7, 7]) // 2
    tensor([-4,  3])
    """
    return _floor_divide(input, other)


@method("remainder", "__mod__", reflected="__rmod__")
@differentiable(promote=promote)
def remainder(input: Any, other: Any) -> Any:
    """input - other * floor(input / other): of the sign of `other`.

    >>> import minigen
    >>> minigen.tensor([-7, 7]) % 3
    tensor([2, 1])
    """
    _check_divisor(other)
    return silent().run(np.remainder, input, other)


remainder.gradients(
    input=lambda g: g,
    other=lambda g, input, other: -g * _floor_divide(input, other),
)


@method("fmod")
@differentiable(promote=promote)
def fmod(input: Any, other: Any) -> Any:
    """input - other * trunc(input / other): of the sign of `input`.

    >>> import minigen
    >>> minigen.fmod(minigen.tensor([-7, 7]), 3)
    tensor([-1,  1])
    """
    _check_divisor(other)
    return silent().run(np.fmod, input, other)


fmod.gradients(
    input=lambda g: g,
    other=lambda g, input, other: -g * _trunc_divide(input, other),
)


@method("reciprocal")
@differentiable(promote=promote_to_float)
def reciprocal(input: Any) -> Any:
    """1 / input."""
    return silent().run(np.divide, 1, input)


reciprocal.gradients(input=lambda g, output: -g * (output * output))


divide = true_divide = div
