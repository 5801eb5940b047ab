"""Series: lines, intervals and waves are where their numbers say, light and dark."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from minigen.viz import Band, Curve, series, waves
from minigen.viz.curves import THEMES

PAST = Curve("observed", [1, 2, 3, 4], [3.0, 2.0, 1.0, 2.0])
MEAN = Curve("forecast", [5, 6, 7, 8], [2.0, 2.0, 2.0, 2.0])
WIDE = Band("95 %", [5, 6, 7, 8], [0.0] * 4, [4.0] * 4)
NARROW = Band("80 %", [5, 6, 7, 8], [1.0] * 4, [3.0] * 4)


def pixels(png: bytes) -> np.ndarray:
    return (imread(io.BytesIO(png)) * 255).round().astype(int)


def drawn(picture: np.ndarray, colour: str) -> np.ndarray:
    """Where exactly this colour is, opaque."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (picture[..., :3] == rgb).all(axis=2) & (picture[..., 3] == 255)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_have_the_colours_of_the_theme(theme: str) -> None:
    picture = pixels(series([PAST, MEAN], [WIDE], xlabel="year", ylabel="y", theme=theme))
    assert picture[0, 0, 3] == 0  # the page shows through
    past, mean = (
        drawn(picture, colour) for colour in (THEMES[theme]["ink"], THEMES[theme]["lines"][0])
    )
    assert past.sum() > 100
    assert mean.sum() > 100
    below_legend = slice(60, None)  # the past is left of what is forecast
    assert np.nonzero(past[below_legend])[1].mean() < np.nonzero(mean[below_legend])[1].mean()


def test_a_narrow_interval_lies_in_a_wide_one_and_is_darker() -> None:
    picture = pixels(series([PAST, MEAN], [WIDE, NARROW], xlabel="x", ylabel="y"))
    column = picture[60:, -60, 3]  # transparency from top to bottom where all is forecast
    once, twice = 0.22, 1 - (1 - 0.22) ** 2
    count = {level: (np.abs(column - 255 * level) <= 2).sum() for level in (once, twice)}
    assert count[once] > 20
    assert count[twice] > 20
    first = {level: np.argmax(np.abs(column - 255 * level) <= 2) for level in count}
    assert first[once] < first[twice]


def test_now_is_marked() -> None:
    plain = pixels(series([PAST], xlabel="x", ylabel="y"))
    marked = pixels(series([PAST], xlabel="x", ylabel="y", now=2.5))
    columns = np.nonzero((plain != marked).any(axis=(0, 2)))[0]
    assert 0 < len(columns) < 12
    assert abs(columns.mean() / plain.shape[1] - 0.5) < 0.1


def test_waves_of_one_kind_have_one_colour() -> None:
    rows = np.sin(np.arange(90).reshape(3, 30))
    picture = pixels(waves(rows, ["real", "made", "made"], xlabel="s", ylabel="mV"))
    ink, blue, orange = (
        drawn(picture, c) for c in (THEMES["light"]["ink"], *THEMES["light"]["lines"][:2])
    )
    assert ink.sum() > 100
    assert blue.sum() > 100
    assert orange.sum() == 0
    assert np.nonzero(blue)[0].min() > np.nonzero(drawn(picture, THEMES["light"]["ink"]))[0].min()


def test_the_time_axis_counts_in_steps() -> None:
    rows = np.zeros((1, 11))
    fine, coarse = (
        pixels(waves(rows, ["a"], step=step, xlabel="s", ylabel="mV")) for step in (0.1, 10.0)
    )
    assert (fine != coarse).any()  # other numbers below the axis


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one line"):
        series([], xlabel="x", ylabel="y")
    with pytest.raises(ValueError, match="as many x as y are needed in bad, 95 %"):
        series(
            [Curve("bad", [1, 2], [1])], [Band("95 %", [1], [1], [1, 2])], xlabel="x", ylabel="y"
        )
    with pytest.raises(ValueError, match=r"got shape \(2, 5\) and 1"):
        waves(np.zeros((2, 5)), ["one"], xlabel="s", ylabel="mV")
    with pytest.raises(ValueError, match=r"got shape \(0, 5\)"):
        waves(np.zeros((0, 5)), [], xlabel="s", ylabel="mV")
