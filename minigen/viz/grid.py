"""Many small images as one, and a picture as the bytes of a PNG file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def tile(
    images: ArrayLike, columns: int = 8, *, gap: int = 2, background: float = 0.25
) -> NDArray[np.float32]:
    """Images (N, height, width) in rows of `columns`, as one array (H, W) with values 0 to 1.

    `gap` pixels of `background` lie between the images; so do the places of a last row that is not
    full. Values outside 0 to 1 are clipped. Raises ValueError for another shape, or no image.

    >>> tile(np.ones((3, 28, 28)), columns=2).shape
    (58, 58)
    """
    array = np.clip(np.asarray(images, np.float32), 0, 1)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"tile: expects images (N, height, width), got shape {array.shape}")
    if columns < 1:
        raise ValueError(f"tile: columns must be 1 or more, got {columns}")
    count, height, width = array.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    canvas = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap), background, np.float32
    )
    for i, image in enumerate(array):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def png(image: ArrayLike, scale: int = 3) -> bytes:
    """A grey picture (H, W) with values 0 (black) to 1 (white) as a PNG file's bytes.

    Each value becomes a square of `scale` by `scale` pixels.

    >>> png(np.zeros((2, 2)))[1:4]
    b'PNG'
    """
    from matplotlib.image import imsave

    pixels = np.kron(np.asarray(image, np.float32), np.ones((scale, scale), np.float32))
    buffer = io.BytesIO()
    options: dict[str, Any] = {"metadata": {"Software": None}}  # the same bytes on every machine
    imsave(buffer, pixels, cmap="gray", vmin=0, vmax=1, format="png", **options)
    return buffer.getvalue()
