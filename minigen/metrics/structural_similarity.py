"""Structural similarity: do two images have the same structure, window by window?

Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error
visibility to structural similarity", IEEE Transactions on Image Processing 13(4), 2004, eq. 13:

    SSIM(x, y) = (2 μx μy + C₁)(2 σxy + C₂) / ((μx² + μy² + C₁)(σx² + σy² + C₂))

with means, variances and covariance inside a window around each pixel, C₁ = (K₁ R)² and
C₂ = (K₂ R)². The index of two images is the mean over all windows that lie inside them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigen.data.smoothing import gaussian_window, smooth
from minigen.metrics.checks import dtype_range, image_pair, positive_range, same_scale

NAME = "structural_similarity"
TRUNCATE = 3.5  # standard deviations of the Gaussian inside its window: 11 pixels for 1.5


def structural_similarity(
    im1: Any,
    im2: Any,
    *,
    win_size: int | None = None,
    gradient: bool = False,
    data_range: float | None = None,
    channel_axis: int | None = None,
    gaussian_weights: bool = False,
    full: bool = False,
    sigma: float = 1.5,
    K1: float = 0.01,
    K2: float = 0.03,
    use_sample_covariance: bool = True,
) -> Any:
    """The mean structural similarity of two images: 1 if equal, near 0 if unrelated.

    Arguments, defaults and results are scikit-image's. The index of Wang et al. is
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False` with the right `data_range`.

    im1, im2: images of one shape and any number of spatial dimensions, arrays or tensors.
    win_size: side of the window, odd; 7 if None, with Gaussian weights 2 int(3.5 σ + 0.5) + 1, 11.
        (As in scikit-image a Gaussian window always has that size; `win_size` then only says how
        much of the border is left out of the mean, and N in N / (N - 1).)
    data_range: R, the range of possible values; for integers that of their dtype if None.
    channel_axis: the axis whose entries are compared apart, their indices averaged: the channels of
        a colour image, or the images of a batch. None: all axes are spatial.
    gaussian_weights: weigh a window by a Gaussian of standard deviation `sigma` pixels.
    full: return the map of local indices, too; near the border it sees the image mirrored.
    gradient: return the gradient of the index with respect to `im1`, too (Avanaki 2009, eqs. 7 and
        8), each channel's of its own index. As in scikit-image it is that of the mean over all of
        the map, border included, and takes the covariance's factor N / (N - 1) for 1.
    use_sample_covariance: divide by N - 1 inside a window of N pixels, not by N.

    Returns the index; `(index, gradient)`, `(index, map)` or `(index, gradient, map)` if asked.
    Raises ValueError for unequal shapes, NaN, an even window, one larger than the image, negative
    constants, and for floats without a data_range.

    >>> x = np.tile(np.linspace(0, 1, 16), (16, 1))
    >>> round(structural_similarity(x, x, data_range=1), 6)
    1.0
    >>> structural_similarity(x, 1 - x, data_range=1) < 0
    True
    """
    x, y = image_pair(NAME, im1, im2)
    if min(K1, K2, sigma) < 0:
        raise ValueError(f"{NAME}: K1, K2 and sigma must not be negative")
    peak = _range(x, y, data_range)
    axes = _spatial_axes(x.ndim, channel_axis)
    gaussian = gaussian_window(sigma, TRUNCATE)
    if win_size is None:
        win_size = len(gaussian) if gaussian_weights else 7
    if win_size < 1 or win_size % 2 == 0 or any(x.shape[axis] < win_size for axis in axes):
        sides = tuple(x.shape[axis] for axis in axes)
        raise ValueError(
            f"{NAME}: win_size must be odd and at most the image's smaller side; the images are "
            f"{sides}, win_size {win_size}. Colour images need channel_axis"
        )
    weights = gaussian if gaussian_weights else np.full(win_size, 1 / win_size)
    count = win_size ** len(axes)
    factor = count / (count - 1) if use_sample_covariance and count > 1 else 1.0
    local, slope = _local_index(
        x.astype(np.float64), y.astype(np.float64), weights, axes, factor,
        (K1 * peak) ** 2, (K2 * peak) ** 2, gradient,
    )  # fmt: skip
    border = (win_size - 1) // 2
    inside = [slice(None)] * x.ndim
    for axis in axes:
        inside[axis] = slice(border, x.shape[axis] - border)
    index = float(local[tuple(inside)].mean())
    if not (gradient or full):
        return index
    pixels = math.prod(x.shape[axis] for axis in axes)  # of a channel: its own index's gradient
    return (index, *([slope * (2 / pixels)] if gradient else []), *([local] if full else []))


def _range(x: NDArray, y: NDArray, data_range: float | None) -> float:
    if data_range is None:
        if "f" in (x.dtype.kind, y.dtype.kind):
            raise ValueError(
                f"{NAME}: floats do not tell their range of values; give data_range (1 for images "
                "in 0 to 1)"
            )
        same_scale(NAME, x, y)
        low, high = dtype_range(x.dtype)
        data_range = high - low
    return positive_range(NAME, data_range)


def _spatial_axes(ndim: int, channel_axis: int | None) -> list[int]:
    if channel_axis is None:
        return list(range(ndim))
    if not -ndim <= channel_axis < ndim:
        raise ValueError(f"{NAME}: channel_axis {channel_axis} is outside {ndim} dimensions")
    return [axis for axis in range(ndim) if axis != channel_axis % ndim]


def _local_index(
    x: NDArray, y: NDArray, weights: NDArray, axes: list[int], factor: float,
    c1: float, c2: float, gradient: bool,
) -> tuple[NDArray, Any]:  # fmt: skip
    """SSIM(x, y) around each pixel, and the gradient of its sum with respect to x, over 2."""

    def mean(image: NDArray) -> NDArray:
        return smooth(image, weights, axes)

    mx, my = mean(x), mean(y)
    vx, vy = factor * (mean(x * x) - mx * mx), factor * (mean(y * y) - my * my)
    vxy = factor * (mean(x * y) - mx * my)
    a1, a2 = 2 * mx * my + c1, 2 * vxy + c2
    b1, b2 = mx**2 + my**2 + c1, vx + vy + c2
    index = a1 * a2 / (b1 * b2)
    if not gradient:
        return index, None
    d = b1 * b2
    slope = mean(a1 / d) * x - mean(index / b2) * y
    return index, slope + mean((mx * (a2 - a1) - my * (b2 - b1) * index) / d)
