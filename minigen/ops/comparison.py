"""Comparisons, logic and bits, and the choice between two tensors.

Their results are booleans (or integers), which no gradient goes through; `where` is the exception.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.autograd import Variable, differentiable, wrap
from minigen.backend import silent
from minigen.devices import on_gpu
from minigen.dtypes import (
    number,
    promote,
    promote_beside_gpu,
    promote_tensors,
    result_type,
    tensors_only,
)
from minigen.tensor import method

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
    "where",
]


def _comparison(name: str, alias: str | None, symbol: str, function: Callable) -> Any:
    """An operation of two arguments, attached as methods and as an operator."""

    def forward(input: Any, other: Any) -> Any:
        return function(input, other)

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = f"""input {symbol} other, element by element, in their common dtype.

    >>> import minigen
    >>> minigen.{name}(minigen.tensor([1, 2, 3]), 2).tolist()
    {function([1, 2, 3], 2).tolist()}
    """
    operation = differentiable(promote=promote)(forward)

    def operator(self: Any, other: Any) -> Any:
        if isinstance(other, _COMPARABLE) or hasattr(other, "dtype"):
            return operation(self, other)
        return NotImplemented  # Python then says False to ==, True to !=, TypeError to <

    return method(*([name, alias] if alias else [name]))(operation), operator


_COMPARABLE = (int, float, Variable)

eq, _eq = _comparison("eq", None, "==", np.equal)
ne, _ne = _comparison("ne", "not_equal", "!=", np.not_equal)
lt, _lt = _comparison("lt", "less", "<", np.less)
le, _le = _comparison("le", "less_equal", "<=", np.less_equal)
gt, _gt = _comparison("gt", "greater", ">", np.greater)
ge, _ge = _comparison("ge", "greater_equal", ">=", np.greater_equal)
method("__eq__")(_eq)
method("__ne__")(_ne)
method("__lt__")(_lt)
method("__le__")(_le)
method("__gt__")(_gt)
method("__ge__")(_ge)
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


# ------------------------------------------------------------------------------------ where


def _branches(operands: Sequence) -> Sequence:
    condition, input, other = operands
    if getattr(condition, "dtype", None) != np.bool_:
        given = getattr(condition, "dtype", type(condition).__name__)
        raise ValueError(f"the condition must be a boolean tensor, not {given}; use x != 0")
    if not hasattr(input, "dtype") and not hasattr(other, "dtype"):
        common = result_type(input, other)
        return condition, number(input, common), number(other, common)
    if on_gpu(condition):
        return condition, *promote_beside_gpu((input, other), result_type(input, other))
    return condition, *promote((input, other))


@differentiable(promote=_branches)
def _where(condition: Any, input: Any, other: Any) -> Any:
    return np.where(condition, input, other)


_where.gradients(
    input=lambda g, condition: _where(condition, g, 0.0),
    other=lambda g, condition: _where(condition, 0.0, g),
)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where the condition holds, other elsewhere; tensors or numbers.

    `where(condition)` alone gives the indices at which it holds, a tensor for each dimension.
    Raises RuntimeError for a condition that is not boolean.

    >>> import minigen
    >>> x = minigen.tensor([-1.0, 2.0])
    >>> minigen.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        return tuple(wrap(index) for index in np.nonzero(condition.array))
    return _where(condition, input, other)


@method("where")
def _where_method(self: Any, condition: Any, other: Any) -> Any:
    """This tensor where the condition holds, other elsewhere."""
    return _where(condition, self, other)


# --------------------------------------------------------------------------- logic and bits


@method("logical_and")
@differentiable(promote=promote_tensors)
def logical_and(input: Any, other: Any) -> Any:
    """Whether both are nonzero.

    >>> import minigen
    >>> minigen.logical_and(minigen.tensor([1.0, 0.0]), minigen.tensor([2.0, 3.0]))
    tensor([ True, False])
    """
    return np.logical_and(input, other)


@method("logical_or")
@differentiable(promote=promote_tensors)
def logical_or(input: Any, other: Any) -> Any:
    """Whether one of them is nonzero."""
    return np.logical_or(input, other)


@method("logical_xor")
@differentiable(promote=promote_tensors)
def logical_xor(input: Any, other: Any) -> Any:
    """Whether exactly one of them is nonzero."""
    return np.logical_xor(input, other)


@method("logical_not")
@differentiable
def logical_not(input: Any) -> Any:
    """Whether it is zero."""
    return np.logical_not(input)


@method("bitwise_and", "__and__", reflected="__rand__")
@differentiable(promote=promote)
def bitwise_and(input: Any, other: Any) -> Any:
    """input & other, of integers or booleans.

    >>> import minigen
    >>> minigen.tensor([6, 7]) & 3
    tensor([2, 3])
    """
    return np.bitwise_and(input, other)


@method("bitwise_or", "__or__", reflected="__ror__")
@differentiable(promote=promote)
def bitwise_or(input: Any, other: Any) -> Any:
    """input | other, of integers or booleans."""
    return np.bitwise_or(input, other)


@method("bitwise_xor", "__xor__", reflected="__rxor__")
@differentiable(promote=promote)
def bitwise_xor(input: Any, other: Any) -> Any:
    """input ^ other, of integers or booleans."""
    return np.bitwise_xor(input, other)


@method("bitwise_not", "__invert__")
@differentiable
def bitwise_not(input: Any) -> Any:
    """~input, of integers or booleans."""
    return np.bitwise_not(input)


@method("bitwise_left_shift", "__lshift__", reflected="__rlshift__")
@differentiable(promote=promote)
def bitwise_left_shift(input: Any, other: Any) -> Any:
    """input << other, of integers."""
    return np.left_shift(input, other)


@method("bitwise_right_shift", "__rshift__", reflected="__rrshift__")
@differentiable(promote=promote)
def bitwise_right_shift(input: Any, other: Any) -> Any:
    """input >> other, of integers; the sign is kept."""
    return np.right_shift(input, other)


# ---------------------------------------------------------------------------- kinds of number


@method("isnan")
@differentiable
def isnan(input: Any) -> Any:
    """Whether each element is NaN.

    >>> import minigen
    >>> minigen.isnan(minigen.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return np.isnan(input)


@method("isinf")
@differentiable
def isinf(input: Any) -> Any:
    """Whether each element is an infinity, of either sign."""
    return np.isinf(input)


@method("isfinite")
@differentiable
def isfinite(input: Any) -> Any:
    """Whether each element is neither NaN nor an infinity."""
    return np.isfinite(input)


# -------------------------------------------------------------------------------- closeness


@tensors_only
def _one_dtype(operands: Sequence) -> Sequence:
    if operands[0].dtype != operands[1].dtype:
        raise ValueError(f"input is {operands[0].dtype}, but other is {operands[1].dtype}")
    return operands


@method("isclose")
@differentiable(promote=_one_dtype)
def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """|input - other| <= atol + rtol * |other|, or equal infinities, or (equal_nan) both NaN.

    Raises RuntimeError unless both have the same dtype.

    >>> import minigen
    >>> minigen.isclose(minigen.tensor([1.0, 2.0]), minigen.tensor([1.000001, 2.1]))
    tensor([ True, False])
    """
    if rtol < 0 or atol < 0:
        raise ValueError(f"rtol and atol cannot be negative, got {rtol} and {atol}")
    if input.dtype.kind == "b":
        return input == other

    def compare() -> Any:
        gap = np.abs(input - other)
        close = np.isfinite(gap) & (gap <= atol + rtol * np.abs(other))
        return close | (input == other) | (equal_nan & np.isnan(input) & np.isnan(other))

    return silent().run(compare)


@method("allclose")
def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere: a Python bool.

    >>> import minigen
    >>> minigen.allclose(minigen.ones(3), minigen.ones(3) + 1e-7)
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


@method("equal")
def equal(input: Any, other: Any) -> bool:
    """Whether both have the same shape and the same elements: a Python bool.

    >>> import minigen
    >>> minigen.equal(minigen.tensor([1, 2]), minigen.tensor([1, 2]))
    True
    """
    for value in (input, other):
        if not isinstance(value, Variable):
            raise TypeError(f"equal: expects tensors, got {value!r}")
    return input.array.shape == other.array.shape and bool((input.array == other.array).all())
