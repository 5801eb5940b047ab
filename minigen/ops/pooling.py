"""Pooling: the maximum or the mean of every window.

A maximum over a rectangle is the maximum of its rows' maxima, and a mean likewise.  So everything
here is done along one dimension at a time: a window of h x w costs h + w steps instead of h·w, and
one-dimensional windows are all there is to understand.  Where several elements are the maximum, the
first in row-major order gets the gradient, as in PyTorch (hence the last dimension comes first).

NumPy is slow on views that skip elements, and on rows as short as an image's.  So maxima are taken
of the whole array as one row, of the windows that start at *any* element, and those asked for are
picked out of them in the end: with stride 2 in two dimensions twice the work each, in a third of
the time.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.ops.scatter import gather
from minigen.ops.windows import Windows, batched, per_dimension, require, window_count

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]


class Line(NamedTuple):
    """`size` windows of `kernel` taps along one dimension."""

    dim: int
    kernel: int
    size: int
    windows: Windows

    def padded(self, input: Any, value: float) -> Any:
        span = self.windows.span((self.size,), (self.kernel,))
        return self.windows.padded(input, span, self.dim, value)

    def canvas(self, like: Any, extent: int) -> Any:
        """Zeros that hold an input of this extent, and all windows on it."""
        (span,) = self.windows.span((self.size,), (self.kernel,))
        shape = list(like.shape)
        shape[self.dim] = max(span, self.windows.padding[0] + extent)
        return backend.array_module(like).zeros(shape, like.dtype)

    def taps(self, padded: Any) -> list:
        """What each tap meets in all windows: `kernel` views of the padded array."""
        lead = (slice(None),) * self.dim
        size = (self.size,)
        return [padded[(*lead, *self.windows.places((t,), size))] for t in range(self.kernel)]

    def shifts(self, padded: Any) -> list:
        """What each tap meets in the windows that start at any element of the array, as one row."""
        flat = padded.reshape(-1)
        step = self.windows.dilation[0] * math.prod(padded.shape[self.dim + 1 :])
        count = max(0, flat.size - (self.kernel - 1) * step)
        return [flat[t * step : t * step + count] for t in range(self.kernel)]

    def picked(self, values: Any, shape: tuple) -> Any:
        """Of what was computed from the `shifts` of an array of this shape, the windows' own."""
        full = backend.array_module(values).empty(math.prod(shape), values.dtype)
        full[: len(values)] = values
        lead = (slice(None),) * self.dim
        return full.reshape(shape)[(*lead, *self.windows.places((0,), (self.size,)))].copy()

    def inside(self, canvas: Any, extent: int) -> Any:
        return canvas[(slice(None),) * self.dim + self.windows.inside((extent,))]

    def disjoint(self) -> bool:
        """Whether no element is in two windows."""
        return self.windows.stride[0] > (self.kernel - 1) * self.windows.dilation[0]

    def along(self, values: Any, like: Any) -> Any:
        """One value for each window, shaped to broadcast over arrays like this one."""
        array = backend.array_module(like).asarray(values)
        return array.reshape((-1,) + (1,) * (like.ndim - self.dim - 1))


