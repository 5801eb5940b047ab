"""The loops of a convolution outside its matrix product.

    unfold            windows side by side        the operand of the product
    fold              its adjoint                 the sum of what overlapping windows hold
    transpose         channels of filters to the end, and back
    depthwise_*       the three maps where every channel has one filter, and nothing is to multiply

All go through a canvas: one padded image, channels last, that the fastest caches hold. There a row
of a window is one run of memory (kernel width times channels), and so are all channels of a pixel:
vectors are full however narrow the image is.
"""

from __future__ import annotations

from ..jit import device, jit
from ..simd import address, lanes, load, multiply_add, number, peek, plus, poke, store

TILE = 8  # channels that a transposition moves at once: streams that the cache can follow
PLACES = ("int64",) * 6  # stride, padding and dilation, vertical and horizontal


# ------------------------------------------------------------------------- runs of memory


@device
def _clear(p, count):
    for i in range(count):
        poke(p, i, number(p, 0.0))


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
def _add_product(a, a_at, b, b_at, count, p, at):
    """p[at : at + count] += a b, number by number."""
    width = lanes(p)
    whole = count - count % width
    for i in range(0, whole, width):
        store(p, at + i, multiply_add(load(a, a_at + i), load(b, b_at + i), load(p, at + i)))
    for i in range(whole, count):
        poke(p, at + i, peek(p, at + i) + peek(a, a_at + i) * peek(b, b_at + i))


# ------------------------------------------------------------------------- between the layouts


@device
def _last(a, at, plane, row, column, channels, height, width, c, c_at, pitch):
    """c[y, x, channel] = a[channel, y, x], a row of c being `pitch` numbers long.

    `plane`, `row` and `column` are how far apart the numbers of a are.
    """
    for first in range(0, channels, TILE):
        for y in range(height):
            source, target = at + first * plane + y * row, c_at + y * pitch + first
            if channels - first >= TILE:
                for x in range(width):
                    for i in range(TILE):
                        poke(c, target + x * channels + i, peek(a, source + x * column + i * plane))
            else:
                for i in range(channels - first):
                    for x in range(width):
                        poke(c, target + x * channels + i, peek(a, source + x * column + i * plane))


@device
def _first(c, c_at, pitch, bias, channels, height, width, a, at):
    """a[channel, y, x] = c[y, x, channel] + bias[channel], the inverse; a is contiguous."""
    plane = height * width
    for first in range(0, channels, TILE):
        for y in range(height):
            source, target = c_at + y * pitch + first, at + first * plane + y * width
            if channels - first >= TILE:
                for x in range(width):
                    for i in range(TILE):
                        total = peek(c, source + x * channels + i) + peek(bias, first + i)
                        poke(a, target + i * plane + x, total)
            else:
                for i in range(channels - first):
                    for x in range(width):
                        total = peek(c, source + x * channels + i) + peek(bias, first + i)
                        poke(a, target + i * plane + x, total)


@device
def _paint(x, n, canvas, inside_y, inside_x):
    """The n-th image on a canvas, inside of its borders, as far as it reaches."""
    channels, size = x.shape[1], x.itemsize
    height, width = x.shape[2], x.shape[3]
    rows, columns = min(height, canvas.shape[0] - inside_y), min(width, canvas.shape[1] - inside_x)
    pitch = canvas.shape[1] * channels
    _last(
        address(x), n * (x.strides[0] // size), x.strides[1] // size,
        x.strides[2] // size, x.strides[3] // size, channels, rows, columns,
        address(canvas), inside_y * pitch + inside_x * channels, pitch,
    )  # fmt: skip


@jit("transpose", "const T[:, :, :]", "T[:, :, ::1]", seconds=0.5)
def transpose(a, b):
    """b[n, j, i] = a[n, i, j]."""
    batch, rows, columns = a.shape
    size = a.itemsize
    step, row, column = a.strides[0] // size, a.strides[1] // size, a.strides[2] // size
    for n in range(batch):
        at = n * rows * columns
        _last(address(a), n * step, row, 0, column, rows, 1, columns, address(b), at, 0)


# ------------------------------------------------------------------------- windows side by side


@jit(
    "unfold",
    "const T[:, :, :, :]",
    "T[:, :, ::1]",
    "T[:, :, :, :, :, :, ::1]",
    *PLACES,
    seconds=1.5,
)
def unfold(x, canvas, patches, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x):
    """patches[n, iy, ix, g, ky, kx, c] = x[n, g c, s i + d k - p], zero outside of x."""
    batch, channels = x.shape[0], x.shape[1]
    _, high, wide, groups, taps_y, taps_x, run = patches.shape
    c, p = address(canvas), address(patches)
    pitch = canvas.shape[1] * channels
    segments, apart = taps_x, dilation_x * channels
    if groups == 1 and dilation_x == 1:  # the taps of a row lie side by side
        segments, run = 1, run * taps_x
    _clear(c, canvas.size)
    at = 0
    for n in range(batch):
        _paint(x, n, canvas, pad_y, pad_x)
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
    *PLACES,
    seconds=1.5,
)
def fold(patches, canvas, bias, x, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x):
    """x[n, g c, j] = bias[g c] + Σ patches[n, i, g, k, c] over all i, k with s i + d k - p = j."""
    batch, channels, height, width = x.shape
    _, high, wide, groups, taps_y, taps_x, run = patches.shape
    c, p = address(canvas), address(patches)
    pitch = canvas.shape[1] * channels
    inside = pad_y * pitch + pad_x * channels
    segments, apart = taps_x, dilation_x * channels
    if groups == 1 and dilation_x == 1:  # the taps of a row lie side by side
        segments, run = 1, run * taps_x
    at = 0
    for n in range(batch):
        _clear(c, canvas.size)
        for y in range(high):
            for x_ in range(wide):
                for g in range(groups):
                    for k in range(taps_y):
                        target = (y * stride_y + k * dilation_y) * pitch
                        target += x_ * stride_x * channels + g * run
                        for s in range(segments):
                            _add(p, at, run, c, target + s * apart)
                            at += run
        start = n * channels * height * width
        _first(c, inside, pitch, address(bias), channels, height, width, address(x), start)


