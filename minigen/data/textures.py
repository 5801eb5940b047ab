"""Pages full of strokes, to take a style from: drawn from what is embedded, grey, white on black.

Each is float32 (size, size) with values from 0 to 1.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from minigen.data.embedded import load_ecg, load_mnist5k, load_sunspots

CELL = 28  # pixels a side of a digit on its page; rows of the other pages are as high, or half


def page_of_ones(size: int = 112) -> NDArray[np.float32]:
    """Handwritten ones side by side: leaning strokes.

    >>> page_of_ones(56).shape
    (56, 56)
    """
    images, labels = load_mnist5k("train")
    side = -(-size // CELL)
    cells = images[labels == 1][: side * side].reshape(side, side, CELL, CELL)
    page = cells.transpose(0, 2, 1, 3).reshape(side * CELL, side * CELL)  # rows of cells -> rows
    return (page[:size, :size] / 255).astype(np.float32)


def page_of_heartbeats(size: int = 112) -> NDArray[np.float32]:
    """An electrocardiogram, line below line: level strokes with peaks.

    >>> page_of_heartbeats(56).shape
    (56, 56)
    """
    millivolts, _ = load_ecg()
    height = CELL // 2
    page = np.zeros((size, size), np.float32)
    for row in range(-(-size // height)):
        piece = millivolts[3000 * row : 3000 * row + 4 * size].reshape(size, 4).mean(1)
        line = (row + 0.7) * height - 1.5 * height * (piece - np.median(millivolts)) / np.ptp(
            millivolts
        )
        for x, (a, b) in enumerate(itertools.pairwise(line)):
            top, bottom = int(max(0, min(a, b))), int(min(size - 1, max(a, b)))
            page[top : bottom + 1, x] = 1
    return _softened(page)


def page_of_sunspots(size: int = 112) -> NDArray[np.float32]:
    """Yearly sunspot numbers as bars, row above row: upright strokes of all lengths.

    >>> page_of_sunspots(56).shape
    (56, 56)
    """
    _, numbers = load_sunspots()
    page = np.zeros((size, size), np.float32)
    bars = size // 4  # 2 pixels each, 2 apart
    for row in range(-(-size // CELL)):
        for i in range(bars):
            high = int((CELL - 2) * numbers[(bars * row + i) % len(numbers)] / numbers.max())
            bottom = min(size, (row + 1) * CELL)
            page[bottom - high : bottom, 4 * i + 1 : 4 * i + 3] = 1
    return _softened(page)


PAGES = {
    "ones": page_of_ones,
    "heartbeats": page_of_heartbeats,
    "sunspots": page_of_sunspots,
}


def _softened(page: NDArray[np.float32]) -> NDArray[np.float32]:
    """Strokes with soft edges, as those of a pen: each pixel a little of its neighbours."""
    for axis in (0, 1):
        before, after = np.roll(page, 1, axis), np.roll(page, -1, axis)
        page = np.float32(0.5) * page + np.float32(0.25) * (before + after)
    return np.clip(1.6 * page, 0, 1).astype(np.float32)
