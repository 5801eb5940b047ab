"""What the recipes of the VAEs do besides what torch's do: options, halves, pictures, errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigen
from minigen import Generator
from minigen.metrics import structural_similarity
from minigen.models.vae import VAE, VAEConfig
from minigen.training import Job, Settings
from minigen.training.recipes import RECIPES, conditional_vae, default_settings, latent_pictures
from minigen.training.recipes.binary import binarized
from minigen.training.recipes.images import digits
from tests.training.recipes_for_tests import small


def with_own(recipe: str, **own: Any) -> Settings:
    """Of the small run of a recipe, with some of its own settings."""
    settings = small(recipe)
    model = {name: value for name, value in own.items() if name in settings.model}
    options = {name: value for name, value in own.items() if name not in settings.model}
    return dataclasses.replace(
        settings,
        model={**settings.model, **model},
        options={**settings.options, **options},
    )


def batches(job: Job) -> Iterator[Any]:
    while True:
        yield from job.loader


@pytest.mark.parametrize(
    ("recipe", "own", "message"),
    [
        ("vae", {"beta": 0.0}, "beta must be a positive number"),
        ("vae", {"binarize": "yes"}, "no, stochastic, fixed, got 'yes'"),
        ("vae", {"likelihood": "normal"}, "bernoulli, gaussian"),
        ("iwae", {"k": 0}, "k must be 1 or more"),
        ("restoration", {"task": "colourise"}, "denoise, inpaint, super_resolution, got 'colour"),
    ],
)
def test_settings_that_mean_nothing(recipe: str, own: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RECIPES[recipe](with_own(recipe, **own))


def test_the_steps_of_a_vq_vae_have_to_be_shared() -> None:
    options = default_settings("vq_vae", own={"autoencoder_share": 0.25}, steps=200).options
    assert (options["autoencoder_steps"], options["prior_steps"]) == (50, 150)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="autoencoder_share"):
            default_settings("vq_vae", own={"autoencoder_share": share})


# ------------------------------------------------------------------------------------ black, white


def test_pixels_are_drawn_with_their_grey_as_probability() -> None:
    grey = minigen.full((100_000, 1), 0.3)
    drawn = binarized(grey, Generator().manual_seed(0)).numpy()
    assert set(np.unique(drawn)) == {0, 1}
    assert drawn.mean() == pytest.approx(0.3, abs=0.01)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        binarized(minigen.tensor([float("nan")]))


@pytest.mark.parametrize("how", ["no", "stochastic", "fixed"])
def test_what_is_learned_from(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey digits; others at every look; or the same black and white ones."""
    job = RECIPES["vae"](with_own("vae", binarize=how))
    seen = []
    encode = VAE.encode

    def spy(model: VAE, x: minigen.Tensor) -> Any:
        seen.append(x.numpy())
        return encode(model, x)

    monkeypatch.setattr(VAE, "encode", spy)
    batch = next(batches(job))
    for _ in range(2):
        job.step(batch)
    first, second = seen
    assert (set(np.unique(first)) <= {0, 1}) == (how != "no")
    assert (first == second).all() == (how != "stochastic")
    tests = [evaluated(job, seen) for _ in range(2)]
    np.testing.assert_array_equal(*tests)
    assert (set(np.unique(tests[0])) <= {0, 1}) == (how != "no")


def evaluated(job: Job, seen: list) -> np.ndarray:
    seen.clear()
    job.evaluate(False)
    return seen[-1]


# ----------------------------------------------------------------------------------------- bounds


def test_bounds_are_ordered_and_of_the_same_draws() -> None:
    """-ln p <= -L_k <= -L_1: the last from the very same weights, so that it holds exactly."""
    metrics = {k: RECIPES["iwae"](with_own("iwae", k=k)).evaluate(True) for k in (1, 7)}
    assert metrics[1]["test_loss"] == pytest.approx(metrics[1]["test_elbo"], rel=1e-6)
    assert metrics[7]["test_loss"] < metrics[7]["test_elbo"] - 0.01
    assert metrics[7]["nll"] < metrics[7]["test_loss"]
    assert 0 <= metrics[7]["active"] <= 2


def test_the_vae_says_its_likelihood_and_may_leave_it() -> None:
    metrics = RECIPES["vae"](small("vae")).evaluate(True)
    assert metrics["nll"] < metrics["test_loss"]
    assert metrics["nll_samples"] == 20
    assert "nll" not in RECIPES["conv_vae"](small("conv_vae")).evaluate(True)
    gaussian = RECIPES["vae"](with_own("vae", likelihood="gaussian"))
    stream = batches(gaussian)
    before = gaussian.evaluate(False)["test_loss"]
    for _ in range(100):
        gaussian.step(next(stream))
    after = gaussian.evaluate(True)
    assert after["test_loss"] < before - 100
    assert after["nll"] < after["test_loss"]
    assert float(gaussian.modules["vae"].output_logvar) != -3


# --------------------------------------------------------------------------------------- pictures


@pytest.fixture(scope="module")
def plane_model() -> VAE:
    minigen.manual_seed(0)
    return VAE(VAEConfig(hidden=16, latent=2))


def test_a_way_begins_and_ends_with_the_digits(plane_model: VAE) -> None:
    ways = latent_pictures.interpolation(plane_model, rows=3)
    assert ways.shape == (3, latent_pictures.STEPS, 28, 28)
    ends = plane_model.reconstruct(digits("test")[:6]).numpy().reshape(2, 3, 28, 28)
    np.testing.assert_allclose(ways[:, 0], ends[0], atol=1e-5)
    np.testing.assert_allclose(ways[:, -1], ends[1], atol=1e-5)


