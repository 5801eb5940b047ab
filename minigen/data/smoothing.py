"""Weighted means around each pixel: a window slid along one axis after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def gaussian_window(sigma: float, truncate: float = 4.0) -> NDArray[np.float64]:
    """A Gaussian at -r, ..., r with sum 1, where r is truncate * sigma, rounded.

    Raises ValueError for a sigma that is negative or not finite.

    >>> gaussian_window(0.5, truncate=2).round(3).tolist()
    [0.107, 0.787, 0.107]
    """
    if not 0 <= sigma < np.inf:
        raise ValueError(f"gaussian_window: sigma must be 0 or more, got {sigma!r}")
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()


def smooth(image: NDArray, window: NDArray, axes: Sequence[int]) -> NDArray:
    """The mean of `image` around each place, weighted by `window` along each of `axes`.

    window: (2 r + 1,). Beyond the border the image goes on mirrored (b a | a b c | c b).
    The product of one-dimensional windows: a square of equal weights, or a round Gaussian, for
    2 (2 r + 1) multiplications a pixel in place of (2 r + 1)².

    >>> smooth(np.array([0.0, 0.0, 3.0, 0.0]), np.full(3, 1 / 3), [0]).round(6).tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    radius = len(window) // 2
    for axis in axes:
        margin = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
        mirrored = np.pad(image, margin, mode="symmetric")
        image = sliding_window_view(mirrored, len(window), axis) @ window
    return image
