"""Many small images as one, and a picture as the bytes of a PNG file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def tile(
    images: ArrayLike, columns: int = 8, *, gap: int = 2, background: float = 0.25
) -> NDArray[np.float32]:
    """Images in rows of `columns`, as one array with values 0 to 1: grey ones (N, height, width) as
    (H, W), colour ones (N, height, width, 3) as (H, W, 3).

    `gap` pixels of `background` lie between the images; so do the places of a last row that is not
    full. Values outside 0 to 1 are clipped. Raises ValueError for another shape, no image, or NaN.

    >>> tile(np.ones((3, 28, 28)), columns=2).shape
    (58, 58)
    >>> tile(np.ones((3, 32, 32, 3)), columns=2).shape
    (66, 66, 3)
    """
    array = np.clip(np.asarray(images, np.float32), 0, 1)
    if not (array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)) or 0 in array.shape:
        raise ValueError(
            "tile: expects grey images (N, height, width) or colour ones (N, height, width, 3), "
            f"got shape {array.shape}"
        )
    if np.isnan(array).any():
        bad = int(np.argmax(np.isnan(array).reshape(len(array), -1).any(1)))
        raise ValueError(f"tile: image {bad} holds NaN")
    if columns < 1:
        raise ValueError(f"tile: columns must be 1 or more, got {columns}")
    count, height, width, *channels = array.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    canvas = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, *channels),
        background,
        np.float32,
    )
    for i, image in enumerate(array):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def png(image: ArrayLike, scale: int = 3) -> bytes:
    """A picture with values 0 to 1 as a PNG file's bytes: grey (H, W), 0 black and 1 white, or in
    colour (H, W, 3), red, green, blue.

    Each value becomes a square of `scale` by `scale` pixels. Values outside 0 to 1 are clipped.
    Raises ValueError for another shape.

    >>> png(np.zeros((2, 2)))[1:4]
    b'PNG'
    """
    from matplotlib.image import imsave

    pixels = np.clip(np.asarray(image, np.float32), 0, 1)
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"png: expects a picture (H, W) or (H, W, 3), got shape {pixels.shape}")
    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    buffer = io.BytesIO()
    options: dict[str, Any] = {"metadata": {"Software": None}}  # the same bytes on every machine
    imsave(buffer, pixels, cmap="gray", vmin=0, vmax=1, format="png", **options)
    return buffer.getvalue()
