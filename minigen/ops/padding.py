"""Padding: more elements at the borders.

With zeros (or another constant) it is an operation of its own, whose gradient is padding by the
negative widths, which cuts off.  The other modes repeat elements of the input: their gradient is
the sum over the copies of each element.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.errors import ShapeError
from minigen.ops.indexing import take

__all__ = ["pad"]


@differentiable
def _pad(input: Any, widths: tuple, value: float) -> Any:
    """`value` before and after the input; a negative width cuts off.

    widths: (before, after) of each dimension.
    """
    kept = tuple(
        slice(max(0, -before), n - max(0, -after))
        for n, (before, after) in zip(input.shape, widths)
    )
    if all(before <= 0 and after <= 0 for before, after in widths):
        return input[kept].copy()
    shape = tuple(n + before + after for n, (before, after) in zip(input.shape, widths))
    output = backend.array_module(input).full(shape, value, input.dtype)
    inside = tuple(
        slice(max(0, before), n - max(0, after)) for n, (before, after) in zip(shape, widths)
    )
    output[inside] = input[kept]
    return output


_pad.gradients(
    input=lambda g, widths: _pad(g, tuple((-before, -after) for before, after in widths), 0.0)
)


def _sources(mode: str, n: int, before: int, after: int) -> Any:
    """Which element of n stands at each place of the padded dimension."""
    places = np.arange(-before, n + after)
    if mode == "circular":
        return places % n
    if mode == "replicate":
        return places.clip(0, n - 1)
    return n - 1 - abs(n - 1 - abs(places))  # reflected at both borders, which are not repeated


def _check(mode: str, n: int, before: int, after: int) -> None:
    longest = max(before, after)
    if mode == "reflect" and longest >= n:
        raise ShapeError(
            f"pad: reflecting a dimension of {n} gives at most {n - 1} more, not {longest}"
        )
    if mode == "circular" and longest > n:
        raise ShapeError(
            f"pad: going round a dimension of {n} once gives at most {n} more, not {longest}"
        )
    if n == 0:
        raise ShapeError(f"pad: mode {mode!r} repeats elements, but a dimension has none")


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """More elements at both ends of the last dimensions.

    pad:  (before, after) of the last dimension, then of the one before it, and so on; negative
          widths cut off.
    mode: "constant"   `value`, 0 unless given              0 0|1 2 3|0 0
          "reflect"    mirrored at the border element       3 2|1 2 3|2 1
          "replicate"  the border element again             1 1|1 2 3|3 3
          "circular"   from the other end                   2 3|1 2 3|1 2
          The last three take (batch, channels, n spatial dimensions), or no batch, and pad all n.
    Returns a new tensor.  Raises ShapeError where the widths do not fit the mode or the shape.

    >>> import minigen
    >>> pad(minigen.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    widths = [index(w) for w in pad]
    shape = tuple(input.shape)
    if len(widths) % 2 or len(widths) > 2 * len(shape):
        raise ShapeError(
            f"pad: widths come in pairs, at most {len(shape)} for shape {shape}; got {tuple(pad)}"
        )
    pairs = [(0, 0)] * (len(shape) - len(widths) // 2)
    pairs += list(zip(widths[-2::-2], widths[-1::-2]))
    for n, (before, after) in zip(shape, pairs):
        if n + before + after < 0 or n + min(before, 0) + min(after, 0) < 0:
            raise ShapeError(f"pad: widths {tuple(pad)} cut off more than there is of {shape}")
    if mode == "constant":
        return _pad(input, tuple(pairs), 0.0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise ShapeError(
            f"pad: mode {mode!r} is none of 'constant', 'reflect', 'replicate', 'circular'"
        )
    if value:
        raise ShapeError(f"pad: mode {mode!r} takes no value, got {value}")
    spatial = len(widths) // 2
    if not 1 <= spatial <= 3 or len(shape) not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"pad: mode {mode!r} pads all spatial dimensions of (batch, channels, ...) or "
            f"(channels, ...); {len(widths)} widths do not fit shape {shape}"
        )
    for dim in range(len(shape) - spatial, len(shape)):
        before, after = pairs[dim]
        _check(mode, shape[dim], before, after)
        if before or after:
            input = take(input, dim, _sources(mode, shape[dim], before, after))
    return input
