"""Points in a plane as a map of how densely they lie, beside those they should be like."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def density(
    points: ArrayLike, limits: tuple[float, float], bins: int = 120, blur: float = 1.0
) -> NDArray[np.float64]:
    """How many of the points (N, 2) lie in each cell of a square, as shares of N: (bins, bins), the
    row is y from below, the column x. Points outside the square are in no cell.

    limits: of x and y alike. blur: the standard deviation, in cells, by which a point is spread; 0
    counts it in its own cell only. Raises ValueError for another shape, no points, or limits that
    are no interval.

    >>> density([[0.1, 0.9], [0.2, 0.8], [5.0, 5.0], [0.9, 0.9]], (0, 1), bins=2, blur=0)
    array([[0.  , 0.  ],
           [0.5 , 0.25]])
    """
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise ValueError(f"density: expects points (N, 2), got shape {array.shape}")
    if not limits[0] < limits[1]:
        raise ValueError(f"density: limits {limits} are no interval")
    edges = np.linspace(*limits, bins + 1)
    counts, _, _ = np.histogram2d(array[:, 1], array[:, 0], bins=[edges, edges])
    if blur:
        reach = np.arange(bins)
        spread = np.exp(-(((reach[:, None] - reach) / blur) ** 2) / 2)  # (bins, bins)
        spread /= spread.sum(0)  # what a cell gives away adds up to what it had
        counts = spread @ counts @ spread.T
    return counts / len(array)


def density_maps(
    panels: Sequence[tuple[str, ArrayLike]],
    limits: tuple[float, float],
    *,
    centres: ArrayLike | None = None,
    bins: int = 120,
) -> bytes:
    """Maps side by side, one for each (title, points (N, 2)), as a PNG file's bytes.

    The brightness is the square root of the density, so that a few stray points show, on one scale
    for all panels. centres (M, 2) are marked by small circles.
    Raises ValueError for no panel, and as `density`.

    >>> density_maps([("samples", [[0.0, 0.0]])], (-1, 1))[1:4]
    b'PNG'
    """
    if not panels:
        raise ValueError("density_maps: expects at least one panel")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    maps = [np.sqrt(density(points, limits, bins)) for _, points in panels]
    brightest = np.quantile(np.concatenate(maps), 0.999)  # one collapsed mode must not darken all
    figure = Figure(figsize=(3.2 * len(panels), 3.5), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    for number, ((title, _), cells) in enumerate(zip(panels, maps)):
        axes = figure.add_subplot(1, len(panels), number + 1)
        axes.imshow(
            cells, origin="lower", extent=(*limits, *limits), cmap="magma", vmin=0,
            vmax=brightest, interpolation="nearest",
        )  # fmt: skip
        if centres is not None:
            x, y = np.asarray(centres).T
            axes.scatter(x, y, s=60, facecolors="none", edgecolors="#8fd3ff", linewidths=0.6)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=8)
    buffer = io.BytesIO()
    options: dict[str, Any] = {"metadata": {"Software": None}}
    figure.savefig(buffer, format="png", **options)
    return buffer.getvalue()
