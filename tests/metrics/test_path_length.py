"""Perceptual path length on ways whose length is known."""

import numpy as np
import pytest

from minigen.metrics import path_length, spherical

ends = np.random.default_rng(0).normal(size=(50, 3))


def test_a_straight_way_is_as_long_as_its_ends_are_apart() -> None:
    found = path_length(lambda t: 5 + t[:, None] * ends, paths=50)
    assert found.length == pytest.approx(np.square(ends).sum(1).mean(), rel=1e-6)
    assert found.detour == pytest.approx(1, rel=1e-6)
    assert found.paths == 50


def test_half_a_circle_is_longer_by_the_square_of_half_pi() -> None:
    def half(t: np.ndarray) -> np.ndarray:
        return np.stack([np.cos(np.pi * t), np.sin(np.pi * t)], axis=1)

    assert path_length(half, paths=20).detour == pytest.approx((np.pi / 2) ** 2, rel=1e-5)


def test_a_jump_in_the_middle_is_a_long_way() -> None:
    def late(t: np.ndarray) -> np.ndarray:  # a sigmoid: slow, fast, slow
        return (1 / (1 + np.exp(-40 * (t - 0.5))))[:, None]

    found = path_length(late, paths=200_000)  # the integral of the squared slope: 40 / 6
    assert found.detour == pytest.approx(40 / 6, rel=0.02)


def test_what_never_changes_has_no_detour() -> None:
    found = path_length(lambda t: np.ones((len(t), 2)), paths=4)
    assert found.length == 0
    assert np.isnan(found.detour)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="step must lie between 0 and 1"):
        path_length(lambda t: t[:, None], paths=2, step=0.0)
    with pytest.raises(ValueError, match=r"features must be \(2, F\)"):
        path_length(lambda t: t, paths=2)


def test_the_great_circle_keeps_the_length() -> None:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (ends, ends[::-1]))
    middle = spherical(a, b, np.full(50, 0.3))
    np.testing.assert_allclose(np.linalg.norm(middle, axis=1), 1)
    np.testing.assert_allclose(spherical(a, b, np.zeros(50)), a, atol=1e-9)
    np.testing.assert_allclose(spherical(a, b, np.ones(50)), b, atol=1e-9)
