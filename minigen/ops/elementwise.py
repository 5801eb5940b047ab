"""Arithmetic of each element: sums, products, powers, signs and bounds.

Arguments broadcast and promote as in PyTorch.  PyTorch never warns of 1/0 or of an overflow; so
what could make NumPy warn runs as `silent().run(np.divide, a, b)` (see `backend.silent`).
Quotients are in `division.py`, exponentials and their kin in `functions.py`, `floor` and `round` in
`rounding.py`, what takes several tensors at once in `combining.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.autograd import Variable, differentiable
from minigen.backend import silent
from minigen.dtypes import promote, promote_tensors
from minigen.errors import ShapeError
from minigen.ops.comparison import where
from minigen.ops.functions import log
from minigen.ops.rounding import no_slope
from minigen.tensor import method

__all__ = [
    "abs",
    "absolute",
    "add",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "neg",
    "negative",
    "pow",
    "rsub",
    "sgn",
    "sign",
    "square",
    "sub",
    "subtract",
]


# ------------------------------------------------------------------------ sums and products


@method("__add__", reflected="__radd__")
@differentiable(promote=promote)
def _add(input: Any, other: Any) -> Any:
    return silent().run(np.add, input, other)


_add.gradients(input=lambda g: g, other=lambda g: g)


def _not_bool(operands: Sequence) -> Sequence:
    for operand in operands:
        if isinstance(operand, bool) or getattr(operand, "dtype", None) == np.bool_:
            raise ValueError(
                "subtraction, the `-` operator, with a bool tensor is not supported; "
                "use `~` or logical_not() to invert a mask, `^` or logical_xor() for two of them"
            )
    return promote(operands)


@method("__sub__", reflected="__rsub__")
@differentiable(promote=_not_bool)
def _sub(input: Any, other: Any) -> Any:
    return silent().run(np.subtract, input, other)


_sub.gradients(input=lambda g: g, other=lambda g: -g)


def _scaled(other: Any, alpha: Any, input: Any) -> Any:
    """alpha * other, where alpha may not raise the dtype of the result."""
    kinds = {
        getattr(v, "array", v).dtype.kind if hasattr(v, "dtype") else "" for v in (input, other)
    }
    if isinstance(alpha, bool) and kinds - {"b", ""}:
        raise ShapeError("a boolean alpha is only supported for boolean results")
    if isinstance(alpha, float) and not kinds & {"f"} and not isinstance(other, float):
        raise ShapeError("for integer tensors alpha must not be a floating-point number")
    if kinds == {"b"}:
        return other if alpha else other ^ other
    return other * alpha


@method("add")
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input + alpha * other.

    >>> import minigen
    >>> minigen.add(minigen.tensor([1.0, 2.0]), 10, alpha=2)
    tensor([21., 22.])
    """
    plain = alpha.__class__ is int and alpha == 1
    return _add(input, other if plain else _scaled(other, alpha, input))


