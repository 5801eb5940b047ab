"""One filter a channel: a convolution without a sum over channels, hence without a matrix product.

What is left is element by element, so the channels of a pixel lie side by side and fill a vector
(`loops`). MobileNets (Howard et al. 2017, arXiv:1704.04861) are made of these.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import parallel
from ..jit import contiguous
from .loops import depthwise_filters, depthwise_inputs, depthwise_outputs
from .windows import Windows

Array = Any

PART = 2**20  # multiplications that are worth a second core


def convolution_depthwise(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """y[n, c, i] = bias[c] + Σ x[n, c, s i + d k - p] w[c, 0, k], for images."""
    batch, channels = input.shape[:2]
    y = np.empty((batch, channels, *size), input.dtype)
    taps, offset = _taps(weight), _offset(bias, channels, input.dtype)

    def part(images: slice) -> None:
        canvas = np.empty((*windows.span(size, weight.shape[2:]), channels), input.dtype)
        rows = np.empty((*size, channels), input.dtype)
        depthwise_outputs(input[images], taps, offset, canvas, rows, y[images], *windows.numbers())

    parallel.each(part, _parts(batch, y.size * math.prod(weight.shape[2:])))
    return y


def transposed_convolution_depthwise(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """x[n, c, j] = bias[c] + Σ y[n, c, i] w[c, 0, k] over all i and k with s i + d k - p = j."""
    batch, channels, *extent = input.shape
    x = np.empty((batch, channels, *size), input.dtype)
    taps, offset = _taps(weight), _offset(bias, channels, input.dtype)
    shape = (*windows.canvas(size, extent, weight.shape[2:]), channels)

    def part(images: slice) -> None:
        canvas, rows = np.empty(shape, x.dtype), np.empty((*extent, channels), x.dtype)
        depthwise_inputs(input[images], taps, offset, canvas, rows, x[images], *windows.numbers())

    parallel.each(part, _parts(batch, input.size * math.prod(weight.shape[2:])))
    return x


def weight_correlation_depthwise(
    input: Array, output_gradient: Array, size: tuple[int, ...], windows: Windows
) -> Array:
    """w[c, 0, k] = Σ y[n, c, i] x[n, c, s i + d k - p]; parts are summed in their order."""
    batch, channels, *positions = output_gradient.shape
    parts = _parts(batch, output_gradient.size * math.prod(size))
    sums = np.zeros((len(parts), *size, channels), input.dtype)
    shape = (*windows.span(positions, size), channels)

    def part(i: int) -> None:
        canvas, rows = np.empty(shape, input.dtype), np.empty((*positions, channels), input.dtype)
        arrays = input[parts[i]], output_gradient[parts[i]], canvas, rows, sums[i]
        depthwise_filters(*arrays, *windows.numbers())

    parallel.each(part, range(len(parts)))
    return contiguous(np.moveaxis(sums.sum(0), -1, 0))[:, None]


def _taps(weight: Array) -> Array:
    """(c, 1, kernel) -> (kernel, c)."""
    return contiguous(np.moveaxis(weight[:, 0], 0, -1))


def _offset(bias: Array | None, channels: int, dtype: Any) -> Array:
    return np.zeros(channels, dtype) if bias is None else contiguous(bias)


def _parts(batch: int, multiplications: int) -> list[slice]:
    count = max(1, min(batch, multiplications // PART))
    return [slice(batch * i // count, batch * (i + 1) // count) for i in range(count)]
