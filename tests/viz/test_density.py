"""Density maps: every point is somewhere, and in the right place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from minigen.viz.density import density, density_maps

rng = np.random.default_rng(0)


def test_cells_hold_the_shares_of_points() -> None:
    points = rng.uniform(-1, 1, (500, 2))
    cells = density(points, (-1, 1), bins=4, blur=0)
    for row in range(4):
        for column in range(4):
            low = np.array([column, row]) / 2 - 1
            inside = ((points >= low) & (points < low + 0.5)).all(1).mean()
            assert cells[row, column] == pytest.approx(inside)


def test_a_blurred_map_loses_nothing_and_moves_nothing() -> None:
    """Not even at the border, where half of a point's spread would fall outside."""
    for x, y in ((0.0, 0.0), (0.98, -0.98)):
        cells = density([[x, y]], (-1, 1), bins=51, blur=2.0)
        assert cells.sum() == pytest.approx(1)
        row, column = np.unravel_index(cells.argmax(), cells.shape)
        middle = -1 + (np.array([column, row]) + 0.5) * 2 / 51
        assert np.abs(middle - [x, y]).max() < 0.1
    assert density([[0.0, 0.0]], (-1, 1), bins=51, blur=2.0).max() < 0.05


def test_points_outside_count_in_the_whole() -> None:
    assert density([[0.0, 0.0], [9.0, 0.0]], (-1, 1), bins=3).sum() == pytest.approx(0.5)


def test_what_is_refused() -> None:
    for points in ([], [1.0, 2.0], np.zeros((3, 3))):
        with pytest.raises(ValueError, match=r"expects points \(N, 2\)"):
            density(points, (-1, 1))
    with pytest.raises(ValueError, match="no interval"):
        density([[0.0, 0.0]], (1, 1))
    with pytest.raises(ValueError, match="at least one panel"):
        density_maps([], (-1, 1))


def test_maps_are_as_bright_where_points_are() -> None:
    """y upward, x to the right; one panel dark in the place where the other is bright."""
    left = rng.normal((-0.5, 0.5), 0.02, (2000, 2))
    right = rng.normal((0.5, 0.5), 0.02, (2000, 2))
    picture = imread(io.BytesIO(density_maps([("a", left), ("b", right)], (-1, 1))), format="png")
    bright = np.argwhere(picture[..., 0] - picture[..., 2] > 0.2)  # the map's orange and yellow
    height, width = picture.shape[:2]
    assert (bright[:, 0] < height / 2).all()
    columns = bright[:, 1] / width
    assert len(columns) > 20
    assert ((columns > 0.05) & (columns < 0.3)).any()
    assert ((columns > 0.7) & (columns < 0.95)).any()
    assert not ((columns > 0.32) & (columns < 0.68)).any()


def test_centres_are_marked() -> None:
    points = rng.normal(size=(50, 2))
    plain = density_maps([("a", points)], (-3, 3))
    assert density_maps([("a", points)], (-3, 3), centres=[[0.0, 1.0]]) != plain
