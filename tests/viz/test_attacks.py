"""The picture of attacks: all pictures in it, and what is read wrongly in another colour."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from minigen.viz import attacks


def red(png: bytes) -> int:
    pixels = imread(io.BytesIO(png))[..., :3]
    return int((pixels[..., 0] > pixels[..., 1] + 0.3).sum())


def test_what_is_misread_is_written_in_red() -> None:
    digits = np.zeros((3, 8, 8))
    changed = digits + 0.1
    sure = np.array([0.9, 0.8, 0.7])
    before, same = (np.array([1, 2, 3]), sure), (np.array([1, 2, 3]), sure)
    fooled = (np.array([1, 7, 3]), sure)
    assert red(attacks(digits, changed, before, same)) == 0
    assert red(attacks(digits, changed, before, fooled)) > 10


def test_a_column_for_each_and_the_same_bytes_every_time() -> None:
    said = (np.array([4]), np.array([0.5]))
    one = attacks(np.zeros((1, 8, 8)), np.ones((1, 8, 8)), said, said)
    assert one == attacks(np.zeros((1, 8, 8)), np.ones((1, 8, 8)), said, said)
    many = (np.arange(4), np.full(4, 0.5))
    four = attacks(np.zeros((4, 8, 8)), np.ones((4, 8, 8)), many, many)
    width = [imread(io.BytesIO(png)).shape[1] for png in (one, four)]
    assert width[1] == pytest.approx(4 * width[0], abs=4)


@pytest.mark.parametrize("shapes", [((2, 8, 8), (3, 8, 8)), ((0, 8, 8), (0, 8, 8))])
def test_unequal_numbers_and_none_are_refused(shapes: tuple) -> None:
    said = (np.zeros(0, int), np.zeros(0))
    with pytest.raises(ValueError, match="as many attacked pictures"):
        attacks(np.zeros(shapes[0]), np.zeros(shapes[1]), said, said)
