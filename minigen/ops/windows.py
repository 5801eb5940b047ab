"""Where windows lie: sizes, strides and padding, shared by convolution, pooling and unfold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minigen import backend
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


class Windows(NamedTuple):
    """Windows over n dimensions: tap t of window i is at  stride * i + dilation * t - padding."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]  # before the first element; how much is after follows from the sizes
    dilation: tuple[int, ...]
    groups: int = 1  # of channels, each with filters of its own (convolution only)

    def span(self, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """Elements from the first tap of the first window to the last tap of the last."""
        steps = zip(size, kernel, self.stride, self.dilation)
        return tuple((o - 1) * s + (k - 1) * d + 1 for o, k, s, d in steps)

    def places(self, tap: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
        """The elements of a padded array that one tap meets in all windows."""
        steps = zip(tap, size, self.stride, self.dilation)
        return tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, o, s, d in steps)

    def inside(self, extent: Sequence[int]) -> tuple[slice, ...]:
        """Where the unpadded array lies in the padded one."""
        return tuple(slice(p, p + n) for p, n in zip(self.padding, extent))

    def padded(self, input: Any, span: Sequence[int], first: int, value: float = 0) -> Any:
        """`input` between `value`s, cut or filled to `span` elements in dimensions from `first` on.

        It is the input itself where nothing has to be added.
        """
        n = len(span)
        extent = input.shape[first : first + n]
        kept = [min(e, s - p) for e, s, p in zip(extent, span, self.padding)]
        source = input[(slice(None),) * first + tuple(slice(0, max(k, 0)) for k in kept)]
        if not any(self.padding) and tuple(kept) == tuple(span):
            return source
        shape = (*input.shape[:first], *span, *input.shape[first + n :])
        buffer = backend.array_module(input).full(shape, value, input.dtype)
        buffer[(slice(None),) * first + self.inside(source.shape[first : first + n])] = source
        return buffer
