"""Curves over training steps, drawn once for a light page and once for a dark one."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

THEMES = {
    "light": {
        "ink": "#3d4451",
        "grid": "#dfe3ea",
        "lines": ("#2f6fde", "#d9622b", "#2a9d6f", "#8a4fbf", "#b3892a", "#c2407e"),
    },
    "dark": {
        "ink": "#b6bdca",
        "grid": "#343b47",
        "lines": ("#7aa7ff", "#ff9a66", "#62d2a2", "#c29bf0", "#e3c05f", "#f08cbb"),
    },
}

MOST = 6  # curves in a picture: so many colours can be told apart


@dataclass(frozen=True)
class Curve:
    """A line through the points (x, y); `marker` shows the points themselves, too."""

    label: str
    x: Sequence[float] | NDArray
    y: Sequence[float] | NDArray
    marker: bool = False


def curves(
    series: Sequence[Curve],
    *,
    ylabel: str,
    xlabel: str = "step",
    level: tuple[str, float] | None = None,
    border: tuple[str, float] | None = None,
    limits: tuple[float, float] | None = None,
    theme: str = "light",
    opaque: bool = False,
) -> bytes:
    """The curves in one picture with a transparent ground, as a PNG file's bytes.

    level: (label, y) of a horizontal line to compare with; border: (label, x) of a vertical line.
    limits: of y. opaque: on white ground, for a page of any colour.
    Raises ValueError if there is no curve, more than MOST, or one of unequal lengths.

    >>> picture = curves([Curve("loss", [1, 2, 3], [0.9, 0.5, 0.4])], ylabel="nats")
    >>> picture[1:4]
    b'PNG'
    """
    if not 1 <= len(series) <= MOST or any(len(c.x) != len(c.y) for c in series):
        raise ValueError(f"curves: expects 1 to {MOST} curves, each with as many x as y")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colors = THEMES[theme]
    figure = Figure(figsize=(5.4, 3.0), dpi=180, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for curve, color in zip(series, colors["lines"]):
        axes.plot(
            curve.x, curve.y, marker="o" if curve.marker else None, markersize=4,
            linewidth=1.8, color=color, label=curve.label,
        )  # fmt: skip
    if border is not None:
        axes.axvline(border[1], color=colors["ink"], linestyle=(0, (1, 2)), linewidth=1.2)
        axes.annotate(
            border[0], (border[1], 1), xycoords=("data", "axes fraction"), xytext=(-4, -2),
            textcoords="offset points", va="top", ha="right", color=colors["ink"],
        )  # fmt: skip
    if limits is not None:
        axes.set_ylim(*limits)
    if level is not None:
        axes.axhline(level[1], color=colors["ink"], linestyle=(0, (4, 3)), linewidth=1.2)
        low, high = axes.get_ylim()
        above = level[1] - low < 0.1 * (high - low)  # there is no room below
        axes.annotate(
            level[0], (0, level[1]), xycoords=("axes fraction", "data"),  # losses fall: free there
            xytext=(4, 4 if above else -4), textcoords="offset points",
            va="bottom" if above else "top", color=colors["ink"],
        )  # fmt: skip
    style(axes, colors, xlabel, ylabel)
    if len(series) > 1:
        axes.legend(
            frameon=False, labelcolor=colors["ink"], ncols=3, columnspacing=1.2,
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0,  # where no curve runs
        )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=not opaque, metadata={"Software": None})
    return buffer.getvalue()


def light_and_dark(draw: Callable[..., bytes]) -> tuple[bytes, bytes]:
    """What `draw` makes for `theme="light"` and for `theme="dark"`.

    >>> light_and_dark(lambda theme: theme.encode())
    (b'light', b'dark')
    """
    return draw(theme="light"), draw(theme="dark")


def style(axes: Any, colors: dict[str, Any], xlabel: str, ylabel: str) -> None:
    """Labels, grid and frame in the colours of a theme."""
    axes.set_xlabel(xlabel, color=colors["ink"])
    axes.set_ylabel(ylabel, color=colors["ink"])
    axes.tick_params(colors=colors["ink"])
    axes.grid(color=colors["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colors["grid"])
    axes.margins(x=0.01)
