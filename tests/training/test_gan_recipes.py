"""What the recipes of GANs measure and show."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import minigen
from minigen import Generator
from minigen.data import load_mnist5k
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes.conditional_gan import by_class
from minigen.training.recipes.mixtures import coverage, mixture
from tests.training.recipes_for_tests import small


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25)])
def test_true_points_are_covered_and_those_of_one_mode_are_not(name: str, modes: int) -> None:
    target = mixture(name)
    true = coverage(target.draw(10_000, Generator().manual_seed(7)), target)
    assert true["modes"] == true["modes_touched"] == true["modes_all"] == modes
    assert true["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.004)
    assert true["mode_distance"] < 0.03
    collapsed = np.repeat(target.centres[:1], 10_000, axis=0)
    collapsed[:50] = target.centres[1]  # one in two hundred: touched, not held
    found = coverage(collapsed.astype(np.float32), target)
    assert (found["modes"], found["modes_touched"]) == (1, 2)
    assert found["high_quality"] == 1
    assert found["mode_distance"] == pytest.approx(1 - 1 / modes, abs=0.02)
    goal = RECIPES[name].figures[0]  # what the report marks as reached
    assert goal.reached(true) is True
    assert goal.reached(found) is False


def test_points_have_the_spread_and_the_centres_of_their_mixture() -> None:
    target = mixture("grid")
    points = target.draw(20_000, Generator().manual_seed(1))
    nearest = np.round(points / 2) * 2
    assert {tuple(c) for c in nearest} == {tuple(c) for c in target.centres}
    assert (points - nearest).std() == pytest.approx(0.05, rel=0.02)


def test_samples_and_their_picture_are_of_the_averaged_generator() -> None:
    job = RECIPES["ring"](small("ring", options={**small("ring").options, "average": 0.5}))
    for batch in list(job.loader)[:3]:
        job.step(batch)
    noise = Generator().manual_seed(4)
    points = job.draw(50, noise)
    assert points.shape == (50, 2)
    for name, expected in (("average", True), ("generator", False)):
        network = job.modules[name]
        network = network.module if name == "average" else network
        again = network.draw(50, Generator().manual_seed(4)).numpy()
        assert np.array_equal(points, again) is expected, name
    assert job.plot(points)[1:4] == b"PNG"


def test_the_rows_of_the_conditional_gans_picture_are_its_classes() -> None:
    """A generator whose picture is its class."""
    job = RECIPES["conditional_gan"](small("conditional_gan"))
    G = job.modules["generator"]
    G.forward = lambda z, y: (y.to(minigen.float32)[:, None] / 9 * 2 - 1) * minigen.ones(784)
    rows = job.pictures["classes"]()
    assert rows.shape == (10, 10, 28, 28)
    np.testing.assert_allclose(rows[:, 3, 5, 5], np.arange(10) / 9, atol=1e-6)
    turns = job.images(20, Generator().manual_seed(0))
    np.testing.assert_allclose(turns[:, 0, 0], np.tile(np.arange(10) / 9, 2), atol=1e-6)


def test_real_digits_in_turn_are_what_was_asked_for_and_as_diverse_as_real_ones() -> None:
    images, labels = load_mnist5k("test")
    by_label = [images[labels == k][:20] for k in range(10)]
    turns = np.stack(by_label, axis=1).reshape(-1, 28, 28).astype(np.float32) / 255  # 0, 1, ..., 9
    found = by_class(turns, thorough=False)
    assert found["label_agreement"] > 0.95
    assert found["diversity"] == pytest.approx(1, abs=0.1)
    same = by_class(np.tile(turns[:10], (10, 1, 1)), thorough=False)
    assert same["diversity"] == pytest.approx(0, abs=1e-6)
    assert by_class(np.roll(turns, 1, axis=0), thorough=False)["label_agreement"] < 0.1


@pytest.mark.parametrize(
    ("recipe", "own", "message"),
    [
        ("gan", {"loss": "wasserstein"}, "needs a bound on D's slope"),
        ("dcgan", {"pack": 3}, "a batch of 32 cannot be divided"),
        ("wgan_gp", {"clip": 0.01}, "clip and penalty bound the same slope"),
        ("ring", {"loss": "cross_entropy"}, "there is no loss 'cross_entropy'"),
        ("conditional_gan", {"pack": 2}, "judges images one by one"),
    ],
)
def test_recipes_refuse_what_makes_no_sense(recipe: str, own: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RECIPES[recipe](default_settings(recipe, fast=True, own=own))


@pytest.mark.parametrize(
    ("recipe", "own"),
    [
        ("gan", {"loss": "hinge", "spectral_norm": True, "average": 0.9, "pack": 2}),
        ("gan", {"minibatch_std": True, "feature_matching": True, "smoothing": 0.1}),
        ("dcgan", {"minibatch_std": True, "pack": 2, "r1": 1.0, "average": 0.9}),
        ("dcgan", {"spectral_norm": True, "loss": "wasserstein", "feature_matching": True}),
        ("conditional_gan", {"minibatch_std": True, "r1": 1.0, "mode_seeking": 1.0}),
        ("conditional_gan", {"feature_matching": True, "spectral_norm": True, "average": 0.9}),
    ],
)
def test_options_work_together(recipe: str, own: dict) -> None:
    """Two steps that move all weights of both networks, and samples."""
    plain = small(recipe)
    both = {
        part: {name: own.get(name, value) for name, value in getattr(plain, part).items()}
        for part in ("model", "options")
    }
    minigen.manual_seed(0)
    job = RECIPES[recipe](dataclasses.replace(plain, **both))
    networks = [job.modules["generator"], job.modules["discriminator"]]
    before = [p.detach().numpy().copy() for n in networks for p in n.parameters()]
    for batch in list(job.loader)[:2]:
        losses = job.step(batch)
        assert all(np.isfinite(float(value)) for value in losses.values())
    still = [
        np.array_equal(old, p.detach().numpy())
        for old, p in zip(before, (p for n in networks for p in n.parameters()))
    ]
    # Feature matching or a shift of all logits leaves some biases alone: weights must move.
    assert not any(s for s, old in zip(still, before) if old.ndim > 1)
    assert job.images(4, Generator().manual_seed(0)).shape == (4, 28, 28)
