"""Convolution and its two companions: the three partial derivatives of one trilinear form.

Let x be (batch, c, X...), w be (o, c, K...) and y be (batch, o, Y...).  With stride s, dilation d
and padding p, everything here follows from one number (summed over all indices n, o, c, i, k):

    T(x, w, y) = Σ y[n, o, i] · x[n, c, s i + d k - p] · w[o, c, k],    x = 0 outside its borders

(i and k are positions, one number a dimension, and s i is taken in each.)  T is linear in each
argument, so each of its partial derivatives depends on the other two arguments alone:

    convolution               Y(x, w) = ∂T/∂y     an output is the inner product of w and a window
    transposed convolution    X(y, w) = ∂T/∂x     each y[i] paints w, times itself, in its window
    weight correlation        W(x, y) = ∂T/∂w     each tap of w meets every window once

and T(x, w, y) = ⟨Y(x, w), y⟩ = ⟨x, X(y, w)⟩ = ⟨w, W(x, y)⟩.  All gradients can be read off it: with
a cotangent g in the place of the output, the rules are the two other partial derivatives,

    of ⟨Y(x, w), g⟩ = T(x, w, g)     to x: X(g, w)      to w: W(x, g)
    of ⟨X(y, w), g⟩ = T(g, w, y)     to y: Y(g, w)      to w: W(g, y)
    of ⟨W(x, y), g⟩ = T(x, g, y)     to x: X(y, g)      to y: Y(x, g)

Three maps, closed under differentiation: derivatives of every order are there.  (Dumoulin and Visin
2016, arXiv:1603.07285, draw the arithmetic.  "Convolution" is, as everywhere in deep learning, a
correlation: w is not flipped.)

How it is computed: channels last.  A window is then a few runs of contiguous memory, one for each
row of the kernel, so that copying all windows side by side (im2col; Chellapilla, Puri and Simard
2006) costs little beside the matrix product that follows.  1x1 kernels need no such copy: their
windows are the pixels.  The transposed convolution makes no im2col buffer either: it multiplies by
one tap of the kernel at a time, and adds the product where that tap lies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.ops import reduction
from minigen.ops.windows import Windows

__all__: list[str] = []


# ------------------------------------------------------------------------- the three maps
# Arrays are (batch, channels, n spatial dimensions), for any n; `size` is the spatial extent of the
# result.  G groups: matrices are stacked along a first dimension, one for each group.


@differentiable
def convolution(input: Any, weight: Any, bias: Any, size: tuple, windows: Windows) -> Any:
    """Y(x, w)[n, o, i] = Σ x[n, c, s i + d k - p] w[o, c, k], plus the bias."""
    if _is_depthwise(weight.shape, windows):
        return _with_bias(_depthwise(input, weight, size, windows), bias)
    patches = _patches(input, size, weight.shape[2:], windows)
    rows = _matmul(patches, _filters(weight, windows.groups).swapaxes(1, 2))
    if bias is not None:
        rows += bias.reshape(windows.groups, 1, -1)
    return _from_rows(rows, input.shape[0], size)


@differentiable
def transposed_convolution(
    input: Any, weight: Any, bias: Any, size: tuple, windows: Windows
) -> Any:
    """X(y, w)[n, c, j] = Σ y[n, o, i] w[o, c, k] over s i + d k - p = j, plus the bias."""
    batch, extent, kernel = input.shape[0], input.shape[2:], weight.shape[2:]
    groups, channels = windows.groups, weight.shape[1]
    reach = zip(windows.span(extent, kernel), windows.padding, size)
    shape = (batch, *(max(span, p + n) for span, p, n in reach), groups * channels)
    canvas = backend.array_module(input).zeros(shape, input.dtype)
    if _is_depthwise(weight.shape, windows):
        _paint_depthwise(input, weight, canvas, windows)
    else:
        rows = _rows(input, groups)
        taps = np.moveaxis(weight.reshape(groups, -1, *weight.shape[1:]), (0, 1, 2), (-3, -2, -1))
        taps = np.ascontiguousarray(taps)  # (kernel, groups, o, c)
        grouped = canvas.reshape(*shape[:-1], groups, channels)
        for tap in np.ndindex(*kernel):
            painted = _matmul(rows, taps[tap]).reshape(groups, batch, *extent, channels)
            region = grouped[(slice(None), *windows.places(tap, extent))]
            np.add(region, np.moveaxis(painted, 0, -2), out=region)
    return _with_bias(canvas[(slice(None), *windows.inside(size))], bias)


@differentiable
def weight_correlation(input: Any, output_gradient: Any, size: tuple, windows: Windows) -> Any:
    """W(x, y)[o, c, k] = Σ y[n, o, i] x[n, c, s i + d k - p]."""
    shape = (output_gradient.shape[1], input.shape[1] // windows.groups, *size)
    if _is_depthwise(shape, windows):
        return _depthwise_filters(input, output_gradient, shape, windows)
    rows = _rows(output_gradient, windows.groups).swapaxes(1, 2)
    filters = _matmul(rows, _patches(input, output_gradient.shape[2:], size, windows))
    filters = filters.reshape(shape[0], *size, shape[1])
    return np.ascontiguousarray(np.moveaxis(filters, -1, 1))


def _sum_positions(g: Any) -> Any:
    """The gradient of a bias: it was added to every position of every example."""
    return reduction.sum(g, (0, *range(2, g.ndim)))


convolution.gradients(
    input=lambda g, weight, input_shape, windows: transposed_convolution(
        g, weight, None, input_shape[2:], windows
    ),
    weight=lambda g, input, weight_shape, windows: weight_correlation(
        input, g, weight_shape[2:], windows
    ),
    bias=_sum_positions,
)
transposed_convolution.gradients(
    input=lambda g, weight, input_shape, windows: convolution(
        g, weight, None, input_shape[2:], windows
    ),
    weight=lambda g, input, weight_shape, windows: weight_correlation(
        g, input, weight_shape[2:], windows
    ),
    bias=_sum_positions,
)
weight_correlation.gradients(
    input=lambda g, output_gradient, input_shape, windows: transposed_convolution(
        output_gradient, g, None, input_shape[2:], windows
    ),
    output_gradient=lambda g, input, output_gradient_shape, windows: convolution(
        input, g, None, output_gradient_shape[2:], windows
    ),
)


# ------------------------------------------------------------------ by matrix products


def _patches(input: Any, size: tuple, kernel: tuple, windows: Windows) -> Any:
    """All windows side by side (im2col): (groups, batch · positions, taps · c)."""
    groups = windows.groups
    last = _padded_last(input, size, kernel, windows)
    batch, channels = last.shape[0], last.shape[-1] // groups
    example, *steps, element = last.strides
    module = backend.array_module(input)
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
    return np.ascontiguousarray(view).reshape(groups, rows, columns)


def _filters(weight: Any, groups: int) -> Any:
    """(o, c, kernel) -> (groups, o of a group, taps · c), in the order of a patch."""
    last = np.ascontiguousarray(np.moveaxis(weight, 1, -1))
    return last.reshape(groups, weight.shape[0] // groups, math.prod(last.shape[1:]))


def _rows(output: Any, groups: int) -> Any:
    """(batch, o, positions) -> (groups, batch · positions, o of a group)."""
    batch, channels, *size = output.shape
    split = output.reshape(batch, groups, channels // groups, math.prod(size))
    rows = np.ascontiguousarray(split.transpose(1, 0, 3, 2))
    return rows.reshape(groups, batch * math.prod(size), channels // groups)


def _from_rows(rows: Any, batch: int, size: tuple) -> Any:
    """The inverse of `_rows`."""
    groups, _, channels = rows.shape
    split = rows.reshape(groups, batch, math.prod(size), channels)
    output = np.ascontiguousarray(split.transpose(1, 0, 3, 2))
    return output.reshape(batch, groups * channels, *size)


def _matmul(a: Any, b: Any) -> Any:
    """The product of each group's matrices; a single group is a plain matrix product."""
    if a.shape[0] == 1:
        return backend.kernel("matmul", a[0], b[0])[None]
    return backend.kernel("matmul", a, b)


