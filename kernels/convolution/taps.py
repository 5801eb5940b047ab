"""Convolution and its two companions by NumPy alone, for any number of spatial dimensions.

Channels last: a window is then a few runs of contiguous memory, one for each row of the kernel, so
that copying all windows side by side (im2col; Chellapilla, Puri and Simard 2006) costs little
beside the matrix product that follows. The transposed convolution makes no such copy: it multiplies
by one tap of the kernel at a time, and adds the product where that tap lies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .products import matmul
from .windows import Windows, contiguous, is_depthwise, module_of

Array = Any


def convolution_taps(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """y[n, o, i] = bias[o] + Σ x[n, c, s i + d k - p] w[o, c, k].

    >>> x, w = np.ones((1, 1, 5)), np.array([[[1.0, 2.0]]])
    >>> convolution_taps(x, w, None, (3,), Windows((2,), (1,), (1,)))
    array([[[2., 3., 3.]]])
    """
    if is_depthwise(weight.shape, windows):
        return _with_bias(_depthwise(input, weight, size, windows), bias)
    patches = _patches(input, size, weight.shape[2:], windows)
    rows = _matmul(patches, _filters(weight, windows.groups).swapaxes(1, 2))
    if bias is not None:
        rows += bias.reshape(windows.groups, 1, -1)
    return _from_rows(rows, input.shape[0], size)


def transposed_convolution_taps(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """x[n, c, j] = bias[c] + Σ y[n, o, i] w[o, c, k] over all i and k with s i + d k - p = j.

    >>> y, w = np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 3.0]]])
    >>> transposed_convolution_taps(y, w, None, (5,), Windows((2,), (0,), (1,)))
    array([[[ 1.,  2., 13., 20., 30.]]])
    """
    batch, extent, kernel = input.shape[0], input.shape[2:], weight.shape[2:]
    groups, channels = windows.groups, weight.shape[1]
    shape = (batch, *windows.canvas(size, extent, kernel), groups * channels)
    canvas = module_of(input).zeros(shape, input.dtype)
    if is_depthwise(weight.shape, windows):
        _paint_depthwise(input, weight, canvas, windows)
    else:
        rows = _rows(input, groups)
        taps = np.moveaxis(weight.reshape(groups, -1, *weight.shape[1:]), (0, 1, 2), (-3, -2, -1))
        taps = contiguous(taps)  # (kernel, groups, o, c)
        grouped = canvas.reshape(*shape[:-1], groups, channels)
        for tap in np.ndindex(*kernel):
            painted = _matmul(rows, taps[tap]).reshape(groups, batch, *extent, channels)
            region = grouped[(slice(None), *windows.places(tap, extent))]
            np.add(region, np.moveaxis(painted, 0, -2), out=region)
    return _with_bias(canvas[(slice(None), *windows.inside(size))], bias)


def weight_correlation_taps(
    input: Array, output_gradient: Array, size: tuple[int, ...], windows: Windows
) -> Array:
    """w[o, c, k] = Σ y[n, o, i] x[n, c, s i + d k - p] over all examples n and positions i.

    >>> x, y = np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, 10.0]]])
    >>> weight_correlation_taps(x, y, (2,), Windows((1,), (0,), (1,)))
    array([[[21., 42.]]])
    """
    shape = (output_gradient.shape[1], input.shape[1] // windows.groups, *size)
    if is_depthwise(shape, windows):
        return _depthwise_filters(input, output_gradient, shape, windows)
    rows = _rows(output_gradient, windows.groups).swapaxes(1, 2)
    filters = _matmul(rows, _patches(input, output_gradient.shape[2:], size, windows))
    filters = filters.reshape(shape[0], *size, shape[1])
    return contiguous(np.moveaxis(filters, -1, 1))


# ------------------------------------------------------------------ by matrix products


def _patches(input: Any, size: tuple, kernel: tuple, windows: Windows) -> Any:
    """All windows side by side (im2col): (groups, batch · positions, taps · c)."""
    groups = windows.groups
    last = _padded_last(input, size, kernel, windows)
    batch, channels = last.shape[0], last.shape[-1] // groups
    example, *steps, element = last.strides
    module = module_of(input)
    view = module.lib.stride_tricks.as_strided(
        last,
        (groups, batch, *size, *kernel, channels),
        (
            channels * element,
            example,
            *(step * s for step, s in zip(steps, windows.stride)),
            *(step * d for step, d in zip(steps, windows.dilation)),
            element,
        ),
    )
    rows, columns = batch * math.prod(size), math.prod(kernel) * channels
    return contiguous(view).reshape(groups, rows, columns)


def _filters(weight: Any, groups: int) -> Any:
    """(o, c, kernel) -> (groups, o of a group, taps · c), in the order of a patch."""
    last = contiguous(np.moveaxis(weight, 1, -1))
    return last.reshape(groups, weight.shape[0] // groups, math.prod(last.shape[1:]))


def _rows(output: Any, groups: int) -> Any:
    """(batch, o, positions) -> (groups, batch · positions, o of a group)."""
    batch, channels, *size = output.shape
    split = output.reshape(batch, groups, channels // groups, math.prod(size))
    rows = contiguous(split.transpose(1, 0, 3, 2))
    return rows.reshape(groups, batch * math.prod(size), channels // groups)


def _from_rows(rows: Any, batch: int, size: tuple) -> Any:
    """The inverse of `_rows`."""
    groups, _, channels = rows.shape
    split = rows.reshape(groups, batch, math.prod(size), channels)
    output = contiguous(split.transpose(1, 0, 3, 2))
    return output.reshape(batch, groups * channels, *size)


def _matmul(a: Any, b: Any) -> Any:
    """The product of each group's matrices; a single group is a plain matrix product."""
    if a.shape[0] == 1:
        return matmul(a[0], b[0])[None]
    return matmul(a, b)