# ------------------------------------------------------------------------- one filter a channel
# In T = Σ y x w nothing is summed but positions and taps; the three maps are one loop, which adds
# the product of two of a pixel, a window's position and a tap, all channels at once, to the third.

OUTPUTS, INPUTS, FILTERS = 0, 1, 2


@device
def _meet(to, c, y, w, high, wide, tall, broad, channels, pitch, places):
    """Add c w to y, y w to c, or c y to w: a canvas, the positions' numbers, the taps."""
    stride_y, stride_x, dilation_y, dilation_x = places
    for iy in range(high):
        for ix in range(wide):
            position = (iy * wide + ix) * channels
            window = iy * stride_y * pitch + ix * stride_x * channels
            for ky in range(tall):
                for kx in range(broad):
                    tap = (ky * broad + kx) * channels
                    pixel = window + ky * dilation_y * pitch + kx * dilation_x * channels
                    if to == OUTPUTS:
                        _add_product(c, pixel, w, tap, channels, y, position)
                    elif to == INPUTS:
                        _add_product(y, position, w, tap, channels, c, pixel)
                    else:
                        _add_product(c, pixel, y, position, channels, w, tap)


@jit(
    "depthwise",
    "const T[:, :, :, :]",
    "const T[:, :, ::1]",
    "const T[::1]",
    "T[:, :, ::1]",
    "T[:, :, ::1]",
    "T[:, :, :, ::1]",
    *PLACES,
    seconds=1.5,
)
def depthwise_outputs(x, w, bias, canvas, rows, y, sy, sx, pad_y, pad_x, dy, dx):
    """y[n, c, i] = bias[c] + Σ x[n, c, s i + d k - p] w[k, c]."""
    channels, high, wide = y.shape[1], y.shape[2], y.shape[3]
    pitch = canvas.shape[1] * channels
    c, r, steps = address(canvas), address(rows), (sy, sx, dy, dx)
    _clear(c, canvas.size)
    for n in range(x.shape[0]):
        _paint(x, n, canvas, pad_y, pad_x)
        _clear(r, rows.size)
        _meet(OUTPUTS, c, r, address(w), high, wide, w.shape[0], w.shape[1], channels, pitch, steps)
        at = n * channels * high * wide
        _first(r, 0, wide * channels, address(bias), channels, high, wide, address(y), at)


@jit(
    "depthwise transposed",
    "const T[:, :, :, :]",
    "const T[:, :, ::1]",
    "const T[::1]",
    "T[:, :, ::1]",
    "T[:, :, ::1]",
    "T[:, :, :, ::1]",
    *PLACES,
    seconds=1.5,
)
def depthwise_inputs(y, w, bias, canvas, rows, x, sy, sx, pad_y, pad_x, dy, dx):
    """x[n, c, j] = bias[c] + Σ y[n, c, i] w[k, c] over all i and k with s i + d k - p = j."""
    channels, high, wide = y.shape[1], y.shape[2], y.shape[3]
    height, width, pitch = x.shape[2], x.shape[3], canvas.shape[1] * channels
    c, r, steps = address(canvas), address(rows), (sy, sx, dy, dx)
    for n in range(y.shape[0]):
        _paint(y, n, rows, 0, 0)
        _clear(c, canvas.size)
        _meet(INPUTS, c, r, address(w), high, wide, w.shape[0], w.shape[1], channels, pitch, steps)
        inside, at = pad_y * pitch + pad_x * channels, n * channels * height * width
        _first(c, inside, pitch, address(bias), channels, height, width, address(x), at)


@jit(
    "depthwise weight",
    "const T[:, :, :, :]",
    "const T[:, :, :, :]",
    "T[:, :, ::1]",
    "T[:, :, ::1]",
    "T[:, :, ::1]",
    *PLACES,
    seconds=1.5,
)
def depthwise_filters(x, y, canvas, rows, w, sy, sx, pad_y, pad_x, dy, dx):
    """w[k, c] = Σ y[n, c, i] x[n, c, s i + d k - p] over all n and i."""
    channels, high, wide = y.shape[1], y.shape[2], y.shape[3]
    pitch = canvas.shape[1] * channels
    c, r, f, steps = address(canvas), address(rows), address(w), (sy, sx, dy, dx)
    _clear(c, canvas.size)
    _clear(f, w.size)
    for n in range(x.shape[0]):
        _paint(x, n, canvas, pad_y, pad_x)
        _paint(y, n, rows, 0, 0)
        _meet(FILTERS, c, r, f, high, wide, w.shape[0], w.shape[1], channels, pitch, steps)
