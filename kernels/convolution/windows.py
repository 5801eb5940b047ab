"""Where windows lie in an array: stride, padding, dilation; and the zeros around them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = Any


class Windows(NamedTuple):
    """Windows over n dimensions: tap t of window i is at  stride * i + dilation * t - padding.

    >>> windows = Windows(stride=(2,), padding=(1,), dilation=(1,))
    >>> windows.span((3,), (4,))
    (8,)
    """

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

    def padded(self, input: Array, span: Sequence[int], first: int, value: float = 0) -> Array:
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
        buffer = module_of(input).full(shape, value, input.dtype)
        buffer[(slice(None),) * first + self.inside(source.shape[first : first + n])] = source
        return buffer

    def canvas(
        self, extent: Sequence[int], size: Sequence[int], kernel: Sequence[int]
    ) -> tuple[int, ...]:
        """The extent of a padded array that holds all windows and all of the unpadded array."""
        reach = zip(self.span(size, kernel), self.padding, extent)
        return tuple(max(span, p + n) for span, p, n in reach)

    def numbers(self) -> tuple[int, ...]:
        """Stride, padding and dilation in a row, as compiled loops take them."""
        return (*self.stride, *self.padding, *self.dilation)


def is_depthwise(weight_shape: Sequence[int], windows: Windows) -> bool:
    """Whether every channel has one filter of its own.

    >>> is_depthwise((4, 1, 3, 3), Windows((1, 1), (1, 1), (1, 1), groups=4))
    True
    """
    return weight_shape[1] == 1 and weight_shape[0] == windows.groups > 1


def contiguous(array: Array) -> Array:
    """The same values in C order: the array itself, or a copy; wherever it is."""
    return np.ascontiguousarray(array, like=array)


def module_of(array: Array) -> Any:
    """The module whose functions make arrays like this one: numpy or cupy."""
    return sys.modules[type(array).__module__.partition(".")[0]]