@method("sub", "subtract")
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input - alpha * other.

    >>> import minigen
    >>> minigen.tensor([3, 4]).sub(1)
    tensor([2, 3])
    """
    plain = alpha.__class__ is int and alpha == 1
    return _sub(input, other if plain else _scaled(other, alpha, input))


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


@method("mul", "multiply", "__mul__", reflected="__rmul__")
@differentiable(promote=promote)
def mul(input: Any, other: Any) -> Any:
    """input * other.

    >>> import minigen
    >>> minigen.tensor([1.0, 2.0]) * 3
    tensor([3., 6.])
    """
    return silent().run(np.multiply, input, other)


mul.gradients(
    input=lambda g, other: g * other,
    other=lambda g, input: g * input,
)


@method("neg", "negative", "__neg__")
@differentiable
def neg(input: Any) -> Any:
    """-input.  Raises TypeError for booleans, which `~` inverts."""
    return np.negative(input)


neg.gradients(input=lambda g: -g)


@method("__pos__")
def _positive(input: Any) -> Any:
    return input


@method("square")
@differentiable
def square(input: Any) -> Any:
    """input².

    >>> import minigen
    >>> minigen.square(minigen.tensor([-2.0, 3.0]))
    tensor([4., 9.])
    """
    if input.dtype.kind == "b":
        return input.astype(np.int64)
    return silent().run(np.square, input)


square.gradients(input=lambda g, input: g * input * 2)


# ---------------------------------------------------------------------------------- powers


def _exponents(operands: Sequence) -> Sequence:
    base, exponent = operands
    kind = getattr(base, "dtype", np.dtype(int)).kind
    if kind != "f" and isinstance(exponent, int):
        if exponent < 0:
            raise ValueError(
                "integers to negative integer powers are not allowed; make the base floating-point"
            )
        if kind in "iu" and hasattr(base, "dtype") and exponent > np.iinfo(base.dtype).max:
            raise ValueError(f"the exponent {exponent} does not fit into {base.dtype}")
    return promote(operands)


def _integer_power(base: Any, exponent: Any) -> Any:
    """Integers; to a negative power what is left of 1 / base**n after rounding towards zero."""
    if base.dtype.kind == "b":
        if exponent.ndim:
            raise TypeError("is not offered for two booleans")
        return base | ~exponent
    negative = exponent < 0
    if not np.any(negative):
        return base**exponent
    odd = exponent % 2 != 0
    inverse = np.where(base == 1, 1, np.where(base == -1, np.where(odd, -1, 1), 0))
    return np.where(negative, inverse, base ** np.where(negative, 0, exponent)).astype(base.dtype)


_POWERS: dict[float | None, Callable] = {
    0.0: np.ones_like,
    1.0: np.positive,
    0.5: np.sqrt,
    2.0: np.square,
    3.0: lambda x: x * x * x,
    -1.0: np.reciprocal,
    -2.0: lambda x: 1 / (x * x),
    -0.5: lambda x: 1 / np.sqrt(x),
}


@method("pow", "__pow__", reflected="__rpow__")
@differentiable(promote=_exponents)
def pow(input: Any, exponent: Any) -> Any:
    """input ** exponent.

    Raises RuntimeError for an integer to a negative number: the result would not be an integer.

    >>> import minigen
    >>> minigen.tensor([1.0, 2.0, 3.0]) ** 2
    tensor([1., 4., 9.])
    """
    if input.dtype.kind != "f":
        return _integer_power(input, exponent)
    number = exponent if isinstance(exponent, float) else None
    if isinstance(exponent, np.ndarray) and not exponent.ndim:
        number = exponent.item()
    shortcut = _POWERS.get(number)
    if shortcut is None:
        return silent().run(np.power, input, exponent)
    return silent().run(shortcut, input)


def _pow_base(g: Any, input: Any, exponent: Any) -> Any:
    """g n xⁿ⁻¹, and 0 where n = 0, also at x = 0."""
    if not isinstance(exponent, Variable) and not exponent.ndim:
        n = float(exponent)
        return g * (pow(input, n - 1) * n) if n else no_slope(g)
    return g * where(exponent == 0, 0.0, exponent * pow(input, exponent - 1))


def _pow_exponent(g: Any, input: Any, exponent: Any, output: Any) -> Any:
    """g xⁿ log x, and 0 where x = 0 and n >= 0."""
    at_zero = (input == 0) & (exponent >= 0)
    return g * where(at_zero, 0.0, output * log(input))


pow.gradients(input=_pow_base, exponent=_pow_exponent)


# ------------------------------------------------------------------------------------ signs


@method("abs", "absolute", "__abs__")
@differentiable
def abs(input: Any) -> Any:
    """|input|.  Its gradient at 0 is 0.

    >>> import minigen
    >>> minigen.abs(minigen.tensor([-1.0, 2.0]))
    tensor([1., 2.])
    """
    if input.dtype.kind == "b":
        raise TypeError("is not offered for booleans")
    return np.absolute(input)


@method("sign", "sgn")
@differentiable
def sign(input: Any) -> Any:
    """-1, 0 or 1; NaN gives 0, as in PyTorch.

    >>> import minigen
    >>> minigen.sign(minigen.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    if input.dtype.kind == "b":
        return input.copy()
    return np.subtract(input > 0, input < 0, dtype=input.dtype)


abs.gradients(input=lambda g, input: g * sign(input))
sign.gradients(input=lambda g: no_slope(g))


# ----------------------------------------------------------------------------------- bounds


def _larger(g: Any, input: Any, other: Any) -> Any:
    """The gradient of max(input, other) for input: half of it where they tie."""
    return where(input > other, g, where(input == other, g / 2, where(input < other, 0.0, g)))


@method("maximum")
@differentiable(promote=promote_tensors)
def maximum(input: Any, other: Any) -> Any:
    """The larger of each pair; NaN if either is.  Where they tie, each gets half the gradient.

    >>> import minigen
    >>> minigen.maximum(minigen.tensor([1.0, 5.0]), minigen.tensor([3.0, 2.0]))
    tensor([3., 5.])
    """
    return np.maximum(input, other)


maximum.gradients(
    input=lambda g, input, other: _larger(g, input, other),
    other=lambda g, input, other: _larger(g, other, input),
)


@method("minimum")
@differentiable(promote=promote_tensors)
def minimum(input: Any, other: Any) -> Any:
    """The smaller of each pair; NaN if either is.  Where they tie, each gets half the gradient.

    >>> import minigen
    >>> minigen.minimum(minigen.tensor([1.0, 5.0]), minigen.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return np.minimum(input, other)


minimum.gradients(
    input=lambda g, input, other: _larger(g, other, input),
    other=lambda g, input, other: _larger(g, input, other),
)


_NUMBER = (float, int, type(None))


def _bounds(operands: Sequence) -> Sequence:
    input, min, max = operands
    if min is None and max is None:
        raise ValueError("at least one of min and max is needed")
    if input.dtype.kind == "f" and isinstance(min, _NUMBER) and isinstance(max, _NUMBER):
        low = None if min is None else promote((input, min))[1]  # which remembers numbers
        return input, low, None if max is None else promote((input, max))[1]
    given = [v for v in operands if v is not None]
    cast = iter(promote(given))
    return [None if v is None else next(cast) for v in operands]


@differentiable(promote=_bounds)
def _clamp(input: Any, min: Any, max: Any) -> Any:
    raised = input if min is None else np.maximum(input, min)
    return raised if max is None else np.minimum(raised, max)


def _inside(g: Any, input: Any, min: Any, max: Any) -> Any:
    """The gradient reaches the input between the bounds, and on them."""
    if min is None:
        return where(input <= max, g, 0.0)
    if max is None:
        return where(input >= min, g, 0.0)
    return where((input >= min) & (input <= max), g, 0.0)


def _at_min(g: Any, input: Any, min: Any, max: Any) -> Any:
    below = input < min
    return where(below if max is None else below & (min < max), g, 0.0)


def _at_max(g: Any, input: Any, min: Any, max: Any) -> Any:
    above = input > max
    return where(above if min is None else above | (max < min), g, 0.0)


_clamp.gradients(input=_inside, min=_at_min, max=_at_max)


@method("clamp", "clip")
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """min(max(input, min), max): numbers or tensors, None for no bound; `max` wins if min > max.

    The gradient at a bound that is a number is 1.  Raises RuntimeError without any bound.

    >>> import minigen
    >>> minigen.clamp(minigen.tensor([-2.0, 0.5, 3.0]), 0.0, 1.0)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return _clamp(input, min, max)


@method("clamp_min")
def clamp_min(input: Any, min: Any) -> Any:
    """max(input, min): the one-sided `clamp`."""
    return _clamp(input, min, None)


@method("clamp_max")
def clamp_max(input: Any, max: Any) -> Any:
    """min(input, max): the one-sided `clamp`."""
    return _clamp(input, None, max)


absolute, clip, multiply, negative, sgn, subtract = abs, clamp, mul, neg, sign, sub
