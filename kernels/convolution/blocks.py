"""Convolution and its two companions by Numba's copies and one BLAS product for a block of images.

im2col (Chellapilla, Puri and Simard 2006) turns a convolution into a matrix product, at the price
of a matrix that holds, for every position of the output, channels · taps numbers. Made for a few
images at a time it stays in the cache: it is written once, read once by BLAS, and overwritten by
the next block. The transposed convolution is the same two steps in the opposite order: a product,
whose rows are then added where their windows lie (col2im). With W the filters as rows, of a block

    Y = W Pᵀ          P = unfold(x)         convolution
    x = fold(Yᵀ W)                          transposed convolution
    dW = Σ Y P        P = unfold(x)         weight correlation, summed over blocks

BLAS takes either operand transposed at the price of its packing, so that only channels are moved:
to the end in x, where a window then is a few runs of memory, while Y keeps its order.

Three kinds of windows need no copy of windows. A 1x1 kernel's windows are the pixels; one window
that covers the whole image is the image; and one filter a channel has no sum over channels, hence
no matrix product.

On several cores the products are BLAS's to divide. The copies between them, some tenth of a
millisecond each, stay on one: BLAS's threads, which wait for the next product by spinning, would be
in the way of others.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from .. import parallel
from ..jit import contiguous
from . import depthwise, taps
from .loops import fold, transpose, unfold
from .products import matmul
from .windows import Windows, is_depthwise

Array = Any

BLOCK = 2**18  # numbers in a block of windows: 1 MB in float32
SUMS = 2  # partial sums of a weight's gradient, of every second block each
MANY = 128  # positions that make an image's product large enough to be done on its own


class _Kept(threading.local):
    """What `_scratch` keeps, a thread its own."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, Any], Array] = {}


_kept = _Kept()