def _padded_last(input: Any, size: tuple, kernel: tuple, windows: Windows) -> Any:
    """The padded input, contiguous, channels last."""
    span = windows.span(size, kernel)
    return np.ascontiguousarray(windows.padded(np.moveaxis(input, 1, -1), span, first=1))


def _with_bias(last: Any, bias: Any) -> Any:
    """Channels first again; the bias is added in place."""
    if bias is not None:
        last += bias
    return np.ascontiguousarray(np.moveaxis(last, -1, 1))


# ------------------------------------------------------------------ one filter a channel
# Without a sum over channels there is no matrix product: taps times pixels, element by element.


def _is_depthwise(weight_shape: tuple, windows: Windows) -> bool:
    return weight_shape[1] == 1 and weight_shape[0] == windows.groups > 1


def _depthwise(input: Any, weight: Any, size: tuple, windows: Windows) -> Any:
    """Y(x, w), channels last."""
    padded = _padded_last(input, size, weight.shape[2:], windows)
    taps = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))
    output = np.zeros_like(padded, shape=(input.shape[0], *size, input.shape[1]))
    product = np.empty_like(output)
    for tap in np.ndindex(*weight.shape[2:]):
        np.multiply(padded[(slice(None), *windows.places(tap, size))], taps[tap], out=product)
        output += product
    return output


def _paint_depthwise(input: Any, weight: Any, canvas: Any, windows: Windows) -> None:
    """Add X(y, w), channels last, to the canvas."""
    last = np.ascontiguousarray(np.moveaxis(input, 1, -1))
    taps = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))
    product = np.empty_like(last)
    for tap in np.ndindex(*weight.shape[2:]):
        region = canvas[(slice(None), *windows.places(tap, input.shape[2:]))]
        np.add(region, np.multiply(last, taps[tap], out=product), out=region)


def _depthwise_filters(input: Any, output_gradient: Any, shape: tuple, windows: Windows) -> Any:
    """W(x, y)."""
    kernel, size = shape[2:], output_gradient.shape[2:]
    padded = _padded_last(input, size, kernel, windows)
    last = np.ascontiguousarray(np.moveaxis(output_gradient, 1, -1))
    filters = np.empty_like(last, shape=shape)
    product = np.empty_like(last)
    for tap in np.ndindex(*kernel):
        np.multiply(padded[(slice(None), *windows.places(tap, size))], last, out=product)
        filters[(slice(None), 0, *tap)] = product.reshape(-1, shape[0]).sum(0)
    return filters
