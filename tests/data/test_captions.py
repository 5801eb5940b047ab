"""Geometry of figures whose geometry is known, and captions that say what they were made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minigen.data import load_mnist5k
from minigen.data.captions import (
    DIGITS,
    MIDDLE,
    WORDS,
    Caption,
    levels,
    measure,
    parse,
)


@pytest.fixture(scope="module")
def train() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_mnist5k("train")
    return images / 255, labels


def bar(wide: float, shear: float = 0.0, shift: float = 0.0) -> np.ndarray:
    """20 rows of a stroke as wide, each moved by `shear` pixels more than the one below; pixels are
    grey where the stroke covers a part of them."""
    image = np.zeros((28, 28))
    for row in range(4, 24):
        left = 14 + shift - wide / 2 + shear * (13.5 - row)
        edges = np.arange(29)
        cover = np.minimum(edges[1:], left + wide) - np.maximum(edges[:-1], left)
        image[row] = cover.clip(0, 1)
    return image


@pytest.mark.parametrize("wide", [2, 3, 5, 8])
def test_thickness_and_width_of_a_bar(wide: int) -> None:
    """2 a l / 2 (a + l), but for its corners; four deviations of as many equal pixels."""
    ((thickness, slant, width),) = measure(bar(wide, shift=wide % 2 / 2)[None])
    assert thickness == pytest.approx(20 * wide / (20 + wide), rel=0.02)
    assert slant == pytest.approx(0, abs=1e-12)
    assert width == pytest.approx(4 * np.sqrt((wide**2 - 1) / 12))


@pytest.mark.parametrize("shear", [-0.5, 0.25, 0.6])
def test_slant_is_the_shear_and_leaves_the_rest(shear: float) -> None:
    upright, leaning = measure(np.stack([bar(4), bar(4, shear)]))
    assert leaning[1] == pytest.approx(shear, abs=0.002)  # to the right is positive
    assert leaning[2] == pytest.approx(upright[2], rel=0.08)  # its edges are grey
    assert leaning[0] == pytest.approx(upright[0] / np.sqrt(1 + shear**2), rel=0.1)


def test_where_a_digit_stands_does_not_matter(train: tuple) -> None:
    images = np.pad(train[0][:50], ((0, 0), (4, 4), (4, 4)))
    moved = np.roll(images, (3, -2), axis=(1, 2))
    np.testing.assert_allclose(measure(moved), measure(images), rtol=1e-9, atol=1e-9)


def test_strokes_that_grow_are_thicker(train: tuple) -> None:
    images = train[0][:200]
    grown = np.maximum.reduce([np.roll(images, step, axis=2) for step in (-1, 0, 1)])
    assert (measure(grown)[:, 0] > measure(images)[:, 0]).all()


def test_a_third_of_each_digit_is_at_each_level(train: tuple) -> None:
    images, labels = train
    found = levels(images, labels)
    for digit in range(10):
        shares = [(found[labels == digit] == level).mean(axis=0) for level in range(3)]
        np.testing.assert_allclose(shares, 1 / 3, atol=0.005)


def test_an_image_without_ink_has_no_level() -> None:
    assert levels(np.zeros((1, 28, 28)), [3]).tolist() == [[-1, -1, -1]]
    with pytest.raises(ValueError, match="image 1 has no ink"):
        measure(np.stack([np.ones((5, 5)), np.zeros((5, 5))]))
    with pytest.raises(ValueError, match="height, width"):
        measure(np.ones((5, 5)))


def test_every_caption_reads_back() -> None:
    for digit, said in itertools.product(range(10), itertools.product(range(3), repeat=3)):
        caption = Caption(digit, said)
        assert parse(str(caption)) == caption
    assert str(Caption(8, (MIDDLE, 0, MIDDLE))) == "an upright eight"
    assert parse("Three tilted THICK") == Caption(3, (2, 2, 1))


def test_captions_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'fat'; there are thin, thick, .* nine"):
        parse("a fat three")
    with pytest.raises(ValueError, match="thickness is given twice"):
        parse("a thin thick three")
    with pytest.raises(ValueError, match="two digits"):
        parse("a three four")
    with pytest.raises(ValueError, match="names no digit"):
        parse("a thick")
    assert len({*DIGITS, *itertools.chain(*WORDS)}) == 16
