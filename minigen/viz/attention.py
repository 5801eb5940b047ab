"""Pictures of what a model looked at, and of how sure it was."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK, PAPER, GRID = "#1d222b", "#ffffff", "#e3e7ee"
SHOWN = {" ": "␣", "\n": "⏎", "\0": "∅", "\2": "▸", "\3": "■"}  # characters that cannot be seen


@dataclass(frozen=True)
class AttentionMap:
    """The weights of an attention's heads: each of T tokens looks at S, rows that sum to one.

    weights: (h, T, S); rows: the T tokens that look; columns: the S they look at.
    """

    title: str
    weights: NDArray[Any]
    rows: Sequence[str]
    columns: Sequence[str]


@dataclass(frozen=True)
class Look:
    """What can be shown of a model at work on one text.

    of: what it was given; maps: of its attention; written: its T tokens; probabilities (T, V): of
    all tokens of the alphabet at each of the T places.
    """

    of: str
    maps: Sequence[AttentionMap]
    written: Sequence[str]
    alphabet: Sequence[str]
    probabilities: NDArray[Any]


def visible(token: str) -> str:
    """A token as a label: what cannot be seen has a sign.

    >>> visible("a"), visible(" "), visible("to be")
    ('a', '␣', 'to be')
    """
    return SHOWN.get(token, token.replace("\n", "⏎"))


def attention_picture(maps: Sequence[AttentionMap]) -> bytes:
    """A row of panels for each attention, a panel for each head, as a PNG file's bytes.

    Black is the whole weight of a row.  Raises ValueError if there is no map, or one whose weights
    do not fit its tokens.

    >>> one = AttentionMap("layer 1", np.eye(3)[None], list("abc"), list("abc"))
    >>> attention_picture([one])[1:4]
    b'PNG'
    """
    for m in maps:
        if m.weights.ndim != 3 or m.weights.shape[1:] != (len(m.rows), len(m.columns)):
            raise ValueError(
                f"attention_picture: weights of {m.title} have shape {m.weights.shape}, for "
                f"{len(m.rows)} tokens that look at {len(m.columns)}"
            )
    if not maps:
        raise ValueError("attention_picture: there is no map to draw")
    heads = max(len(m.weights) for m in maps)
    longest = max(max(m.weights.shape[1:]) for m in maps)
    cell = max(0.07, min(0.17, 5 / longest))  # inches a token
    widths = cell * max(len(m.columns) for m in maps) + 0.55
    heights = [cell * len(m.rows) + 0.75 for m in maps]
    figure = _figure(heads * widths + 0.2, sum(heights) + 0.1)
    parts = figure.subfigures(len(maps), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, m in zip(parts, maps):
        part.suptitle(m.title, fontsize=9, color=INK, x=0.01, ha="left")
        for head, axes in enumerate(part.subplots(1, heads, squeeze=False)[0]):
            if head >= len(m.weights):
                axes.set_axis_off()
                continue
            axes.imshow(m.weights[head], cmap="Greys", vmin=0, vmax=1, aspect="equal")
            axes.set_title(f"head {head + 1}", fontsize=7, color=INK, pad=3)
            _label(axes, () if head else m.rows, m.columns, 38 * cell)
    return _png(figure)


def probability_picture(
    written: Sequence[str], alphabet: Sequence[str], probabilities: NDArray[Any], best: int = 5
) -> bytes:
    """How likely each written token was, above the likeliest that might have stood there: a PNG
    file's bytes.

    probabilities: (T, V) of the tokens of the alphabet at each of the T places.
    Raises ValueError if the shapes do not fit, or nothing is written.

    >>> picture = probability_picture(["b"], ["a", "b", "c"], np.array([[0.2, 0.7, 0.1]]))
    >>> picture[1:4]
    b'PNG'
    """
    if not written or probabilities.shape != (len(written), len(alphabet)):
        raise ValueError(
            f"probability_picture: probabilities of shape {probabilities.shape} for "
            f"{len(written)} tokens out of {len(alphabet)}"
        )
    best = min(best, len(alphabet))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :best]
    p = np.take_along_axis(probabilities, order, axis=1)  # (T, best)
    figure = _figure(0.42 * len(written) + 0.9, 0.3 * best + 0.9)
    axes = figure.add_subplot()
    axes.imshow(p.T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for place, token in enumerate(written):
        for rank in range(best):
            candidate = alphabet[order[place, rank]]
            ink = PAPER if p[place, rank] > 0.55 else INK
            weight = "bold" if candidate == token else "normal"
            text = f"{visible(candidate)}\n{p[place, rank]:.2f}"
            axes.text(place, rank, text, ha="center", va="center", color=ink, fontsize=6.5,
                      fontweight=weight, linespacing=1.0)  # fmt: skip
    axes.set_xticks(range(len(written)), [visible(t) for t in written], fontsize=8)
    axes.set_yticks(range(best), [str(rank + 1) for rank in range(best)], fontsize=7)
    axes.set_xlabel("written, from left to right", fontsize=8, color=INK)
    axes.set_ylabel("likeliest", fontsize=8, color=INK)
    _plain(axes)
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def _label(axes: Any, rows: Sequence[str], columns: Sequence[str], size: float) -> None:
    axes.set_xticks(range(len(columns)), [visible(t) for t in columns], fontsize=size)
    axes.set_yticks(range(len(rows)), [visible(t) for t in rows], fontsize=size)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.tick_params(length=0, pad=2, colors=INK)
    for spine in axes.spines.values():
        spine.set_color(GRID)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
