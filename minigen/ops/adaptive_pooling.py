"""Adaptive pooling: the output has a given size, and the windows are chosen for it.

Of n windows over an extent, window i runs from floor(i·extent / n) to ceil((i + 1)·extent / n):
they cover everything, and overlap by one element where n does not divide the extent.  As in
`pooling`, one dimension is done after the other.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.ops import reduction
from minigen.ops.pooling import Line, gather_maxima, line_mean
from minigen.ops.windows import Windows, batched, per_dimension, require

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
]


def _plan(name: str, n: int, input: Any, output_size: Any) -> list:
    """(dim, size) of each spatial dimension, and a Line instead of the size where all windows are
    equal and short."""
    batched(name, n, input)
    sizes = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * n
    spatial = range(input.ndim - n, input.ndim)
    kept = [input.shape[d] if s is None else s for d, s in zip(spatial, sizes)]
    sizes = per_dimension(kept if len(sizes) == n else sizes, n, f"{name}: output_size")
    plan = []
    for dim, size in zip(spatial, sizes):
        extent = input.shape[dim]
        require(extent > 0, f"{name}: input {tuple(input.shape)} is empty in more than its batch")
        kernel, rest = divmod(extent, size)
        equal = rest == 0 and kernel <= size
        windows = Windows((kernel,), (0,), (1,))
        plan.append((dim, size, Line(dim, kernel, size, windows) if equal else None))
    return plan


def _adaptive_windows(extent: int, size: int) -> list[tuple[int, slice]]:
    return [(i, slice(i * extent // size, -(-(i + 1) * extent // size))) for i in range(size)]


def _at(dim: int, place: Any) -> tuple:
    return (slice(None),) * dim + (place,)


@differentiable
def _adaptive_mean(input: Any, dim: int, size: int) -> Any:
    """out[i] = mean of input over window i."""
    output = np.empty_like(input, shape=(*input.shape[:dim], size, *input.shape[dim + 1 :]))
    for i, window in _adaptive_windows(input.shape[dim], size):
        np.mean(input[_at(dim, window)], axis=dim, out=output[_at(dim, i)])
    return output


@differentiable
def _adaptive_spread(input: Any, dim: int, extent: int) -> Any:
    """out[j] = Σ input[i] / (elements of window i) over the windows i that element j lies in."""
    output = np.zeros_like(input, shape=(*input.shape[:dim], extent, *input.shape[dim + 1 :]))
    for i, window in _adaptive_windows(extent, input.shape[dim]):
        share = input[_at(dim, slice(i, i + 1))] * (1 / (window.stop - window.start))
        output[_at(dim, window)] += share
    return output


_adaptive_mean.gradients(
    input=lambda g, input_shape, dim: _adaptive_spread(g, dim, input_shape[dim])
)
_adaptive_spread.gradients(
    input=lambda g, input_shape, dim: _adaptive_mean(g, dim, input_shape[dim])
)


@differentiable
def _adaptive_argmax(input: Any, dim: int, size: int) -> Any:
    """Where along the dimension the maximum of each window lies."""
    shape = (*input.shape[:dim], size, *input.shape[dim + 1 :])
    output = np.empty_like(input, shape=shape, dtype=np.int64)
    for i, window in _adaptive_windows(input.shape[dim], size):
        np.add(np.argmax(input[_at(dim, window)], axis=dim), window.start, out=output[_at(dim, i)])
    return output


def _adaptive_avg_pool(name: str, n: int, input: Any, output_size: Any) -> Any:
    plan = _plan(name, n, input, output_size)
    if all(size == 1 for _, size, _ in plan):
        return reduction.mean(input, tuple(dim for dim, _, _ in plan), True)
    for dim, size, line in plan:
        if line is None:
            input = _adaptive_mean(input, dim, size)
        else:
            input = line_mean(input, line, (line.kernel,) * size)
    return input


def _adaptive_max_pool(
    name: str, n: int, input: Any, output_size: Any, return_indices: bool
) -> Any:
    steps = [
        (dim, partial(_adaptive_argmax, dim=dim, size=size))
        for dim, size, _ in reversed(_plan(name, n, input, output_size))
    ]
    output, places = gather_maxima(input, steps)
    return (output, places) if return_indices else output


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The mean of each of `output_size` windows that cover the length.

    input: (batch, channels, length), or (channels, length), floating point.
    Returns (batch, channels, output_size).  Raises ShapeError if there is nothing to cover.

    >>> import minigen
    >>> adaptive_avg_pool1d(minigen.tensor([[1.0, 3.0, 2.0, 6.0]]), 2)
    tensor([[2., 4.]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The mean of each of output_size = (height, width) windows that cover an image.

    input:       (batch, channels, height, width), or without batch, floating point.
    output_size: one number for both, or a pair in which None keeps that of the input.
    Returns (batch, channels, *output_size).

    >>> import minigen
    >>> adaptive_avg_pool2d(minigen.tensor([[[1.0, 2.0], [3.0, 6.0]]]), 1)
    tensor([[[3.]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each of `output_size` windows that cover the length.

    input: (batch, channels, length), or (channels, length).
    Returns (batch, channels, output_size); with `return_indices` also where the maxima were, int64.

    >>> import minigen
    >>> adaptive_max_pool1d(minigen.tensor([[1.0, 3.0, 2.0, 6.0]]), 2)
    tensor([[3., 6.]])
    """
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each of output_size = (height, width) windows that cover an image.

    input:       (batch, channels, height, width), or without batch.
    output_size: one number for both, or a pair in which None keeps that of the input.
    Returns (batch, channels, *output_size); with `return_indices` also the places of the maxima in
    row-major order over height and width.

    >>> import minigen
    >>> adaptive_max_pool2d(minigen.tensor([[[1.0, 2.0], [3.0, 6.0]]]), (1, None))
    tensor([[[3., 6.]]])
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)