def _padded_last(input: Any, size: tuple, kernel: tuple, windows: Windows) -> Any:
    """The padded input, contiguous, channels last."""
    span = windows.span(size, kernel)
    return contiguous(windows.padded(np.moveaxis(input, 1, -1), span, first=1))


def _with_bias(last: Any, bias: Any) -> Any:
    """Channels first again; the bias is added in place."""
    if bias is not None:
        last += bias
    return contiguous(np.moveaxis(last, -1, 1))


# ------------------------------------------------------------------ one filter a channel
# Without a sum over channels there is no matrix product: taps times pixels, element by element.


def _depthwise(input: Any, weight: Any, size: tuple, windows: Windows) -> Any:
    """Y(x, w), channels last."""
    padded = _padded_last(input, size, weight.shape[2:], windows)
    taps = contiguous(np.moveaxis(weight[:, 0], 0, -1))
    output = np.zeros_like(padded, shape=(input.shape[0], *size, input.shape[1]))
    product = np.empty_like(output)
    for tap in np.ndindex(*weight.shape[2:]):
        np.multiply(padded[(slice(None), *windows.places(tap, size))], taps[tap], out=product)
        output += product
    return output


def _paint_depthwise(input: Any, weight: Any, canvas: Any, windows: Windows) -> None:
    """Add X(y, w), channels last, to the canvas."""
    last = contiguous(np.moveaxis(input, 1, -1))
    taps = contiguous(np.moveaxis(weight[:, 0], 0, -1))
    product = np.empty_like(last)
    for tap in np.ndindex(*weight.shape[2:]):
        region = canvas[(slice(None), *windows.places(tap, input.shape[2:]))]
        np.add(region, np.multiply(last, taps[tap], out=product), out=region)


def _depthwise_filters(input: Any, output_gradient: Any, shape: tuple, windows: Windows) -> Any:
    """W(x, y)."""
    kernel, size = shape[2:], output_gradient.shape[2:]
    padded = _padded_last(input, size, kernel, windows)
    last = contiguous(np.moveaxis(output_gradient, 1, -1))
    filters = np.empty_like(last, shape=shape)
    product = np.empty_like(last)
    for tap in np.ndindex(*kernel):
        np.multiply(padded[(slice(None), *windows.places(tap, size))], last, out=product)
        filters[(slice(None), 0, *tap)] = product.reshape(-1, shape[0]).sum(0)
    return filters
