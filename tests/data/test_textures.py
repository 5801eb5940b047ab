"""Pages of strokes: of the size that was asked for, and each of strokes of its own direction."""

from __future__ import annotations

import numpy as np
import pytest

from minigen.data.textures import PAGES


@pytest.mark.parametrize("name", list(PAGES))
@pytest.mark.parametrize("size", [112, 50])
def test_pages_are_grey_pictures_of_the_size(name: str, size: int) -> None:
    page = PAGES[name](size)
    assert page.shape == (size, size)
    assert page.dtype == np.float32
    assert page.min() == 0
    assert 0.9 <= page.max() <= 1
    assert 0.03 < page.mean() < 0.4
    np.testing.assert_array_equal(page, PAGES[name](size))


def test_strokes_have_the_direction_they_should() -> None:
    """Upright strokes change from column to column, level ones from row to row."""
    for name, upright in (("ones", True), ("heartbeats", False), ("sunspots", True)):
        page = PAGES[name]()
        down, right = (np.abs(np.diff(page, axis=axis)).mean() for axis in (0, 1))
        assert (right > 1.5 * down) == upright, name
        assert (down > 1.5 * right) != upright, name
