"""Unfold and fold: all windows of an image as columns, and their sum back into an image.

The two are adjoint, ⟨unfold(x), y⟩ = ⟨x, fold(y)⟩, and so each is the other's gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.ops.shape import reshape
from minigen.ops.windows import Windows, batched, per_dimension, require, window_count

__all__ = ["fold", "unfold"]


@differentiable
def _unfold(input: Any, kernel: tuple, size: tuple, windows: Windows) -> Any:
    """(batch, channels, extent) -> (batch, channels · taps, positions)."""
    padded = windows.padded(input, windows.span(size, kernel), first=2)
    columns = np.empty_like(padded, shape=(*input.shape[:2], *kernel, *size))
    for tap in np.ndindex(*kernel):
        columns[(slice(None), slice(None), *tap)] = padded[(..., *windows.places(tap, size))]
    return columns.reshape(input.shape[0], input.shape[1] * math.prod(kernel), math.prod(size))


@differentiable
def _fold(input: Any, extent: tuple, kernel: tuple, size: tuple, windows: Windows) -> Any:
    """(batch, channels · taps, positions) -> (batch, channels, extent)."""
    batch, channels = input.shape[0], input.shape[1] // math.prod(kernel)
    columns = input.reshape(batch, channels, *kernel, *size)
    reach = zip(windows.span(size, kernel), windows.padding, extent)
    shape = (batch, channels, *(max(span, p + n) for span, p, n in reach))
    canvas = backend.array_module(input).zeros(shape, input.dtype)
    for tap in np.ndindex(*kernel):
        region = canvas[(..., *windows.places(tap, size))]
        region += columns[(slice(None), slice(None), *tap)]
    return np.ascontiguousarray(canvas[(..., *windows.inside(extent))], like=canvas)


_unfold.gradients(
    input=lambda g, input_shape, kernel, size, windows: _fold(
        g, input_shape[2:], kernel, size, windows
    )
)
_fold.gradients(input=lambda g, kernel, size, windows: _unfold(g, kernel, size, windows))


def _plan(
    name: str,
    extent: tuple,
    kernel_size: Any,
    dilation: Any,
    padding: Any,
    stride: Any,
) -> tuple[tuple, tuple, Windows]:
    """Kernel, number of windows along each dimension, and where they lie."""
    kernel = per_dimension(kernel_size, 2, f"{name}: kernel_size")
    windows = Windows(
        per_dimension(stride, 2, f"{name}: stride"),
        per_dimension(padding, 2, f"{name}: padding", 0),
        per_dimension(dilation, 2, f"{name}: dilation"),
    )
    reach = windows.span((1, 1), kernel)
    size = tuple(
        window_count(n, 2 * p, r, s)
        for n, p, r, s in zip(extent, windows.padding, reach, windows.stride)
    )
    require(
        min(size) > 0,
        f"{name}: the kernel reaches over {reach}, more than the padded image of "
        f"{tuple(n + 2 * p for n, p in zip(extent, windows.padding))}",
    )
    return kernel, size, windows


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Every window of an image as a column (im2col).

    input: (batch, channels, height, width), or without batch.
    Returns (batch, channels·taps, windows): the taps of a window in row-major order within each
    channel, the windows in row-major order over the image.  Raises ShapeError if none fits.

    >>> import minigen
    >>> unfold(minigen.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), 2)
    tensor([[1., 2.],
            [2., 3.],
            [4., 5.],
            [5., 6.]])
    """
    alone = not batched("unfold", 2, input)
    if alone:
        input = reshape(input, (1, *input.shape))
    require(min(input.shape[1:]) > 0, f"unfold: input {tuple(input.shape)} is empty")
    output = _unfold(
        input, *_plan("unfold", input.shape[2:], kernel_size, dilation, padding, stride)
    )
    return reshape(output, output.shape[1:]) if alone else output


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Add every column into the window of the image that `unfold` took it from (col2im).

    input:       (batch, channels·taps, windows), or without batch.
    output_size: (height, width) of the image.
    Returns (batch, channels, height, width).  Raises ShapeError if an image of that size has some
    other number of columns, or of rows.

    >>> import minigen
    >>> fold(minigen.ones(4, 2), (2, 3), 2)
    tensor([[[1., 2., 1.],
             [1., 2., 1.]]])
    """
    shape = tuple(input.shape)
    require(
        len(shape) in (2, 3) and min(shape[-2:]) > 0,
        f"fold: input must be (batch, channels · taps, windows), or without batch; got {shape}",
    )
    alone = len(shape) == 2
    if alone:
        input = reshape(input, (1, *shape))
    extent = per_dimension(output_size, 2, "fold: output_size")
    kernel, size, windows = _plan("fold", extent, kernel_size, dilation, padding, stride)
    taps, count = math.prod(kernel), math.prod(size)
    require(
        shape[-2] % taps == 0,
        f"fold: input {shape} has {shape[-2]} rows, no multiple of the {taps} taps",
    )
    require(
        shape[-1] == count,
        f"fold: input {shape} has {shape[-1]} columns, an image of {extent} has {count} windows",
    )
    output = _fold(input, extent, kernel, size, windows)
    return reshape(output, output.shape[1:]) if alone else output
