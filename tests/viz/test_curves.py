"""Curves: pictures of the right size, light and dark, without any display."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from minigen.viz import Curve, curves

SERIES = [Curve("a", [1, 2, 3], [3.0, 2.0, 1.0]), Curve("b", [1, 3], [2.5, 1.5], marker=True)]


def pixels(**options: object) -> np.ndarray:
    options = {"ylabel": "loss", **options}
    return imread(io.BytesIO(curves(SERIES, **options)))  # type: ignore[arg-type]


def test_both_curves_are_drawn_in_the_colours_of_the_theme() -> None:
    for theme, colours in (
        ("light", ["2f6fde", "d9622b"]),
        ("dark", ["7aa7ff", "ff9a66"]),
    ):
        picture = (pixels(theme=theme) * 255).round().astype(int)
        assert picture.shape[2] == 4
        assert (picture[0, 0] == [255, 255, 255, 0]).all()  # the page shows through
        for colour in colours:
            rgb = [int(colour[i : i + 2], 16) for i in (0, 2, 4)]
            assert (picture[..., :3] == rgb).all(axis=2).sum() > 100, colour


def test_a_level_adds_a_line() -> None:
    assert (pixels() != pixels(level=("reference", 2.0))).any()


def test_a_border_adds_a_line() -> None:
    assert (pixels() != pixels(border=("trained up to here", 1.5))).any()


def test_an_opaque_picture_has_a_white_ground() -> None:
    assert (pixels(opaque=True)[0, 0] == 1).all()


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 6 curves"):
        curves([], ylabel="loss")
    with pytest.raises(ValueError, match="as many x as y"):
        curves([Curve("a", [1, 2], [1])], ylabel="loss")


def test_no_display_and_no_global_state_is_touched() -> None:
    code = (
        "import sys; from minigen.viz import Curve, curves;"
        "assert 'matplotlib' not in sys.modules;"
        "curves([Curve('a', [1], [1])], ylabel='y');"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PATH": "", "MPLBACKEND": "qtagg"}
    )
