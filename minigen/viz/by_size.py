"""A figure over the number of samples it was computed from: how much of it is bias?"""

from __future__ import annotations

import io
from collections.abc import Sequence

from minigen.viz.curves import THEMES, style


def by_size(
    sizes: Sequence[int],
    means: Sequence[float],
    spreads: Sequence[float],
    *,
    infinite: float | None = None,
    floor: float | None = None,
    ylabel: str = "Fréchet distance",
    theme: str = "light",
) -> bytes:
    """Means with bars of one spread either way, over n on a logarithmic axis; a PNG file's bytes.

    infinite: the value extrapolated to n = ∞, a dashed line; floor: that of real data, a dotted
    one. The fields of `minigen.metrics.BySize` fit: `by_size(f.sizes, f.means, f.spreads,
    infinite=f.infinite)`. Raises ValueError for nothing to draw or unequal lengths.

    >>> by_size([100, 200, 400], [12.0, 8.0, 6.1], [1.0, 0.5, 0.2], infinite=4.0)[1:4]
    b'PNG'
    """
    if not sizes or not len(sizes) == len(means) == len(spreads):
        raise ValueError(
            "by_size: needs a mean and a spread for every size, got "
            f"{len(sizes)}, {len(means)}, {len(spreads)}"
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colors = THEMES[theme]
    figure = Figure(figsize=(5.4, 3.0), dpi=180, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.errorbar(
        sizes, means, yerr=spreads, marker="o", markersize=4, capsize=3, color=colors["lines"][0],
        label="mean ± spread of subsets",
    )  # fmt: skip
    for value, dashes, label in ((infinite, "--", "n = ∞, extrapolated"), (floor, ":", "real")):
        if value is not None:
            axes.axhline(value, color=colors["ink"], linestyle=dashes, label=label)
    axes.set_xscale("log")
    axes.set_xticks(list(sizes), [f"{n:,}" for n in sizes], minor=False)
    axes.minorticks_off()
    style(axes, colors, "number of samples, n", ylabel)
    axes.margins(x=0.05)
    axes.legend(frameon=False, labelcolor=colors["ink"])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    return buffer.getvalue()
