"""Diffusion where all is known: of data that are a normal distribution, the noise that the best of
all networks would see is a formula, and the samples must have the data's mean and spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch_diffusion import TorchUNet, cosine_abar, ddpm_loss, flow_matching_loss
from twins import copy_weights

import minigen
from minigen import Generator, Tensor
from minigen.models.diffusion import Diffusion, betas
from minigen.models.flow_matching import SOLVERS, between, flow
from minigen.models.flow_matching import flow_matching_loss as our_flow_matching_loss
from minigen.training import Settings
from minigen.training.recipes import RECIPES
from tests.training.recipes_for_tests import small

MEAN, SPREAD = 0.3, 0.2
rng = np.random.default_rng(0)


def standard_normal(count: int, seed: int = 0) -> Tensor:
    generator = Generator().manual_seed(seed)
    return minigen.randn(count, 1, generator=generator, dtype=minigen.float64)


def best_denoiser(diffusion: Diffusion):
    """E[e | x_t] for data from N(MEAN, SPREAD²)."""

    def model(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        a = diffusion.abar[round(float(t[0]) * diffusion.steps)]
        return math.sqrt(1 - a) * (x - math.sqrt(a) * MEAN) / (a * SPREAD**2 + 1 - a)

    return model


def end(states) -> np.ndarray:
    *_, x = states
    return x.numpy()


# ------------------------------------------------------------------------------- diffusion


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_many_small_steps_are_one_large_one(schedule: str) -> None:
    """Equation 2, applied t times, is equation 4."""
    diffusion, image, variance = Diffusion(schedule, 50), 1.0, 0.0
    for t, beta in enumerate(betas(schedule, 50), 1):
        image, variance = math.sqrt(1 - beta) * image, (1 - beta) * variance + beta
        one = minigen.ones(1, 1).double()
        steps = minigen.tensor([t])
        assert diffusion.noised(one, steps, 0 * one).item() == pytest.approx(image, rel=1e-12)
        assert diffusion.noised(0 * one, steps, one).item() ** 2 == pytest.approx(variance)
    assert variance > 0.99  # nothing but noise


def test_schedules_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="linear, cosine"):
        betas("square", 10)
    with pytest.raises(ValueError, match="more than 20 steps"):
        betas("linear", 20)
    with pytest.raises(ValueError, match="1 to 30"):
        next(Diffusion(steps=30).ddim(best_denoiser(Diffusion()), standard_normal(1), steps=31))


@pytest.mark.parametrize("t", [1, 2, 25, 50])
def test_the_posterior_is_that_of_bayes(t: int) -> None:
    """q(x_{t-1} | x_t, x_0) is proportional to q(x_t | x_{t-1}) q(x_{t-1} | x_0): on a grid."""
    diffusion, beta = Diffusion("linear", 50), betas("linear", 50)[t - 1]
    x0, xt, before = 0.4, -0.7, diffusion.abar[t - 1]
    mean, variance = diffusion.posterior(minigen.tensor([x0]).double(), minigen.tensor([xt]), t)
    if t == 1:
        assert (mean.item(), variance) == (pytest.approx(x0), 0)
        return
    grid = np.linspace(-8, 8, 400_001)
    log_density = -((xt - math.sqrt(1 - beta) * grid) ** 2) / (2 * beta)
    log_density -= (grid - math.sqrt(before) * x0) ** 2 / (2 * (1 - before))
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    expected = (weights * grid).sum()
    assert mean.item() == pytest.approx(expected, abs=1e-7)
    assert variance == pytest.approx((weights * (grid - expected) ** 2).sum(), rel=1e-6)


def test_the_loss_and_its_gradients_equal_torch() -> None:
    minigen.manual_seed(1)
    config = {"size": 8, "widths": (4, 4), "groups": 2, "time": 4}
    ours, theirs = shaken_unet(config), TorchUNet(**config)
    copy_weights(ours, theirs)
    x, noise = rng.normal(size=(2, 6, 1, 8, 8))
    t, y = np.array([1, 7, 500, 999, 1000, 3]), np.array([0, 1, 2, 10, 9, 4])
    loss = Diffusion().loss(ours, *map(minigen.from_numpy, (x, y, noise, t)))
    expected = ddpm_loss(cosine_abar(1000), theirs, *map(torch.from_numpy, (x, y, noise, t)))
    same_losses_and_gradients(loss, expected, ours, theirs)


def shaken_unet(config: dict):
    from minigen.models.denoiser import DenoiserConfig, UNet

    model = UNet(DenoiserConfig(**config)).double()
    with minigen.no_grad():
        for p in model.parameters():
            p.data = p.data + 0.3 * minigen.randn(*p.shape, dtype=p.dtype)
    return model


def same_losses_and_gradients(loss, expected, ours, theirs) -> None:
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    loss.backward()
    expected.backward()
    gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), gradients[name], rtol=1e-8, atol=1e-9)


def test_clipping_the_image_derives_the_noise_anew() -> None:
    """x_t must be made of exactly the image and the noise that a step goes on with, also where the
    network sees noise that would take the image out of [-1, 1]."""
    diffusion, x = Diffusion(), standard_normal(400)
    for t in (1, 300, 999):
        image, noise = diffusion.expected(lambda x, t, y: 0 * x + 0.2, x, t, None)
        a = diffusion.abar[t]
        assert float(image.abs().max()) <= 1
        whole = math.sqrt(a) * image.numpy() + math.sqrt(1 - a) * noise.numpy()
        np.testing.assert_allclose(whole, x.numpy(), rtol=1e-12, atol=1e-12)
        inside = np.abs(image.numpy()) < 1
        assert not inside.all()  # there was something to clip
        np.testing.assert_allclose(noise.numpy()[inside], 0.2, rtol=1e-6)


def test_ancestral_samples_have_the_distribution_of_the_data() -> None:
    diffusion, noise = Diffusion(steps=1000), standard_normal(8_000)
    x = end(diffusion.ancestral(best_denoiser(diffusion), noise, None, Generator().manual_seed(1)))
    assert x.mean() == pytest.approx(MEAN, abs=0.01)
    assert x.std() == pytest.approx(SPREAD, rel=0.03)


@pytest.mark.parametrize(("steps", "eta", "spread"), [(1000, 1.0, 0.03), (200, 0.3, 0.05)])
def test_ddim_with_new_noise_has_it_too(steps: int, eta: float, spread: float) -> None:
    diffusion, noise = Diffusion(steps=steps), standard_normal(8_000)
    generator = Generator().manual_seed(1)
    x = end(diffusion.ddim(best_denoiser(diffusion), noise, None, steps, eta, generator))
    assert x.mean() == pytest.approx(MEAN, abs=0.01)
    assert x.std() == pytest.approx(SPREAD, rel=spread)


def test_ddim_without_new_noise_stretches_the_noise_to_the_data() -> None:
    """The flow of equation 14 of Song et al. takes one normal distribution to another along
    straight quantiles: x_0 = MEAN + SPREAD x_T."""
    diffusion, noise = Diffusion(steps=1000), standard_normal(500)
    x = end(diffusion.ddim(best_denoiser(diffusion), noise, None, 1000))
    np.testing.assert_allclose(x, MEAN + SPREAD * noise.numpy(), atol=0.01)
    coarse = end(diffusion.ddim(best_denoiser(diffusion), noise, None, 20))
    np.testing.assert_allclose(coarse, MEAN + SPREAD * noise.numpy(), atol=0.15)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ddim_with_all_steps_and_all_noise_is_ancestral(schedule: str) -> None:
    diffusion, noise = Diffusion(schedule, 60), standard_normal(50)

    def model(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:  # often out of range
        return 0.8 * x + t[:, None]

    first = diffusion.ancestral(model, noise, None, Generator().manual_seed(3))
    second = diffusion.ddim(model, noise, None, 60, 1.0, Generator().manual_seed(3))
    pairs = list(zip(first, second, strict=True))
    assert len(pairs) == 61
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-9)


def test_the_network_is_asked_once_a_step_for_the_class_at_that_time() -> None:
    diffusion, asked = Diffusion(steps=40), []

    def model(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        asked.append((round(float(t[0]) * 40), y.tolist()))
        return x

    y = minigen.tensor([4, 2])
    list(diffusion.ddim(model, standard_normal(2), y, 4))
    assert asked == [(t, [4, 2]) for t in (40, 30, 20, 10)]
    asked.clear()
    list(diffusion.ancestral(model, standard_normal(2), y))
    assert [t for t, _ in asked] == list(range(40, 0, -1))


# ------------------------------------------------------------------------------- flow matching


def best_velocity(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
    """E[x_1 - x_0 | x_t] for data from N(MEAN, SPREAD²)."""
    s = float(t[0])
    slope = (s * SPREAD**2 - (1 - s)) / (s**2 * SPREAD**2 + (1 - s) ** 2)
    return MEAN + slope * (x - s * MEAN)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_the_stream_takes_noise_to_data_at_the_solvers_order(solver: str, order: int) -> None:
    """Straight quantiles again; twice as many steps divide the error by 2^order."""
    noise = standard_normal(300)
    expected = MEAN + SPREAD * noise.numpy()
    errors = [
        np.abs(end(flow(best_velocity, noise, None, steps, solver)) - expected).max()
        for steps in (64, 128)
    ]
    assert errors[1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.15)


def test_states_go_from_the_noise_to_the_image() -> None:
    noise, asked = standard_normal(3), []

    def v(x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        asked.append((float(t[0]), y.tolist()))
        return 0 * x + 2

    y = minigen.tensor([1, 2, 3])
    states = list(flow(v, noise, y, 4, "heun"))
    for step, state in enumerate(states):
        np.testing.assert_allclose(state.numpy(), noise.numpy() + step / 2, rtol=1e-12)
    assert len(states) == 5
    assert asked == [(t, [1, 2, 3]) for t in (0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1)]
    with pytest.raises(ValueError, match="euler, heun"):
        next(flow(v, noise, y, 4, "midpoint"))
    assert set(SOLVERS) == {"euler", "heun"}


def test_the_best_velocity_is_the_minimum_of_the_loss() -> None:
    """And the loss there is the variance that nobody can foresee."""
    t = minigen.from_numpy(rng.uniform(size=(1,))).expand(200_000)
    images = MEAN + SPREAD * standard_normal(200_000, 1)
    noise, s = standard_normal(200_000, 2), t[0].item()
    loss = our_flow_matching_loss(best_velocity, images, None, noise, t).item()
    unknown = SPREAD**2 / (s**2 * SPREAD**2 + (1 - s) ** 2)
    assert loss == pytest.approx(unknown, rel=0.02)
    for off in (-0.1, 0.1):
        wrong = our_flow_matching_loss(
            lambda x, t, y, off=off: best_velocity(x, t, y) + off, images, None, noise, t
        )
        assert wrong.item() == pytest.approx(loss + off**2, abs=0.002)


def test_the_flow_loss_and_its_gradients_equal_torch() -> None:
    minigen.manual_seed(2)
    config = {"size": 8, "widths": (4, 4), "groups": 2, "time": 4}
    ours, theirs = shaken_unet(config), TorchUNet(**config)
    copy_weights(ours, theirs)
    x, noise = rng.normal(size=(2, 3, 1, 8, 8))
    t, y = rng.uniform(size=3), np.array([0, 10, 9])
    loss = our_flow_matching_loss(ours, *map(minigen.from_numpy, (x, y, noise, t)))
    expected = flow_matching_loss(theirs, *map(torch.from_numpy, (x, y, noise, t)))
    same_losses_and_gradients(loss, expected, ours, theirs)


def test_noise_is_at_0_and_the_image_at_1() -> None:
    image, noise = standard_normal(2, 1), standard_normal(2, 2)
    ends = between(noise, image, minigen.tensor([0.0, 1.0]).double()).numpy()
    np.testing.assert_array_equal(ends, [noise.numpy()[0], image.numpy()[1]])


# ------------------------------------------------------------------------------- training


@pytest.mark.parametrize("recipe", ["ddpm", "flow"])
def test_samples_follow_the_seed_and_the_classes_take_turns(recipe: str) -> None:
    settings: Settings = small(recipe)
    minigen.manual_seed(0)
    job = RECIPES[recipe](settings)
    assert job.images is not None
    first = job.images(3, Generator().manual_seed(1))
    np.testing.assert_array_equal(first, job.images(3, Generator().manual_seed(1)))
    assert (first != job.images(3, Generator().manual_seed(2))).any()
    assert first.shape == (3, 28, 28)
    assert first.min() >= 0
    assert first.max() <= 1
    assert job.pictures["classes"]().shape == (10, 10, 28, 28)
    path = job.pictures["path"]()
    assert path.shape == (10, 8, 28, 28)
