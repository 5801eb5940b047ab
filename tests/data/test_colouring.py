"""Colour digits: made of the grey ones, which `ink` gives back, and of colours far enough apart."""

from __future__ import annotations

import numpy as np
import pytest

from minigen.data import coloured, ink, load_colour_digits, load_mnist5k
from minigen.data.colouring import CONTRAST, colours, two_colours


def test_the_ink_is_the_grey_digit_and_the_rim_is_ground() -> None:
    grey, labels = load_mnist5k("train")
    pictures, same = load_colour_digits("train")
    assert pictures.shape == (4000, 32, 32, 3)
    np.testing.assert_array_equal(labels, same)
    grey = grey[:300] / 255
    darkest = grey.max((1, 2), keepdims=True)
    # Two colours at least 0.6 apart, in steps of 1/255: at most 0.6 % from rounding each end.
    assert np.abs(ink(pictures[:300] / 255) - grey / darkest).max() < 0.012
    assert (pictures[:, 0] == pictures[:, -1]).all()
    assert (pictures[:, :, :1] == pictures[:, :, 1:2]).all()


def test_colours_are_those_that_were_drawn() -> None:
    grounds, inks = two_colours(500, np.random.default_rng(4))
    images = np.zeros((500, 28, 28), np.uint8)
    images[:, 5:15, 8:12] = 255
    found = colours(coloured(images, np.random.default_rng(4)) / 255)
    np.testing.assert_allclose(found, np.concatenate([grounds, inks], axis=1), atol=0.5 / 255)
    apart = np.linalg.norm(inks - grounds, axis=1)
    assert apart.min() >= CONTRAST
    assert grounds.max() <= 0.3
    assert inks.min() >= 0.4
    assert grounds.std(0).min() > 0.08  # as spread as uniform colours are, 0.3 / √12 = 0.087
    assert inks.std(0).min() > 0.15  # 0.6 / √12 = 0.173
    assert np.abs(np.corrcoef(grounds.T)[np.triu_indices(3, 1)]).max() < 0.15


def test_colours_follow_the_seed_and_the_split() -> None:
    first, again = load_colour_digits("test").images, load_colour_digits("test").images
    np.testing.assert_array_equal(first, again)
    assert (load_colour_digits("test", seed=1).images[:, 0, 0] != first[:, 0, 0]).any()
    train = load_colour_digits("train").images[:1000]
    assert (train[:, 0, 0] != first[:, 0, 0]).any(axis=1).mean() > 0.99
    with pytest.raises(ValueError, match="split"):
        load_colour_digits("validation")


def test_ink_does_not_depend_on_the_colours_and_is_zero_on_a_blank() -> None:
    grey, _ = load_mnist5k("test")
    one, other = (coloured(grey[:20], np.random.default_rng(seed)) / 255 for seed in (1, 2))
    assert np.abs(one - other).max() > 0.2
    np.testing.assert_allclose(ink(one), ink(other), atol=0.02)
    assert (ink(np.full((2, 32, 32, 3), 0.3)) == 0).all()


def test_bad_input_is_refused_by_name() -> None:
    for shape in ((2, 3, 32, 32), (2, 32, 32), (2, 28, 28, 3), (2, 32, 32, 1)):
        with pytest.raises(ValueError, match=r"needs \(N, 32, 32, 3\)"):
            ink(np.zeros(shape))
    broken = np.zeros((3, 32, 32, 3))
    broken[2, 1, 1, 1] = np.nan
    with pytest.raises(ValueError, match="picture 2 holds NaN"):
        colours(broken)
