"""The VAE: its losses against closed forms and sampling, its training against torch's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from twins import TorchVAE, copy_weights, drawn, same_weights

import minigen
from minigen import Generator
from minigen.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from minigen.models.importance_weighting import negative_log_likelihood
from minigen.models.vae import (
    VAE,
    ConvVAE,
    ConvVAEConfig,
    VAEConfig,
    bernoulli_log_likelihood,
    elbo,
    gaussian_log_likelihood,
    kl_divergence,
    reparameterize,
)
from minigen.models.vq_vae import VQVAE, VQVAEConfig
from minigen.training.recipes import default_settings
from minigen.training.recipes.vae import vae


def tensor(array: np.ndarray) -> minigen.Tensor:
    return minigen.from_numpy(array)


def test_kl_is_what_sampling_estimates() -> None:
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(1, 3)), rng.normal(size=(1, 3))
    z = mu + np.exp(logvar / 2) * rng.normal(size=(400_000, 3))
    q = -0.5 * (logvar + (z - mu) ** 2 / np.exp(logvar) + math.log(2 * math.pi))
    p = -0.5 * (z**2 + math.log(2 * math.pi))
    draws = (q - p).sum(1)
    error = draws.std() / math.sqrt(len(draws))
    exact = kl_divergence(tensor(mu), tensor(logvar)).item()
    assert abs(exact - draws.mean()) < 5 * error < 0.05


def test_kl_equals_torch_distributions() -> None:
    rng = np.random.default_rng(1)
    mu, logvar = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    q = torch.distributions.Normal(torch.tensor(mu), torch.tensor(np.exp(logvar / 2)))
    p = torch.distributions.Normal(torch.zeros(5, 4), torch.ones(5, 4))
    expected = torch.distributions.kl_divergence(q, p).sum(1).numpy()
    ours = kl_divergence(tensor(mu), tensor(logvar)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_all_pixels_and_all_numbers_of_a_code_count() -> None:
    """Images (3, 1, 3, 3) and codes (3, 2, 3, 3) as they come out of convolutions: a sum over the
    channels alone would be (3, 3, 3), broadcast, and average to something."""
    rng = np.random.default_rng(5)
    logits, x = tensor(rng.normal(size=(3, 1, 3, 3))), tensor(rng.uniform(size=(3, 1, 3, 3)))
    mu, logvar = (tensor(rng.normal(size=(3, 2, 3, 3))) for _ in range(2))
    rows = [a.flatten(1) for a in (logits, x, mu, logvar)]
    for likelihood in (bernoulli_log_likelihood, gaussian_log_likelihood):
        ours = elbo(logits, x, mu, logvar, log_likelihood=likelihood)
        assert ours.shape == (3,)
        np.testing.assert_allclose(
            ours.numpy(), elbo(*rows, log_likelihood=likelihood).numpy(), rtol=1e-12
        )


def test_log_likelihood_of_binary_images_is_a_probability() -> None:
    """Over all images of 3 pixels it sums to one."""
    logits = tensor(np.random.default_rng(2).normal(size=(1, 3)) * 3)
    images = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], float)
    total = sum(
        math.exp(bernoulli_log_likelihood(logits, tensor(image[None])).item()) for image in images
    )
    assert abs(total - 1) < 1e-12


def test_elbo_is_a_lower_bound_that_the_true_posterior_reaches() -> None:
    """A decoder that ignores z: q = prior gives ln p(x) itself, any other q less."""
    x = tensor(np.array([[1.0, 0.0, 1.0]]))
    logits = tensor(np.array([[0.3, -1.0, 2.0]]))
    exact = bernoulli_log_likelihood(logits, x).item()
    zero = minigen.zeros(1, 2, dtype=minigen.float64)
    assert elbo(logits, x, zero, zero).item() == exact
    assert elbo(logits, x, zero + 0.5, zero).item() < exact
    assert elbo(logits, x, zero, zero - 0.5).item() < exact


def test_reparameterize_has_the_mean_and_variance_asked_for() -> None:
    minigen.manual_seed(0)
    mu = minigen.full((200_000, 2), 1.5, dtype=minigen.float64)
    logvar = minigen.full((200_000, 2), math.log(0.25), dtype=minigen.float64)
    z = reparameterize(mu, logvar).numpy()
    np.testing.assert_allclose(z.mean(0), 1.5, atol=5 * 0.5 / math.sqrt(200_000))
    np.testing.assert_allclose(z.var(0), 0.25, rtol=0.02)


def test_ten_steps_equal_torch() -> None:
    settings = default_settings("vae", fast=True, seed=3)
    job = vae(settings)
    model = job.modules["vae"].double()
    twin = TorchVAE()
    copy_weights(model, twin)
    optimizer = torch.optim.Adam(twin.parameters(), lr=settings.lr)
    rng = np.random.default_rng(4)
    for step in range(10):
        x = rng.random((32, 784))
        minigen.manual_seed(step)
        ours = float(job.step([tensor(x)])["loss"])
        loss = twin.loss(torch.from_numpy(x), torch.from_numpy(drawn(step, 32, 20)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert abs(ours - loss.item()) < 1e-8 * abs(loss.item()), step
    same_weights(model, twin)


def test_samples_and_reconstructions_are_images() -> None:
    model = VAE(VAEConfig(pixels=784, hidden=16, latent=3))
    first = model.sample(5, Generator().manual_seed(1)).numpy()
    again = model.sample(5, Generator().manual_seed(1)).numpy()
    other = model.sample(5, Generator().manual_seed(2)).numpy()
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    x = minigen.rand(4, 28, 28)
    for images in (first, model.reconstruct(x).numpy()):
        assert images.shape[1] == 784
        assert images.min() >= 0
        assert images.max() <= 1
    np.testing.assert_array_equal(model.reconstruct(x).numpy(), model.reconstruct(x).numpy())


def test_the_convolutional_vae_has_the_size_of_its_baseline() -> None:
    model = ConvVAE()
    assert sum(p.numel() for p in model.parameters()) == 1_691_369
    assert model.sample(3).shape == (3, 784)
    assert model.reconstruct(minigen.rand(2, 28, 28)).shape == (2, 784)
    with pytest.raises(ValueError, match="multiple of 4"):
        ConvVAEConfig(size=30)


def test_a_gaussian_vae_gets_torchs_gradients() -> None:
    """Its one variance too, and with another weight of the divergence."""
    minigen.manual_seed(0)
    model = VAE(VAEConfig(pixels=12, hidden=7, latent=3, likelihood="gaussian")).double()
    model.output_logvar.data = minigen.tensor(-1.3, dtype=minigen.float64)
    twin = TorchVAE(12, 7, 3, "gaussian")
    copy_weights(model, twin)
    rng = np.random.default_rng(1)
    x, noise = rng.random((5, 12)), rng.normal(size=(5, 3))
    output, mu, logvar = model(tensor(x), tensor(noise))
    ours = -elbo(output, tensor(x), mu, logvar, 2.5, model.log_likelihood).mean()
    ours.backward()
    loss = twin.loss(torch.from_numpy(x), torch.from_numpy(noise), beta=2.5)
    loss.backward()
    assert ours.item() == pytest.approx(loss.item(), rel=1e-12)
    for name, p in model.named_parameters():
        expected = dict(twin.named_parameters())[name].grad.numpy()
        np.testing.assert_allclose(p.grad.numpy(), expected, atol=1e-10, err_msg=name)


def test_what_the_decoder_says_is_a_picture_whatever_the_likelihood() -> None:
    output = tensor(np.array([[-3.0, 0.25, 4.0]]))
    config = {"pixels": 3, "hidden": 2, "latent": 1}
    gaussian = VAE(VAEConfig(**config, likelihood="gaussian"))
    np.testing.assert_array_equal(gaussian.mean(output).numpy(), [[0, 0.25, 1]])
    np.testing.assert_allclose(
        VAE(VAEConfig(**config)).mean(output).numpy(), 1 / (1 + np.exp(-output.numpy()))
    )
    assert "output_logvar" not in dict(VAE(VAEConfig(**config)).named_parameters())
    with pytest.raises(ValueError, match="bernoulli, gaussian, got 'poisson'"):
        ConvVAEConfig(likelihood="poisson")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 3, 28, 28), "images of 784 values each"),
        ((4, 27, 28), "images of 784 values each"),
        ((784,), "images of 784 values each"),
    ],
)
def test_images_of_another_size_are_refused(shape: tuple, message: str) -> None:
    """A reshape to (-1, 784) would make twelve grey images of four coloured ones."""
    small = {"hidden": 4, "latent": 2}
    models = [
        VAE(VAEConfig(**small)),
        ConvVAE(ConvVAEConfig(**small, widths=(1, 1))),
        VQVAE(VQVAEConfig(widths=(1, 1), codes=3, dimension=2)),
    ]
    for model in models:
        with pytest.raises(ValueError, match=message):
            model(minigen.zeros(*shape))
    conditional = ConditionalVAE(ConditionalVAEConfig(**small))
    with pytest.raises(ValueError, match=message):
        conditional(minigen.zeros(*shape), minigen.zeros(shape[0], dtype=minigen.int64))


def test_colours_come_first() -> None:
    """(N, height, width, 3) has as many values as (N, 3, height, width) and is something else."""
    model = ConvVAE(ConvVAEConfig(channels=3, size=8, widths=(1, 1), hidden=4, latent=2))
    assert model(minigen.zeros(2, 3, 8, 8))[0].shape == (2, 192)
    with pytest.raises(ValueError, match=r"\(3, 8, 8\), got shape \(2, 8, 8, 3\)"):
        model(minigen.zeros(2, 8, 8, 3))


@pytest.mark.parametrize(
    ("value", "message"),
    [(float("nan"), "hold NaN"), (255.0, "0 to 255: divide bytes"), (-1.0, "got -1 to 0$")],
)
def test_pixels_that_are_none_are_refused(value: float, message: str) -> None:
    """Where no loss shows them: a symbol, or a likelihood, comes out of any number."""
    x = minigen.zeros(2, 28, 28)
    x[1, 3, 4] = value
    vae, vq_vae = VAE(VAEConfig(hidden=4, latent=2)), VQVAE(VQVAEConfig(widths=(1, 1), codes=3))
    for use in (vae.reconstruct, vq_vae.encode, lambda x: negative_log_likelihood(vae, x, 2)):
        with pytest.raises(ValueError, match=message):
            use(x)
