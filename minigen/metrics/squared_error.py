"""Mean squared error and peak signal-to-noise ratio, of two images pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.metrics.checks import dtype_range, image_pair, positive_range, same_scale


def mean_squared_error(image0: Any, image1: Any) -> float:
    """The mean of (x - y)² over all pixels and channels, in the square of the images' unit.

    image0, image1: arrays or tensors of one shape, any real dtype; unsigned bytes are subtracted
    as numbers, so 0 - 255 is -255. scikit-image's function of the same name.
    Raises ValueError for unequal shapes, no pixel, NaN or infinity.

    >>> black, white = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    >>> mean_squared_error(black, white)
    65025.0
    """
    x, y = image_pair("mean_squared_error", image0, image1)
    return float(np.mean((x.astype(np.float64) - y.astype(np.float64)) ** 2))


def peak_signal_noise_ratio(
    image_true: Any, image_test: Any, *, data_range: float | None = None
) -> float:
    """PSNR = 10 log₁₀(R² / MSE) decibels, where R is the range of possible values.

    data_range: R. If None it follows from the dtype of both images: 255 for uint8; for floats 1 if
    `image_true` has no negative value, else 2 (from -1 to 1). scikit-image's function of the same
    name. Equal images have no noise: the ratio is infinite.
    Raises ValueError for unequal shapes, NaN, and, where R must be guessed, for unequal dtypes and
    for values outside the range of the dtype.

    >>> image = np.zeros((4, 4))
    >>> round(peak_signal_noise_ratio(image, image + 0.1), 6)
    20.0
    """
    name = "peak_signal_noise_ratio"
    x, y = image_pair(name, image_true, image_test)
    if data_range is None:
        same_scale(name, x, y)
        low, high = dtype_range(x.dtype)
        if x.min() < low or x.max() > high:
            raise ValueError(
                f"{name}: image_true has values from {x.min():g} to {x.max():g}, outside "
                f"{low:g} to {high:g}, which {x.dtype} images are taken to have; give data_range"
            )
        data_range = high if x.min() >= 0 else high - low
    peak = positive_range(name, data_range)
    noise = mean_squared_error(x, y)
    return math.inf if noise == 0 else 10 * math.log10(peak**2 / noise)
