"""Rows of small images with what each row shows written beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minigen.viz.grid import tile


def captioned(images: ArrayLike, captions: Sequence[str]) -> bytes:
    """A PNG file's bytes: images (rows, columns, height, width) in [0, 1], a caption for each row.

    Raises ValueError for another shape or number of captions.

    >>> captioned(np.zeros((2, 3, 28, 28)), ["nothing", "nothing\\neither"])[1:4]
    b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    array = np.asarray(images, np.float32)
    if array.ndim != 4 or len(array) != len(captions):
        raise ValueError(
            f"captioned: needs images (rows, columns, height, width) and a caption for each row, "
            f"got {array.shape} and {len(captions)} captions"
        )
    _, columns, height, width = array.shape
    canvas = tile(array.reshape(-1, height, width), columns)  # (rows, columns, ...) -> one picture
    scale, margin = 2 / 100, 2.2  # inches: two dots for a pixel, and room for the captions
    across, down = canvas.shape[1] * scale, canvas.shape[0] * scale
    figure = Figure(figsize=(margin + across, down), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((margin / (margin + across), 0, across / (margin + across), 1))
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.axis("off")
    for row, caption in enumerate(captions):
        middle = row * (height + 2) + height / 2
        axes.text(-4, middle, caption, ha="right", va="center", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