def _scratch(name: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """Memory for a block, kept by the thread for the next: fresh pages cost as much as a copy."""
    count = math.prod(shape)
    have = _kept.arrays.get((name, dtype))
    if have is None or have.size < count:
        have = np.empty(count, dtype)
        if count <= 2 * BLOCK:
            _kept.arrays[name, dtype] = have
    return have[:count].reshape(shape)


# ------------------------------------------------------------------------- the three maps


def convolution_blocks(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """y[n, o, i] = bias[o] + Σ x[n, c, s i + d k - p] w[o, c, k].

    >>> x, w = np.ones((1, 1, 5)), np.array([[[1.0, 2.0]]])
    >>> convolution_blocks(x, w, None, (3,), Windows((2,), (1,), (1,)))
    array([[[2., 3., 3.]]])
    """
    parallel.take_over()
    input, weight = _aligned(input), _aligned(weight)
    if input.ndim != 4:
        return _otherwise(taps.convolution_taps, convolution_blocks, input, weight, bias,
                          size=size, windows=windows)  # fmt: skip
    if is_depthwise(weight.shape, windows):
        return depthwise.convolution_depthwise(input, weight, bias, size, windows)
    batch, filters, kernel = input.shape[0], weight.shape[0], weight.shape[2:]
    if _is_one_window(input.shape[2:], size, kernel, windows):
        rows = weight.reshape(filters, math.prod(weight.shape[1:]))
        y = matmul(input.reshape(batch, rows.shape[1]), rows.T)
        y = y if bias is None else np.add(y, bias, out=y)
        return y.reshape(batch, filters, 1, 1)
    y = np.empty((batch, filters, *size), input.dtype)
    rows = _rows(weight, windows.groups)

    def compute(block: slice) -> None:
        columns = _columns(input[block], size, kernel, windows)
        _product(rows, columns, bias, y[block])

    each = math.prod(size) * rows.shape[0] * rows.shape[2]
    parallel.each(compute, _blocks(batch, each), products=True)
    return y


def transposed_convolution_blocks(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """x[n, c, j] = bias[c] + Σ y[n, o, i] w[o, c, k] over all i and k with s i + d k - p = j.

    >>> y, w = np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 3.0]]])
    >>> transposed_convolution_blocks(y, w, None, (5,), Windows((2,), (0,), (1,)))
    array([[[ 1.,  2., 13., 20., 30.]]])
    """
    parallel.take_over()
    input, weight = _aligned(input), _aligned(weight)
    if input.ndim != 4:
        return _otherwise(taps.transposed_convolution_taps, transposed_convolution_blocks, input,
                          weight, bias, size=size, windows=windows)  # fmt: skip
    if is_depthwise(weight.shape, windows):
        return depthwise.transposed_convolution_depthwise(input, weight, bias, size, windows)
    batch, kernel, extent = input.shape[0], weight.shape[2:], input.shape[2:]
    groups, channels = windows.groups, windows.groups * weight.shape[1]
    if _is_pixels(size, extent, kernel, windows):
        swapped = weight.reshape(groups, -1, weight.shape[1]).swapaxes(1, 2)
        swapped = swapped.reshape(channels, -1, 1, 1)
        return convolution_blocks(input, swapped, bias, size, windows)
    x = np.empty((batch, channels, *size), input.dtype)
    if _is_one_window(size, extent, kernel, windows):
        rows = weight.reshape(weight.shape[0], math.prod(weight.shape[1:]))
        matmul(input.reshape(batch, len(rows)), rows, out=x.reshape(batch, rows.shape[1]))
        return x if bias is None else np.add(x, bias.reshape(-1, 1, 1), out=x)
    offset = np.zeros(channels, x.dtype) if bias is None else contiguous(bias)
    rows = _rows(weight, groups)
    around = (*windows.canvas(size, extent, kernel), channels)

    def compute(block: slice) -> None:
        target, y = x[block], _operand(input[block], groups)
        patches = _scratch("patches", (len(y), y.shape[3], groups, rows.shape[2]), x.dtype)
        matmul(y.swapaxes(2, 3), rows, out=patches.swapaxes(1, 2))
        shape = (len(target), *extent, groups, *kernel, weight.shape[1])
        canvas = _scratch("canvas", around, x.dtype)
        fold(patches.reshape(shape), canvas, offset, target, *windows.numbers())

    each = math.prod(extent) * groups * rows.shape[2]
    parallel.each(compute, _blocks(batch, each), products=True)
    return x


def weight_correlation_blocks(
    input: Array, output_gradient: Array, size: tuple[int, ...], windows: Windows
) -> Array:
    """w[o, c, k] = Σ y[n, o, i] x[n, c, s i + d k - p] over all examples n and positions i.

    >>> x, y = np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, 10.0]]])
    >>> weight_correlation_blocks(x, y, (2,), Windows((1,), (0,), (1,)))
    array([[[21., 42.]]])
    """
    parallel.take_over()
    input, output_gradient = _aligned(input), _aligned(output_gradient)
    groups, positions = windows.groups, output_gradient.shape[2:]
    batch, filters, channels = len(input), output_gradient.shape[1], input.shape[1] // groups
    shape = (filters, channels, *size)
    if input.ndim != 4:
        return _otherwise(taps.weight_correlation_taps, weight_correlation_blocks, input,
                          output_gradient, size=size, windows=windows)  # fmt: skip
    if is_depthwise(shape, windows):
        return depthwise.weight_correlation_depthwise(input, output_gradient, size, windows)
    if _is_one_window(input.shape[2:], positions, size, windows):
        flat = input.reshape(batch, math.prod(shape[1:]))
        return matmul(output_gradient.reshape(batch, filters).T, flat).reshape(shape)
    taps_channels = math.prod(size) * channels
    blocks = _blocks(batch, math.prod(positions) * groups * taps_channels)
    sums = np.zeros((SUMS, groups, filters // groups, taps_channels), input.dtype)

    def compute(part: int) -> None:
        total = product = sums[part]
        for block in blocks[part::SUMS]:
            columns = _columns(input[block], positions, size, windows, together=True)
            y = _operand(output_gradient[block], groups, together=True)
            matmul(y[0], columns[0].swapaxes(1, 2), out=product)
            if product is total:
                product = _scratch("filters", total.shape, total.dtype)
            else:
                total += product

    parts = min(SUMS, len(blocks))
    parallel.each(compute, range(parts), products=True)
    return _from_rows(sums[:parts].sum(axis=0) if parts > 1 else sums[0], shape)


# ------------------------------------------------------------------------- kinds of windows


def _is_pixels(extent: tuple, size: tuple, kernel: tuple, windows: Windows) -> bool:
    """Whether windows and pixels are the same."""
    return math.prod(kernel) == 1 and extent == size and not any(windows.padding)


def _is_one_window(extent: tuple, size: tuple, kernel: tuple, windows: Windows) -> bool:
    """Whether there is one window, the whole image."""
    return (
        extent == kernel
        and math.prod(size) == 1
        and not any(windows.padding)
        and windows.groups == 1
        and all(d == 1 or k == 1 for d, k in zip(windows.dilation, kernel))
    )


def _otherwise(plain: Any, this: Any, first: Array, second: Array, *bias: Any, **where: Any) -> Any:
    """One dimension is an image of height 1; for anything else there is the plain kernel."""
    if first.ndim != 3:
        return plain(first, second, *bias, **where)
    stride, padding, dilation, groups = where["windows"]
    windows = Windows((1, *stride), (0, *padding), (1, *dilation), groups)
    image = this(first[:, :, None], second[:, :, None], *bias, (1, *where["size"]), windows)
    return image[:, :, 0]


# ------------------------------------------------------------------------- operands of a block


def _blocks(batch: int, each: int) -> list[slice]:
    """Images in blocks of about equal size, with at most BLOCK numbers if one image has no more."""
    most = max(1, BLOCK // max(1, each))
    count = -(-batch // most)
    return [slice(batch * i // count, batch * (i + 1) // count) for i in range(count)]


def _aligned(array: Array) -> Array:
    return array if array.flags.aligned else array.copy()


def _rows(weight: Array, groups: int) -> Array:
    """(o, c, kernel) -> (groups, o of a group, taps · c)."""
    filters, channels = weight.shape[:2]
    flat = weight.reshape(filters, channels, -1)
    if channels > 1 and flat.shape[2] > 1:
        last = np.empty((filters, flat.shape[2], channels), weight.dtype)
        transpose(flat, last)
        flat = last
    return contiguous(flat).reshape(groups, filters // groups, -1)


def _from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `_rows`."""
    filters, channels, *kernel = shape
    if channels == 1 or math.prod(kernel) == 1:
        return rows.reshape(shape)
    weight = np.empty((filters, channels, math.prod(kernel)), rows.dtype)
    transpose(rows.reshape(filters, -1, channels), weight)
    return weight.reshape(shape)


def _columns(
    x: Array, size: tuple, kernel: tuple, windows: Windows, together: bool = False
) -> Array:
    """All windows of a block, laid out as `_operand` does: (…, groups, taps · c, positions)."""
    images, channels = x.shape[:2]
    groups = windows.groups
    if _is_pixels(x.shape[2:], size, kernel, windows):
        return _operand(x, groups, together, "patches")
    patches = _scratch("patches", (images, *size, groups, *kernel, channels // groups), x.dtype)
    canvas = (*windows.span(size, kernel), channels)
    unfold(x, _scratch("canvas", canvas, x.dtype), patches, *windows.numbers())
    positions, taps_channels = math.prod(size), math.prod(kernel) * (channels // groups)
    apart = _apart(images, positions, together)
    return patches.reshape(*apart, groups, taps_channels).transpose(0, 2, 3, 1)


def _apart(images: int, positions: int, together: bool = False) -> tuple[int, int]:
    """(products, columns of each): one for every image, or a single one for the block."""
    if positions >= MANY and not together:
        return images, positions
    return 1, images * positions


def _operand(y: Array, groups: int, together: bool = False, name: str = "operand") -> Array:
    """(images, o, positions) -> (images, groups, o of a group, positions), the array itself, or
    -> (1, groups, o of a group, images · positions), a copy."""
    images, channels = y.shape[:2]
    flat = y.reshape(images, channels, math.prod(y.shape[2:]))
    apart = _apart(images, flat.shape[2], together)
    if apart[0] != images:
        rows = _scratch(name, (channels, *flat.shape[::2]), y.dtype)
        np.copyto(rows, flat.swapaxes(0, 1))
        flat = rows
    return flat.reshape(apart[0], groups, channels // groups, apart[1])


def _product(rows: Array, columns: Array, bias: Array | None, y: Array) -> None:
    """y = rows columns + bias, for a block of images."""
    images, channels = y.shape[:2]
    target = y.reshape(images, channels, -1)
    if len(columns) == images:
        matmul(rows, columns, out=y.reshape(images, *rows.shape[:2], columns.shape[3]))
        if bias is not None:
            np.add(target, bias[:, None], out=target)
        return
    product = _scratch("product", (*rows.shape[:2], columns.shape[3]), y.dtype)
    matmul(rows, columns[0], out=product)
    source = product.reshape(channels, images, -1).swapaxes(0, 1)
    if bias is None:
        np.copyto(target, source)
    else:
        np.add(source, bias[:, None], out=target)
