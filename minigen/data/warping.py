"""Moving the pixels of images: bilinear resampling, and the maps that rotate, scale and bend.

Every map is asked backwards: where in the source does this pixel of the result come from? So each
pixel of the result gets exactly one value, and there are no holes. Rows count downwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.data.smoothing import gaussian_window, smooth


def resample(images: NDArray, rows: NDArray, columns: NDArray, *, fill: float = 0.0) -> NDArray:
    """The values of images at places between their pixels, interpolated bilinearly.

    images: float (N, C, H, W); rows, columns: (N, H', W'), where in image n each pixel of the
    result comes from; pixel centres lie at whole numbers. Around the image everything is `fill`,
    and at the border values go over into it within one pixel.
    Returns (N, C, H', W') in the dtype of the images.

    >>> image = np.array([[[[0.0, 10.0], [20.0, 30.0]]]])
    >>> resample(image, np.array([[[0.5, 1.0, 5.0]]]), np.array([[[0.5, 0.25, 0.0]]])).tolist()
    [[[[15.0, 22.5, 0.0]]]]
    """
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    y = np.clip(rows, -1, height) + 1  # in the padded image; all further out is fill as well
    x = np.clip(columns, -1, width) + 1
    top = np.minimum(y.astype(np.int64), height)
    left = np.minimum(x.astype(np.int64), width)
    down = (y - top).astype(images.dtype)[:, None]  # (N, 1, H', W'), from 0 to 1
    right = (x - left).astype(images.dtype)[:, None]
    number = np.arange(count)[:, None, None]

    def pixels(i: NDArray, j: NDArray) -> NDArray:
        return np.moveaxis(padded[number, :, i, j], -1, 1)  # (N, H', W', C) -> (N, C, H', W')

    upper = (1 - right) * pixels(top, left) + right * pixels(top, left + 1)
    lower = (1 - right) * pixels(top + 1, left) + right * pixels(top + 1, left + 1)
    return (1 - down) * upper + down * lower


def warp(
    images: NDArray,
    *,
    degrees: ArrayLike = 0.0,
    factors: ArrayLike = 1.0,
    shifts: ArrayLike = 0.0,
    displacements: NDArray | None = None,
    fill: float = 0.0,
) -> NDArray:
    """Images rotated and scaled about their middle, shifted and bent, all in one resampling.

    images: float (N, C, H, W). degrees: (N,) or one, counter-clockwise. factors: (N,) or one, above
    1 larger. shifts: (N, 2) pixels down and to the right. displacements: (N, 2, H, W), how many
    rows and columns away each pixel of the result is fetched, on top of all that. fill: what comes
    in from outside. One resampling, not four, blurs once.

    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> warp(image, degrees=90)[0, 0].round(6).tolist()
    [[2.0, 5.0, 8.0], [1.0, 4.0, 7.0], [0.0, 3.0, 6.0]]
    >>> warp(image, shifts=[[0, 1]])[0, 0].tolist()
    [[0.0, 0.0, 1.0], [0.0, 3.0, 4.0], [0.0, 6.0, 7.0]]
    """
    count, _, height, width = images.shape
    angle = np.deg2rad(np.broadcast_to(degrees, count))[:, None, None]
    factor = np.broadcast_to(factors, count)[:, None, None]
    shift = np.broadcast_to(shifts, (count, 2))[:, :, None, None]
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    row, column = np.indices((height, width))
    y = (row - middle_row - shift[:, 0]) / factor  # (N, H, W), before it was shifted and scaled
    x = (column - middle_column - shift[:, 1]) / factor
    rows = np.cos(angle) * y + np.sin(angle) * x + middle_row  # before it was rotated
    columns = np.cos(angle) * x - np.sin(angle) * y + middle_column
    if displacements is not None:
        rows, columns = rows + displacements[:, 0], columns + displacements[:, 1]
    return resample(images, rows, columns, fill=fill)


def elastic_displacements(
    count: int, size: tuple[int, int], alpha: float, sigma: float, stream: np.random.Generator
) -> NDArray[np.float64]:
    """Smooth random fields that bend images as hands do, (count, 2, height, width) in pixels.

    Uniform noise from -1 to 1 in every pixel, smoothed by a Gaussian of standard deviation `sigma`
    pixels, times `alpha`: P. Y. Simard, D. Steinkraus, J. C. Platt, "Best practices for
    convolutional neural networks applied to visual document analysis", ICDAR 2003, section 2, where
    alpha = 34 and sigma = 4 served best for digits of 29 x 29 pixels.

    >>> field = elastic_displacements(1, (28, 28), 34, 4, np.random.default_rng(0))
    >>> field.shape, bool(0.5 < np.abs(field).mean() < 2)
    ((1, 2, 28, 28), True)
    """
    noise = stream.uniform(-1, 1, (count, 2, *size))
    return alpha * smooth(noise, gaussian_window(sigma), (2, 3))