def _lines(
    name: str,
    n: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> list[Line]:
    """The windows along each spatial dimension.  Raises ShapeError if there are none."""
    batched(name, n, input)
    kernel = per_dimension(kernel_size, n, f"{name}: kernel_size")
    steps = kernel if stride is None or stride == () else stride
    steps = per_dimension(steps, n, f"{name}: stride")
    paddings = per_dimension(padding, n, f"{name}: padding", 0)
    dilations = per_dimension(dilation, n, f"{name}: dilation")
    lines = []
    for dim, k, s, p, d in zip(
        range(input.ndim - n, input.ndim), kernel, steps, paddings, dilations
    ):
        extent, reach = input.shape[dim], d * (k - 1) + 1
        require(extent > 0, f"{name}: input {tuple(input.shape)} is empty in more than its batch")
        require(
            2 * p <= reach,
            f"{name}: padding {p} is more than half of the kernel's reach {reach}; "
            "a window could lie in the padding alone",
        )
        size = window_count(extent, 2 * p, reach, s, ceil_mode)
        if ceil_mode and (size - 1) * s >= extent + p:
            size -= 1  # the last window has to start inside the input or its left padding
        require(
            size > 0,
            f"{name}: the kernel reaches over {reach}, more than the padded input of "
            f"{extent + 2 * p} in dim {dim}; use a smaller kernel or more padding",
        )
        lines.append(Line(dim, k, size, Windows((s,), (p,), (d,))))
    return lines


# ------------------------------------------------------------------------------- the maximum


DENSE = 4  # the stride up to which maxima of all windows are faster than of those asked for


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _maximum(input: Any, line: Line) -> tuple[Any, Any]:
    """The maximum of each window, and which tap it is."""
    padded = line.padded(input, _lowest(input.dtype))
    dense = line.windows.stride[0] <= DENSE
    taps = line.shifts(padded) if dense else line.taps(padded)
    best = taps[0].copy()
    for tap in taps[1:]:
        np.maximum(best, tap, out=best)
    winner = np.zeros_like(best, dtype=np.uint8 if line.kernel < 257 else np.int32)
    later = np.ones_like(best, dtype=bool)  # no tap so far is the maximum
    for tap in taps[:-1]:
        np.logical_and(later, tap != best, out=later)
        np.add(winner, later, out=winner)
    broken = best.dtype.kind == "f" and (backend.on_gpu(best) or np.isnan(best).any())
    if broken:  # PyTorch points at the last NaN; to ask whether there is one is to wait for a GPU
        for t, tap in enumerate(taps):
            np.copyto(winner, t, where=np.isnan(tap))
    if dense:
        best, winner = (line.picked(array, padded.shape) for array in (best, winner))
    (stride,), (padding,), (dilation,), _ = line.windows
    if padding:  # where all is -inf the first tap inside the input wins, not the padding
        first = [-(min(i * stride - padding, 0) // dilation) for i in range(line.size)]
        np.maximum(winner, line.along(first, winner).astype(winner.dtype), out=winner)
    return best, winner


@differentiable(saves=("winner",))
def _line_max(input: Any, line: Line) -> Any:
    return _maximum(input, line)


def _line_max_gradient(g: Any, winner: Any, input_shape: tuple, line: Line) -> Any:
    """Each cotangent goes to the element that was the maximum."""
    canvas = line.canvas(g, input_shape[line.dim])
    for t, region in enumerate(line.taps(canvas)):
        if line.disjoint():
            np.multiply(g, winner == t, out=region)
        else:
            region += g * (winner == t)
    return line.inside(canvas, input_shape[line.dim])


_line_max.gradients(input=_line_max_gradient)


@_line_max.formula
def _line_max_by_gather(input: Any, line: Line) -> Any:
    return gather(input, line.dim, _line_argmax(input, line))


@differentiable
def _line_argmax(input: Any, line: Line) -> Any:
    """Where along the dimension the maximum of each window lies."""
    (stride,), (padding,), (dilation,), _ = line.windows
    start = line.along(np.arange(line.size) * stride - padding, input)
    return _maximum(input, line)[1].astype(np.int64) * dilation + start


def gather_maxima(input: Any, steps: list) -> tuple[Any, Any]:
    """Maxima along one dimension after the other, and their places in row-major order over all.

    steps: (dim, function that says where along it the maxima of an array lie), last dim first.
    """
    shape = input.shape
    places: Any = None
    for dim, argmax in steps:
        winners = argmax(input)
        if places is None:
            places = winners
        else:
            places = winners * math.prod(shape[dim + 1 :]) + gather(places, dim, winners)
        input = gather(input, dim, winners)
    return input, places


def _max_pool(input: Any, lines: list[Line], return_indices: bool) -> Any:
    if return_indices:
        steps = [(line.dim, partial(_line_argmax, line=line)) for line in reversed(lines)]
        return gather_maxima(input, steps)
    for line in reversed(lines):
        input = _line_max(input, line)
    return input


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """out[n, c, i] = max over t < kernel_size of input[n, c, stride·i + dilation·t - padding].

    input:     (batch, channels, length), or (channels, length).
    stride:    the kernel size unless given.
    padding:   with -infinity on either side; at most half of the kernel.
    ceil_mode: keep a last window that sticks out at the end.
    Returns (batch, channels, windows); with `return_indices` also where in the length each maximum
    was found, int64.  Raises ShapeError if no window fits.

    >>> import minigen
    >>> max_pool1d(minigen.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[3., 5.]])
    """
    lines = _lines("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, lines, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of an image: `max_pool1d` in two dimensions.

    input: (batch, channels, height, width), or without batch.
    Returns (batch, channels, out height, out width); with `return_indices` also the place of each
    maximum, counted in row-major order over height and width.

    >>> import minigen
    >>> x = minigen.tensor([[[1.0, 2.0, 5.0, 0.0], [4.0, 3.0, 1.0, 1.0]]])
    >>> max_pool2d(x, 2)
    tensor([[[4., 5.]]])
    """
    lines = _lines("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, lines, return_indices)


# ---------------------------------------------------------------------------------- the mean
# A sum over windows and its adjoint, which adds a number to every element of a window, are each
# other's gradients.  `counts` are the divisors, one for each window.


@differentiable
def line_mean(input: Any, line: Line, counts: tuple) -> Any:
    """out[i] = Σ_t input[stride·i + t - padding] / counts[i]."""
    taps = line.taps(line.padded(input, 0))
    total = taps[0] + taps[1] if line.kernel > 1 else taps[0].copy()
    for tap in taps[2:]:
        total += tap
    return _divide(total, line, counts)


@differentiable
def _line_spread(input: Any, line: Line, counts: tuple, extent: int) -> Any:
    """out[j] = Σ input[i] / counts[i] over the windows i that element j lies in."""
    share = _divide(input.copy(), line, counts)
    canvas = line.canvas(input, extent)
    for region in line.taps(canvas):
        if line.disjoint():
            region[...] = share
        else:
            region += share
    return line.inside(canvas, extent)


line_mean.gradients(
    input=lambda g, input_shape, line, counts: _line_spread(g, line, counts, input_shape[line.dim])
)
_line_spread.gradients(input=lambda g, line, counts: line_mean(g, line, counts))


def repeated(input: Any, dim: int, times: int) -> Any:
    """Every element `times` times along a dimension: the adjoint of sums over disjoint windows."""
    extent = input.shape[dim]
    line = Line(dim, times, extent, Windows((times,), (0,), (1,)))
    return _line_spread(input, line, (1,) * extent, extent * times)


def _divide(total: Any, line: Line, counts: tuple) -> Any:
    """Divide in place by one count, or by one for each window."""
    if total.dtype.kind != "f":
        raise TypeError(f"the mean of a window needs floating-point numbers, got {total.dtype}")
    if len(set(counts)) > 1:
        total /= line.along(counts, total).astype(total.dtype)
    elif counts[0] != 1:
        total *= 1 / counts[0]
    return total


def _counts(line: Line, extent: int, include_padding: bool) -> tuple[int, ...]:
    """How many elements of each window count: those inside, or inside and in the padding."""
    (stride,), (padding,), _, _ = line.windows
    starts = [i * stride - padding for i in range(line.size)]
    if include_padding:  # what sticks out beyond the padding, in ceil_mode, does not count
        return tuple(min(start + line.kernel, extent + padding) - start for start in starts)
    return tuple(min(start + line.kernel, extent) - max(start, 0) for start in starts)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """out[n, c, i] = mean over t < kernel_size of input[n, c, stride·i + t - padding].

    input:     (batch, channels, length), or (channels, length), floating point.
    stride:    the kernel size unless given.
    padding:   zeros on either side, at most half of the kernel; they count as elements of a window
               unless `count_include_pad` is False.
    ceil_mode: keep a last window that sticks out at the end.
    Returns (batch, channels, windows).  Raises ShapeError if no window fits.

    >>> import minigen
    >>> avg_pool1d(minigen.tensor([[1.0, 3.0, 2.0, 6.0]]), 2)
    tensor([[2., 4.]])
    """
    lines = _lines("avg_pool1d", 1, input, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool(input, lines, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of an image: `avg_pool1d` in two dimensions.

    input: (batch, channels, height, width), or without batch.
    divisor_override: divide the sum of each window by this instead.
    Returns (batch, channels, out height, out width).

    >>> import minigen
    >>> avg_pool2d(minigen.tensor([[[1.0, 2.0], [3.0, 6.0]]]), 2)
    tensor([[[3.]]])
    """
    lines = _lines("avg_pool2d", 2, input, kernel_size, stride, padding, 1, ceil_mode)
    require(divisor_override != 0, "avg_pool2d: divisor_override must not be zero")
    return _avg_pool(input, lines, count_include_pad, divisor_override)


def _avg_pool(input: Any, lines: list[Line], include_padding: bool, divisor: int | None) -> Any:
    for line in lines:
        counts = _counts(line, input.shape[line.dim], include_padding)
        if divisor is not None:
            counts = (divisor if line is lines[0] else 1,) * line.size
        input = line_mean(input, line, counts)
    return input
