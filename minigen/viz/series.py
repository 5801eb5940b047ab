"""Series over time: what was, what is forecast with its uncertainty, and waves beside each other.

Drawn as `viz.curves` draws, once for a light page and once for a dark one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.viz.curves import THEMES, Curve, style

SHADE = 0.22  # how opaque a band is


@dataclass(frozen=True)
class Band:
    """What lies between two lines over x: an interval of a forecast, by the name of its level."""

    label: str
    x: Sequence[float] | NDArray
    lower: Sequence[float] | NDArray
    upper: Sequence[float] | NDArray


def series(
    lines: Sequence[Curve],
    bands: Sequence[Band] = (),
    *,
    xlabel: str,
    ylabel: str,
    now: float | None = None,
    theme: str = "light",
) -> bytes:
    """Lines over time, the first in ink and the others in colours, before shaded bands; the bytes
    of a PNG file with a transparent ground.

    bands: of one colour, the widest first; what lies in several of them is darker. now: where what
    is known ends, as a dashed line.
    Raises ValueError if there is no line, or a line or band of unequal lengths.

    >>> past = Curve("observed", [1, 2, 3], [5.0, 11.0, 16.0])
    >>> interval = Band("95 %", [4, 5], [10.0, 8.0], [36.0, 44.0])
    >>> series([past], [interval], xlabel="year", ylabel="sunspots", now=3.5)[1:4]
    b'PNG'
    """
    _require_points(lines, bands)
    colors = THEMES[theme]
    figure, (axes,) = _figure(rows=1, height=3.0)
    for band in bands:
        axes.fill_between(
            band.x, band.lower, band.upper, color=colors["lines"][0], alpha=SHADE, linewidth=0
        )  # fmt: skip
    for line, color in zip(lines, (colors["ink"], *colors["lines"])):
        axes.plot(
            line.x, line.y, marker="o" if line.marker else None, markersize=3,
            linewidth=1.3, color=color, label=line.label,
        )  # fmt: skip
    if now is not None:
        axes.axvline(now, color=colors["ink"], linestyle=(0, (4, 3)), linewidth=1.0)
    style(axes, colors, xlabel, ylabel)
    entries = [*axes.lines[: len(lines)], *_swatches(bands, colors["lines"][0])]
    labels = [*(line.label for line in lines), *(band.label for band in bands)]
    figure.legend(
        entries, labels, loc="outside upper center",
        ncols=min(len(entries), 4 if len(entries) == 4 else 3),
        frameon=False, labelcolor=colors["ink"], fontsize=9,
    )  # fmt: skip
    return _png(figure)


def waves(
    rows: ArrayLike,
    labels: Sequence[str],
    *,
    step: float = 1.0,
    xlabel: str,
    ylabel: str,
    theme: str = "light",
) -> bytes:
    """Waves (n, T) below each other on one scale, each with its label; PNG bytes as of `series`.

    step: the distance of two values in the units of `xlabel`. Waves with the same label have the
    same colour.
    Raises ValueError unless there is a label for every wave, and a value in it.

    >>> waves([[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]], ["real", "made"], xlabel="s", ylabel="mV")[1:4]
    b'PNG'
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or rows.size == 0 or len(rows) != len(labels):
        raise ValueError(
            f"waves: expects waves (n, T) and n labels, got shape {rows.shape} and {len(labels)}"
        )
    colors = THEMES[theme]
    kinds = list(dict.fromkeys(labels))
    figure, panels = _figure(rows=len(rows), height=0.35 + 0.85 * len(rows))
    low, high = float(rows.min()), float(rows.max())
    margin = 0.05 * (high - low) or 1.0
    for axes, wave, label in zip(panels, rows, labels):
        color = (colors["ink"], *colors["lines"])[kinds.index(label) % 4]
        axes.plot(step * np.arange(len(wave)), wave, color=color, linewidth=1.0)
        style(axes, colors, "", "")
        axes.set_ylim(low - margin, high + margin)
        axes.tick_params(labelsize=8, labelbottom=axes is panels[-1])
        axes.set_title(label, loc="left", fontsize=8, pad=2, color=color)
    panels[-1].set_xlabel(xlabel, color=colors["ink"])
    figure.supylabel(ylabel, color=colors["ink"], fontsize=10)
    return _png(figure)


def _swatches(bands: Sequence[Band], color: str) -> list[Any]:
    """What the legend shows of each band: as dark as it is with those below it."""
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=color, alpha=1 - (1 - SHADE) ** depth, linewidth=0)
        for depth in range(1, len(bands) + 1)
    ]


def _require_points(lines: Sequence[Curve], bands: Sequence[Band]) -> None:
    uneven = [line.label for line in lines if len(line.x) != len(line.y)]
    uneven += [b.label for b in bands if not len(b.x) == len(b.lower) == len(b.upper)]
    if not lines or uneven:
        raise ValueError(
            f"series: as many x as y are needed in {', '.join(uneven)}"
            if uneven
            else "series: expects at least one line"
        )


def _figure(rows: int, height: float) -> tuple[Any, list[Any]]:
    """A figure of the report's width and its panels, from the top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, height), dpi=180, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    return buffer.getvalue()
