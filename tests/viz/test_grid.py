"""Grids: every pixel where it belongs, and PNG files that read back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from minigen.viz import png, tile


def test_images_stand_in_rows_with_gaps_between() -> None:
    images = np.arange(1, 6)[:, None, None] / 10 * np.ones((5, 2, 3))
    grid = tile(images, columns=3, gap=1, background=0.9)
    assert grid.shape == (2 * 2 + 1, 3 * 3 + 2)
    np.testing.assert_allclose(grid[0, ::4], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(grid[4, ::4], [0.4, 0.5, 0.9])
    np.testing.assert_allclose(grid[2], 0.9)
    np.testing.assert_allclose(grid[:, 3], 0.9)


def test_values_are_clipped_and_a_short_row_is_not_widened() -> None:
    grid = tile(np.array([[[-3.0]], [[7.0]]]), columns=8, gap=0)
    np.testing.assert_array_equal(grid, [[0, 1]])


def test_colour_images_keep_their_channels() -> None:
    images = np.zeros((3, 2, 2, 3))
    images[0, ..., 0] = images[1, ..., 1] = images[2, ..., 2] = 1  # red, green, blue
    grid = tile(images, columns=2, gap=1, background=0.5)
    assert grid.shape == (5, 5, 3)
    np.testing.assert_array_equal(grid[0, ::3], [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(grid[3, ::3], [[0, 0, 1], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4), (2, 1, 4, 4), (2, 4, 4, 4), (1, 4, 4, 3, 1)])
def test_what_is_no_set_of_images_is_refused(shape: tuple) -> None:
    with pytest.raises(ValueError, match="tile"):
        tile(np.zeros(shape))
    with pytest.raises(ValueError, match="columns"):
        tile(np.zeros((1, 2, 2)), columns=0)


def test_no_pixel_may_be_missing() -> None:
    images = np.zeros((3, 2, 2))
    images[1, 0, 1] = np.nan
    with pytest.raises(ValueError, match="image 1 holds NaN"):
        tile(images)


def test_a_png_reads_back_enlarged() -> None:
    image = np.random.default_rng(0).random((3, 4))
    pixels = imread(io.BytesIO(png(image, scale=5)))[..., 0]
    assert pixels.shape == (15, 20)
    np.testing.assert_allclose(pixels[2::5, 2::5], image, atol=1 / 255)
    assert png(image) == png(image)


def test_a_png_in_colour_reads_back() -> None:
    image = np.random.default_rng(1).random((3, 4, 3))
    pixels = imread(io.BytesIO(png(image, scale=2)))
    assert pixels.shape[:2] == (6, 8)
    np.testing.assert_allclose(pixels[::2, 1::2, :3], image, atol=1 / 255)
    with pytest.raises(ValueError, match="png"):
        png(np.zeros((4, 4, 1)))


def test_values_beyond_white_and_black_are_white_and_black() -> None:
    pixels = imread(io.BytesIO(png(np.array([[-1.0, 2.0]]), scale=1)))
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 1])
