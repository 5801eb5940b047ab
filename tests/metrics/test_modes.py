"""Mode coverage, bits per dimension, and how a figure is printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigen.metrics import (
    Score,
    bits_per_dimension,
    class_coverage,
    grid_centres,
    mode_coverage,
    mode_distance,
    ring_centres,
)


def test_ring_and_grid() -> None:
    ring = ring_centres()
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1), 2)
    gaps = np.linalg.norm(ring - np.roll(ring, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 4 * np.sin(np.pi / 8))
    grid = grid_centres()
    assert sorted(map(tuple, grid)) == [(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)]


def test_true_samples_reach_every_mode() -> None:
    """In two dimensions 1 - exp(-3²/2) of a Gaussian lies within three standard deviations."""
    rng = np.random.default_rng(0)
    for centres, std in ((ring_centres(), 0.02), (grid_centres(), 0.05)):
        which = rng.integers(len(centres), size=20_000)
        samples = centres[which] + std * rng.standard_normal((20_000, 2))
        found = mode_coverage(samples, centres, std)
        assert found.captured == found.modes == len(centres)
        assert found.high_quality == pytest.approx(1 - np.exp(-4.5), abs=3e-3)
        assert found.counts.sum() == round(found.high_quality * 20_000)
        one_axis = np.abs(samples - centres[which]) <= 3 * std  # the square, not the circle
        assert abs(one_axis.all(1).mean() - found.high_quality) > 4e-3


def test_modes_that_are_missed_or_barely_reached() -> None:
    centres = ring_centres()
    samples = np.concatenate([np.repeat(centres[:3], 40, axis=0), centres[3:4], np.zeros((9, 2))])
    found = mode_coverage(samples, centres, 0.02)
    assert (found.captured, found.counts.tolist()) == (4, [40, 40, 40, 1, 0, 0, 0, 0])
    assert found.high_quality == pytest.approx(121 / 130)
    assert mode_coverage(samples, centres, 0.02, at_least=0.01).captured == 3
    assert mode_coverage(samples, centres, 0.02, deviations=150).high_quality == 1
    edge = [centres[:1] + np.array([[outward, 0.0]]) for outward in (0.0599, 0.0601)]
    assert [mode_coverage(e, centres, 0.02).captured for e in edge] == [1, 0]


def test_one_class_missing() -> None:
    labels = np.repeat([0, 1, 2, 4], 25)
    found = class_coverage(labels, 5)
    assert (found.seen, found.classes, found.counts.tolist()) == (4, 5, [25, 25, 25, 0, 25])
    assert found.distance == pytest.approx(0.2)
    assert class_coverage(np.arange(50) % 5, 5).distance == pytest.approx(0)
    misread = np.append(labels, [3])
    assert class_coverage(misread, 5).seen == 5
    assert class_coverage(misread, 5, at_least=0.04).seen == 4


def test_bits_per_dimension_of_a_coded_image() -> None:
    """A fair coin costs a bit, whatever the image's size, and log₂ turns nats into bits."""
    for pixels in (1, 784):
        assert bits_per_dimension(pixels * np.log(2), pixels) == pytest.approx(1)
    # N(0, 1/256) density of values in 0..1 that were bytes: differential entropy + 8 bits
    entropy = 0.5 * np.log(2 * np.pi * np.e) - np.log(256)
    bits = bits_per_dimension(100 * entropy, 100, levels=256)
    assert bits == pytest.approx(0.5 * np.log2(2 * np.pi * np.e))


def test_scores_say_what_they_were_computed_from() -> None:
    assert str(Score("FID", 237.06, 12_345, "digit classifier v1", floor=2.36, spread=0.04)) == (
        "FID 237.1 ± 0.0 (n = 12,345, features: digit classifier v1, floor 2.4)"
    )
    assert str(Score("recall", 0.5, 7, digits=3)) == "recall 0.500 (n = 7)"


RING = ring_centres()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mode_coverage(np.zeros((3, 3)), RING, 0.1), "samples"),
        (lambda: mode_coverage(np.zeros((0, 2)), RING, 0.1), "samples"),
        (lambda: mode_coverage(np.zeros((3, 2)), RING, 0.0), "std"),
        (lambda: mode_coverage(np.full((3, 2), np.nan), RING, 0.1), "NaN"),
        (lambda: class_coverage([0, 5], 5), "0 to 5"),
        (lambda: class_coverage([], 5), "integers"),
        (lambda: class_coverage([0.5], 5), "integers"),
        (lambda: bits_per_dimension(float("nan"), 4), "finite"),
        (lambda: bits_per_dimension(1.0, 0), "1 or more"),
        (lambda: bits_per_dimension(1.0, 4, levels=0), "1 or more"),
    ],
)
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_mode_distance_is_the_total_variation_of_shares() -> None:
    centres = ring_centres(4)
    shares = np.array([0.5, 0.3, 0.1, 0.0])  # and a tenth nowhere
    samples = np.repeat([*centres, [0.0, 0.0]], (1000 * np.append(shares, 0.1)).astype(int), axis=0)
    found = mode_coverage(samples, centres, std=0.02)
    expected = (abs(shares - 0.25).sum() + 0.1) / 2
    assert mode_distance(found, near=1.0) == pytest.approx(expected, rel=1e-12)


def test_mode_distance_of_true_points_is_small_and_of_none_near_a_mode_large() -> None:
    rng, centres = np.random.default_rng(0), ring_centres()
    true = centres[rng.integers(0, 8, 20_000)] + 0.02 * rng.normal(size=(20_000, 2))
    assert mode_distance(mode_coverage(true, centres, std=0.02)) < 0.02
    nowhere = mode_coverage(true * 2, centres, std=0.02)
    assert mode_distance(nowhere) == pytest.approx(1 - np.exp(-4.5))
