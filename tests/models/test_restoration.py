"""Damage, what stays known of an image, and the classical remedies beside SciPy's and torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

import minigen
from minigen import Generator
from minigen.models.restoration import TASKS, Damaged, HalfResolution, Hole, Noise

rng = np.random.default_rng(0)
IMAGES = minigen.from_numpy(rng.random((6, 1, 12, 12)))
TRUE = IMAGES.numpy()


def seeded(seed: int = 1) -> Generator:
    return Generator().manual_seed(seed)


def test_noise_has_the_spread_asked_for_and_stays_a_picture() -> None:
    grey = minigen.full((50, 1, 20, 20), 0.5, dtype=minigen.float64)
    change = Noise(0.1).damage(grey, seeded()).seen.numpy() - 0.5
    assert change.std() == pytest.approx(0.1, rel=0.02)
    assert abs(change.mean()) < 0.003
    seen = Noise(2.0).damage(grey, seeded()).seen.numpy()
    assert (seen.min(), seen.max()) == (0, 1)


def test_a_hole_is_a_square_near_the_middle() -> None:
    hole = Hole(side=4, shift=2)
    x = minigen.ones(300, 1, 12, 12)
    left = hole.damage(x, seeded())
    assert left.known is not None
    lost = left.known.numpy()[:, 0] == 0
    np.testing.assert_array_equal(left.seen.numpy()[:, 0] == 0, lost)
    corners = set()
    for one in lost:
        rows, columns = one.any(1).nonzero()[0], one.any(0).nonzero()[0]
        assert one.sum() == 16
        assert (np.ptp(rows), np.ptp(columns)) == (3, 3)
        corners.add((rows[0], columns[0]))
    assert corners == {(i, j) for i in range(2, 7) for j in range(2, 7)}


@pytest.mark.parametrize("task", [Hole(side=4), HalfResolution()])
def test_the_true_image_agrees_with_what_is_left_of_it(task: Hole | HalfResolution) -> None:
    left = task.damage(IMAGES, seeded())
    np.testing.assert_allclose(task.agree(IMAGES, left).numpy(), TRUE, atol=1e-12)
    assert np.abs(left.seen.numpy() - TRUE).max() > 0.1


def test_what_is_known_is_put_back_and_nothing_else() -> None:
    guess = minigen.from_numpy(0.4 + 0.2 * rng.random(TRUE.shape))
    hole = Hole(side=4)
    left = hole.damage(IMAGES, seeded())
    assert left.known is not None
    known = left.known.numpy() > 0
    restored = hole.agree(guess, left).numpy()
    np.testing.assert_array_equal(restored[known], TRUE[known])
    np.testing.assert_array_equal(restored[~known], guess.numpy()[~known])
    grey = 0.4 + 0.2 * IMAGES  # far from 0 and 1: nothing is cut off
    left = HalfResolution().damage(grey)
    restored = HalfResolution().agree(guess, left).numpy()
    blocks = [a.reshape(6, 6, 2, 6, 2).mean((2, 4)) for a in (restored, grey.numpy())]
    np.testing.assert_allclose(*blocks, atol=1e-12)
    change = (restored - guess.numpy()).reshape(6, 6, 2, 6, 2)
    assert np.ptp(change, axis=(2, 4)).max() < 1e-12  # the same for all four
    assert np.abs(change).max() > 0.01


def test_the_median_is_scipys() -> None:
    seen = Noise().damage(IMAGES, seeded()).seen
    ours = Noise().classical(Damaged(seen)).numpy()
    expected = ndimage.median_filter(seen.numpy(), (1, 1, 3, 3), mode="nearest")
    np.testing.assert_array_equal(ours, expected)


def test_a_hole_in_a_slope_is_filled_without_a_trace() -> None:
    """Laplace's equation: a plane is its solution."""
    i, j = np.mgrid[:12, :12] / 12
    plane = minigen.from_numpy(np.broadcast_to(0.2 + 0.3 * i + 0.4 * j, (3, 1, 12, 12)).copy())
    hole = Hole(side=4)
    left = hole.damage(plane, seeded())
    np.testing.assert_allclose(hole.classical(left).numpy(), plane.numpy(), atol=1e-6)
    filled = hole.classical(hole.damage(IMAGES, seeded())).numpy()
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_half_the_resolution_is_shown_as_torch_interpolates_it() -> None:
    left = HalfResolution().damage(IMAGES)
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(TRUE), 2)
    large = torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic").clamp(0, 1)
    np.testing.assert_allclose(left.seen.numpy(), large.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", TASKS)
def test_damage_is_drawn_from_the_generator_given(name: str) -> None:
    x = minigen.from_numpy(rng.random((4, 1, 28, 28)).astype(np.float32))
    before = minigen.default_generator.state
    first, again, other = (TASKS[name].damage(x, seeded(s)).seen.numpy() for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert minigen.default_generator.state == before
    assert (first != other).any() or name == "super_resolution"
    assert first.dtype == np.float32


def test_damage_that_cannot_be_done() -> None:
    with pytest.raises(ValueError, match="a hole of 10 pixels, shifted by up to 2"):
        Hole().damage(IMAGES)
    with pytest.raises(ValueError, match="even size"):
        HalfResolution().damage(minigen.zeros(1, 1, 7, 8))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sigma"):
            Noise(wrong)
    with pytest.raises(ValueError, match="no hole"):
        Hole(side=0)
