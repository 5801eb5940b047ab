"""Adversarial examples as a picture: the originals, what was added, what came of it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

Said = tuple[NDArray[np.integer], NDArray[np.floating]]  # classes (N,), how sure (N,), 0 to 1


def attacks(
    originals: NDArray[np.floating], attacked: NDArray[np.floating], before: Said, after: Said
) -> bytes:
    """N columns of an original, its change and the attacked picture, (N, height, width) in [0, 1]
    each, as a PNG file's bytes; above the first and the last what a classifier says.

    Of a change, grey is none, white the largest upwards in all the pictures, black downwards. What
    is read differently after the attack is written in another colour, and with an exclamation mark.
    Raises ValueError if there are no pictures, or not as many of each.

    >>> grey = np.full((2, 4, 4), 0.5)
    >>> said = (np.array([3, 8]), np.array([0.9, 1.0]))
    >>> attacks(grey, grey, said, said)[1:4]
    b'PNG'
    """
    from matplotlib.figure import Figure

    count = len(originals)
    if count == 0 or originals.shape != attacked.shape or originals.ndim != 3:
        raise ValueError(
            "attacks: needs as many attacked pictures as originals, (N, height, width), got "
            f"{originals.shape} and {attacked.shape}"
        )
    change = attacked - originals
    largest = max(float(np.abs(change).max()), 1e-12)
    rows = (originals, 0.5 + change / (2 * largest), attacked)
    figure = Figure(figsize=(1.1 * count, 4.0), dpi=110, layout="constrained")
    axes = figure.subplots(3, count, squeeze=False)
    for row, (pictures, name) in enumerate(zip(rows, ("digit", "change", "attacked"))):
        for column, picture in enumerate(pictures):
            place = axes[row, column]
            place.imshow(picture, cmap="gray", vmin=0, vmax=1)
            place.set_xticks([])
            place.set_yticks([])
            if row != 1:
                classes, sure = before if row == 0 else after
                fooled = before[0][column] != classes[column]
                place.set_title(
                    f"{classes[column]}{'!' if fooled else ''} ({sure[column]:.0%})",
                    fontsize=9,
                    color="#c1121f" if fooled else "black",
                )
        axes[row, 0].set_ylabel(name, fontsize=9)
    buffer = io.BytesIO()
    options: dict[str, Any] = {"metadata": {"Software": None}}  # the same bytes on every machine
    figure.savefig(buffer, format="png", **options)
    return buffer.getvalue()