def test_a_walk_moves_one_number_at_a_time_the_telling_ones_first(plane_model: VAE) -> None:
    model = VAE(VAEConfig(hidden=16, latent=3))
    model.fc22.weight.data, model.fc22.bias.data = (minigen.zeros(3, 16), minigen.zeros(3))
    model.fc21.weight.data = model.fc21.weight * minigen.tensor([[0.1], [0.0], [5.0]])
    model.fc21.bias.data = minigen.zeros(3)
    walks = latent_pictures.walk(model, rows=2)
    mu = model.encode(digits("test")[:1])[0].detach().numpy()
    for row, number in ((0, 2), (1, 0)):
        z = mu.copy()
        z[0, number] = 3
        expected = model.mean(model.decode(minigen.from_numpy(z))).detach().numpy()
        np.testing.assert_allclose(walks[row, -1], expected.reshape(28, 28), atol=1e-5)


def test_the_plane_has_the_quantiles_of_the_prior(plane_model: VAE) -> None:
    table = latent_pictures.plane(plane_model, side=4)
    corner = minigen.tensor([[1.1503494, 1.1503494]])  # the quantile of 7/8
    expected = plane_model.mean(plane_model.decode(corner)).detach().numpy().reshape(28, 28)
    np.testing.assert_allclose(table[0, -1], expected, atol=1e-5)  # above, to the right
    left = plane_model.decode(minigen.tensor([[-1.1503494, 0.3186394]]))  # of 1/8 and 5/8
    expected = plane_model.mean(left).detach().numpy().reshape(28, 28)
    np.testing.assert_allclose(table[1, 0], expected, atol=1e-5)


def test_a_plane_is_drawn_of_codes_of_two_numbers_only(plane_model: VAE) -> None:
    both = {"plane", "codes"}
    assert both <= set(latent_pictures.pictures(plane_model))
    assert not both & set(latent_pictures.pictures(VAE(VAEConfig(hidden=4, latent=3))))
    assert latent_pictures.codes(plane_model)[1:4] == b"PNG"


# ------------------------------------------------------------------------------------ conditional


def test_a_class_that_nobody_wrote_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = conditional_vae.labels
    monkeypatch.setattr(conditional_vae, "labels", lambda split: labels(split).clamp(max=8))
    with pytest.raises(ValueError, match="no example of class 9 among the 4000"):
        RECIPES["conditional_vae"](small("conditional_vae"))


def test_the_classifier_finds_the_classes_asked_for() -> None:
    assert conditional_vae.asked_for(23, 10).tolist() == sorted(conditional_vae.asked_for(23, 10))
    assert np.bincount(conditional_vae.asked_for(80, 10)).tolist() == [8] * 10
    real, classes = digits("test").numpy(), conditional_vae.labels("test").numpy()
    assert conditional_vae.agreement(real, classes) > 0.97
    assert conditional_vae.agreement(real, (classes + 1) % 10) < 0.02


def test_it_learns_to_draw_what_it_is_asked_for() -> None:
    settings = with_own("conditional_vae", hidden=64)
    job = RECIPES["conditional_vae"](dataclasses.replace(settings, batch_size=100, lr=5e-3))
    before = job.evaluate(True)["agreement"]
    stream = batches(job)
    for _ in range(120):
        job.step(next(stream))
    after = job.evaluate(True)["agreement"]
    assert before < 0.2  # one in ten by chance
    assert after > 0.3


# ----------------------------------------------------------------------------------------- VQ-VAE


def weights(job: Job, name: str) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in job.modules[name].parameters()])


def test_first_the_alphabet_is_learned_then_how_to_write() -> None:
    settings = with_own("vq_vae", autoencoder_steps=2, prior_steps=2)
    job = RECIPES["vq_vae"](settings)
    stream = batches(job)
    for step, learns in enumerate(["vq_vae", "vq_vae", "prior", "prior"]):
        before = {name: weights(job, name) for name in job.modules}
        losses = job.step(next(stream))
        for name, old in before.items():
            assert (weights(job, name) != old).any() == (name == learns), (step, name)
        assert set(losses) == {"reconstruction", "prior"}


def test_the_prior_is_judged_without_dropout_and_costs_less_than_nothing_known() -> None:
    job = RECIPES["vq_vae"](with_own("vq_vae", autoencoder_steps=30, prior_steps=60))
    stream = batches(job)
    for _ in range(90):
        job.step(next(stream))
    first, second = job.evaluate(False), job.evaluate(False)
    assert first == second
    assert job.modules["prior"].training
    assert first["prior"] < first["prior_untrained"] - 5
    assert first["test_loss"] == pytest.approx(first["reconstruction"] + first["prior"])
    assert 1 <= first["perplexity"] <= first["codes_used"] <= 9


# ------------------------------------------------------------------------------------ restoration


@pytest.mark.parametrize("task", ["denoise", "inpaint", "super_resolution"])
def test_what_was_damaged_is_compared_with_what_was_there(task: str) -> None:
    job = RECIPES["restoration"](with_own("restoration", task=task))
    metrics = job.evaluate(True)
    damaged, classical, _, truth = job.pictures["restored"]()
    assert damaged.shape == (10, 28, 28)
    np.testing.assert_array_equal(truth, digits("test")[:10].numpy().reshape(-1, 28, 28))
    options = {"data_range": 1, "channel_axis": 0, "gaussian_weights": True}
    near = structural_similarity(truth, classical, **options)
    far = structural_similarity(truth, damaged, **options)
    assert near > far + 0.02  # the classical remedies are remedies
    for key in ("psnr", "ssim"):
        assert metrics[f"{key}_classical"] > metrics[f"{key}_damaged"]
        assert np.isfinite(metrics[f"{key}_restored"])
    made = [job.images(3, Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(made[0], made[1])
    assert task == "super_resolution" or (made[0] != made[2]).any()
