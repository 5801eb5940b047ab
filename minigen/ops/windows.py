"""Where windows lie: sizes, strides and padding, shared by convolution, pooling and unfold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigen.backend import Windows
from minigen.errors import ShapeError

__all__ = ["Windows", "batched", "per_dimension", "require", "window_count"]


def require(condition: bool, message: str) -> None:
    """Raise ShapeError with this message unless the condition holds."""
    if not condition:
        raise ShapeError(message)


def per_dimension(value: Any, n: int, name: str, least: int = 1) -> tuple[int, ...]:
    """`value` for each of `n` dimensions, given as one integer or as a sequence of 1 or n of them.

    Raises ShapeError if a value is less than `least`, or if there are not n of them.

    >>> per_dimension(2, 2, "stride"), per_dimension((1, 3), 2, "stride")
    ((2, 2), (1, 3))
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * n
    values = values * n if len(values) == 1 else values
    integers = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    require(
        integers and len(values) == n and all(v >= least for v in values),
        f"{name} must be an integer, or {n} of them, each at least {least}; got {value!r}",
    )
    return values


def batched(name: str, n: int, input: Any) -> bool:
    """Whether `input` is (batch, channels, n spatial dimensions); False if the batch is missing.

    Raises ShapeError for any other number of dimensions.
    """
    shape = tuple(input.shape)
    require(
        len(shape) in (n + 1, n + 2),
        f"{name}: input must be (batch, channels, {n} spatial) or (channels, {n} spatial), "
        f"{n + 2} or {n + 1} dimensions; got shape {shape}",
    )
    return len(shape) == n + 2


def window_count(extent: int, padding: int, reach: int, stride: int, ceil: bool = False) -> int:
    """How many windows that reach over `reach` elements fit into a padded extent.

    padding: before and after together.  With `ceil` the last window may stick out at the end.
    """
    rest = extent + padding - reach
    return (rest + stride - 1 if ceil else rest) // stride + 1
