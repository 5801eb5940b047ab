"""The picture of a figure over the number of samples."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from minigen.metrics import frechet_by_size
from minigen.viz import by_size


def ink(picture: bytes) -> int:
    return int((imread(io.BytesIO(picture))[..., 3] > 0).sum())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_draws_what_it_is_given(theme: str) -> None:
    rng = np.random.default_rng(0)
    found = frechet_by_size(*rng.standard_normal((2, 300, 4)), [20, 60, 300], repeats=3)
    plain = by_size(found.sizes, found.means, found.spreads, theme=theme)
    assert ink(plain) > 1000
    lines = by_size(
        found.sizes, found.means, found.spreads, infinite=found.infinite, floor=0.0, theme=theme
    )
    assert ink(lines) > ink(plain)
    assert by_size(found.sizes, found.means, found.spreads, theme=theme) == plain
    bars = by_size(found.sizes, found.means, [10 * s for s in found.spreads], theme=theme)
    assert bars != plain


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="2, 1, 2"):
        by_size([1, 2], [1.0], [0.0, 0.0])
    with pytest.raises(ValueError, match="0, 0, 0"):
        by_size([], [], [])
