"""Pictures of attention and probabilities: every panel, cell and label is where it should be."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest

from minigen.viz.attention import AttentionMap, attention_picture, probability_picture, visible


def pixels(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def a_map(weights: np.ndarray) -> AttentionMap:
    _, t, s = weights.shape
    return AttentionMap("layer", weights, list("abcdefgh")[:t], list("hgfedcba")[:s])


def darkness(png: bytes) -> float:
    """How much ink is on the page."""
    return float((1 - pixels(png)).mean())


def test_weights_are_ink() -> None:
    """A row's weight on one token is a black square; spread evenly it is pale."""
    focused = np.zeros((1, 8, 8))
    focused[0, :, 2] = 1
    blank = darkness(attention_picture([a_map(np.zeros((1, 8, 8)))]))
    assert darkness(attention_picture([a_map(focused)])) > blank + 0.05
    picture = pixels(attention_picture([a_map(focused)]))
    black = (picture < 0.05).all(axis=2)
    columns = np.flatnonzero(black.sum(axis=0) > picture.shape[0] / 3)  # a whole column of squares
    assert len(columns) > 10
    assert (np.diff(columns) == 1).all()


def test_every_head_and_map_has_its_panel() -> None:
    one = pixels(attention_picture([a_map(np.ones((1, 4, 6)))])).shape
    heads = pixels(attention_picture([a_map(np.ones((2, 4, 6)))])).shape
    maps = pixels(attention_picture([a_map(np.ones((1, 4, 6)))] * 2)).shape
    assert heads[1] > 1.7 * one[1]
    assert maps[0] > 1.8 * one[0]


def test_maps_of_different_shapes_and_heads() -> None:
    maps = [a_map(np.ones((1, 2, 8))), a_map(np.ones((4, 8, 2)))]
    assert attention_picture(maps)[1:4] == b"PNG"


def test_a_long_text_stays_a_picture() -> None:
    letters = ["x"] * 64
    shape = pixels(
        attention_picture([AttentionMap("", np.ones((4, 64, 64)) / 64, letters, letters)])
    )
    assert max(shape.shape) < 4000


def test_sure_and_unsure() -> None:
    sure = np.full((6, 5), 0.0)
    sure[:, 1] = 1
    page = darkness(probability_picture(["b"] * 6, list("abcde"), sure))
    assert page > darkness(probability_picture(["b"] * 6, list("abcde"), np.full((6, 5), 0.2)))


def test_what_cannot_be_seen_is_shown() -> None:
    assert [visible(c) for c in " \n\0\2\3x"] == ["␣", "⏎", "∅", "▸", "■", "x"]
    assert probability_picture([" ", "\3"], [" ", "\3", "$"], np.full((2, 3), 1 / 3))[1:4] == b"PNG"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no map"):
        attention_picture([])
    with pytest.raises(ValueError, match="3 tokens that look at 2"):
        attention_picture([AttentionMap("", np.ones((1, 2, 2)), list("abc"), list("ab"))])
    with pytest.raises(ValueError, match="2 tokens out of 3"):
        probability_picture(["a", "b"], ["a", "b", "c"], np.ones((2, 2)))
    with pytest.raises(ValueError, match="0 tokens"):
        probability_picture([], ["a"], np.ones((0, 1)))
