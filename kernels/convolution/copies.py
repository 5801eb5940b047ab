"""The copies around a convolution's matrix product: windows side by side, and back into an image.

Both go through a canvas: one padded image, channels last, that the fastest caches hold. There a row
of a window is one run of memory (kernel width times channels), copied or added a vector at a time.
"""

from __future__ import annotations

from ..jit import device, jit
from ..simd import address, lanes, load, number, peek, plus, poke, store

TILE = 8  # streams that a transposition reads or writes at once


@device
def _copy(source, source_at, source_end, count, p, at, end):
    """p[at : at + count] = `count` numbers of the source, in whole vectors if there is room.

    What lands behind the last number is overwritten by the next copy, which follows there.
    """
    width = lanes(p)
    whole = -(-count // width) * width
    if source_at + whole > source_end or at + whole > end:
        whole = count - count % width
    for i in range(0, whole, width):
        store(p, at + i, load(source, source_at + i))
    for i in range(whole, count):
        poke(p, at + i, peek(source, source_at + i))


@device
def _add(source, source_at, count, p, at):
    """p[at : at + count] += `count` numbers of the source."""
    width = lanes(p)
    whole = count - count % width
    for i in range(0, whole, width):
        store(p, at + i, plus(load(p, at + i), load(source, source_at + i)))
    for i in range(whole, count):
        poke(p, at + i, peek(p, at + i) + peek(source, source_at + i))


@device
def _interleave(a, at, step, pitch, b, b_at, b_pitch, rows, columns):
    """b[j, i] = a[i, j] for i < rows, j < columns: b's rows are contiguous; rows is at most TILE.

    a[i, j] is at + i pitch + j step behind a, b[j, i] is b_at + j b_pitch + i behind b.
    """
    if rows == TILE:
        for j in range(columns):
            for i in range(TILE):
                poke(b, b_at + j * b_pitch + i, peek(a, at + j * step + i * pitch))
    else:
        for i in range(rows):
            for j in range(columns):
                poke(b, b_at + j * b_pitch + i, peek(a, at + j * step + i * pitch))


@device
def _separate(a, at, a_pitch, bias, first, b, b_at, b_pitch, rows, columns):
    """b[i, j] = a[j, i] + bias[first + i]: a's rows are contiguous; rows is at most TILE."""
    if rows == TILE:
        for j in range(columns):
            for i in range(TILE):
                total = peek(a, at + j * a_pitch + i) + peek(bias, first + i)
                poke(b, b_at + i * b_pitch + j, total)
    else:
        for i in range(rows):
            for j in range(columns):
                total = peek(a, at + j * a_pitch + i) + peek(bias, first + i)
                poke(b, b_at + i * b_pitch + j, total)


@jit("transpose", "const T[:, :, :]", "T[:, :, ::1]", seconds=0.5)
def transpose(a, b):
    """b[n, j, i] = a[n, i, j]."""
    batch, rows, columns = a.shape
    size = a.itemsize
    step, row, column = a.strides[0] // size, a.strides[1] // size, a.strides[2] // size
    for n in range(batch):
        for i in range(0, rows, TILE):
            _interleave(
                address(a), n * step + i * row, column, row,
                address(b), n * rows * columns + i, rows, min(TILE, rows - i), columns,
            )  # fmt: skip


@jit(
    "unfold",
    "const T[:, :, :, :]",
    "T[:, :, ::1]",
    "T[:, :, :, :, :, :, ::1]",
    *["int64"] * 6,
    seconds=1.0,
)
def unfold(x, canvas, patches, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x):
    """patches[n, iy, ix, g, ky, kx, c] = x[n, g c, s i + d k - p], zero outside of x."""
    batch, channels, height, width = x.shape
    _, high, wide, groups, taps_y, taps_x, run = patches.shape
    size = x.itemsize
    step, plane = x.strides[0] // size, x.strides[1] // size
    row, column = x.strides[2] // size, x.strides[3] // size
    a, c, p = address(x), address(canvas), address(patches)
    pitch = canvas.shape[1] * channels
    rows, columns = min(height, canvas.shape[0] - pad_y), min(width, canvas.shape[1] - pad_x)
    for i in range(canvas.size):
        poke(c, i, number(c, 0.0))
    segments, apart = taps_x, dilation_x * channels
    if groups == 1 and dilation_x == 1:  # the taps of a row lie side by side
        segments, run = 1, run * taps_x
    at = 0
    for n in range(batch):
        for first in range(0, channels, TILE):
            some = min(TILE, channels - first)
            for y in range(rows):
                inside = (y + pad_y) * pitch + pad_x * channels + first
                source = n * step + first * plane + y * row
                _interleave(a, source, column, plane, c, inside, channels, some, columns)
        for y in range(high):
            for x_ in range(wide):
                for g in range(groups):
                    for k in range(taps_y):
                        source = (y * stride_y + k * dilation_y) * pitch
                        source += x_ * stride_x * channels + g * run
                        for s in range(segments):
                            _copy(c, source + s * apart, canvas.size, run, p, at, patches.size)
                            at += run


@jit(
    "fold",
    "const T[:, :, :, :, :, :, ::1]",
    "T[:, :, ::1]",
    "const T[::1]",
    "T[:, :, :, ::1]",
    *["int64"] * 6,
    seconds=1.0,
)
def fold(patches, canvas, bias, x, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x):
    """x[n, g c, j] = bias[g c] + Σ patches[n, i, g, k, c] over all i, k with s i + d k - p = j."""
    batch, channels, height, width = x.shape
    _, high, wide, groups, taps_y, taps_x, run = patches.shape
    a, c, p = address(x), address(canvas), address(patches)
    pitch = canvas.shape[1] * channels
    segments, apart = taps_x, dilation_x * channels
    if groups == 1 and dilation_x == 1:  # the taps of a row lie side by side
        segments, run = 1, run * taps_x
    at = 0
    for n in range(batch):
        for i in range(canvas.size):
            poke(c, i, number(c, 0.0))
        for y in range(high):
            for x_ in range(wide):
                for g in range(groups):
                    for k in range(taps_y):
                        target = (y * stride_y + k * dilation_y) * pitch
                        target += x_ * stride_x * channels + g * run
                        for s in range(segments):
                            _add(p, at, run, c, target + s * apart)
                            at += run
        for first in range(0, channels, TILE):
            some = min(TILE, channels - first)
            for y in range(height):
                inside = (y + pad_y) * pitch + pad_x * channels + first
                target = ((n * channels + first) * height + y) * width
                _separate(
                    c, inside, channels, address(bias), first,
                    a, target, height * width, some, width,
                )  # fmt: skip
