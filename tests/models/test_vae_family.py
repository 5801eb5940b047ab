"""Importance-weighted bounds against exact integrals, the conditional VAE and VQ-VAE against torch
and against what their papers say of their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import minigen
from minigen import Generator
from minigen.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig, require_classes
from minigen.models.importance_weighting import (
    active_units,
    importance_weighted_bound,
    log_importance_weights,
    negative_log_likelihood,
    normal_log_density,
)
from minigen.models.vae import (
    VAE,
    VAEConfig,
    bernoulli_log_likelihood,
    elbo,
    gaussian_log_likelihood,
)
from minigen.models.vq_vae import VQVAE, Codebook, VQVAEConfig, codebook_usage, vq_vae_loss

rng = np.random.default_rng(0)


def tensor(array: np.ndarray) -> minigen.Tensor:
    return minigen.from_numpy(np.ascontiguousarray(array))


@pytest.fixture(scope="module")
def small() -> VAE:
    """A VAE of one latent number, whose ln p(x) can be integrated."""
    minigen.manual_seed(3)
    model = VAE(VAEConfig(pixels=6, hidden=5, latent=1)).double()
    for p in (*model.fc3.parameters(), *model.fc4.parameters()):
        p.data = p.data * 3  # a code that says much, and an encoder that does not know it
    return model


IMAGES = (rng.random((4, 6)) < 0.5).astype(np.float64)


def exact_log_likelihood(model: VAE, images: np.ndarray) -> np.ndarray:
    z = np.linspace(-12, 12, 20_001)
    with minigen.no_grad():
        logits = model.decode(tensor(z[:, None]))
        joint = [
            bernoulli_log_likelihood(logits, tensor(np.tile(x, (len(z), 1)))).numpy()
            - z**2 / 2 - math.log(2 * math.pi) / 2
            for x in images
        ]  # fmt: skip
    return np.array([np.log(np.trapezoid(np.exp(j), z)) for j in joint])


def test_bounds_rise_to_the_exact_likelihood(small: VAE) -> None:
    exact = exact_log_likelihood(small, IMAGES).mean()
    found = []
    with minigen.no_grad():
        for k in (1, 5, 50, 2000):
            minigen.manual_seed(0)
            draws = max(1, 40_000 // k)
            x = tensor(np.repeat(IMAGES, draws, axis=0))
            bounds = importance_weighted_bound(log_importance_weights(small, x, k)).numpy()
            found.append((bounds.mean(), bounds.std() / math.sqrt(len(bounds))))
    means = [mean for mean, _ in found]
    assert means == sorted(means)
    assert means[0] < exact - 0.01  # the ELBO of this model is not tight: something is tested
    for mean, error in found:
        assert mean < exact + 5 * error
    assert means[-1] == pytest.approx(exact, abs=0.005)


def test_negative_log_likelihood_is_the_integral(small: VAE) -> None:
    noise = Generator().manual_seed(1)
    nll = negative_log_likelihood(small, tensor(IMAGES), samples=20_000, generator=noise, rows=7)
    np.testing.assert_allclose(-nll.numpy(), exact_log_likelihood(small, IMAGES), atol=0.03)


def test_a_gaussian_likelihood_is_integrated_likewise() -> None:
    minigen.manual_seed(4)
    config = VAEConfig(pixels=6, hidden=5, latent=1, likelihood="gaussian")
    model = VAE(config).double()
    model.output_logvar.data = minigen.tensor(-0.5, dtype=minigen.float64)
    z = np.linspace(-12, 12, 20_001)
    with minigen.no_grad():
        means = model.decode(tensor(z[:, None])).numpy()
    densities = np.prod(np.exp(-((IMAGES[:, None] - means) ** 2) / 2 / math.exp(-0.5)), axis=-1)
    densities = densities / (2 * math.pi * math.exp(-0.5)) ** 3
    exact = np.log(np.trapezoid(densities * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), z))
    noise = Generator().manual_seed(1)
    nll = negative_log_likelihood(model, tensor(IMAGES), samples=20_000, generator=noise)
    np.testing.assert_allclose(-nll.numpy(), exact, atol=0.03)


def test_numbers_of_a_code_that_say_nothing_are_not_active() -> None:
    mu = rng.normal(size=(500, 4)) * np.array([1.0, 0.05, 0.2, 0.0]) + 3.0
    assert active_units(tensor(mu)) == 2
    assert active_units(tensor(mu), threshold=0.1) == 1
    with pytest.raises(ValueError, match="1 or more draws, got 0"):
        log_importance_weights(VAE(VAEConfig(pixels=6)), tensor(IMAGES), 0)


def test_one_draw_is_the_elbo_with_the_divergence_sampled(small: VAE) -> None:
    x = tensor(np.repeat(IMAGES, 20_000, axis=0))
    with minigen.no_grad():
        minigen.manual_seed(0)
        sampled = log_importance_weights(small, x, 1).mean().item()
        minigen.manual_seed(0)
        logits, mu, logvar = small(x)
        assert sampled == pytest.approx(elbo(logits, x, mu, logvar).mean().item(), abs=0.01)


def test_the_bounds_gradient_weighs_draws_by_their_share() -> None:
    log_w = tensor(rng.normal(size=(3, 4))).requires_grad_()
    importance_weighted_bound(log_w).sum().backward()
    w = np.exp(log_w.detach().numpy())
    np.testing.assert_allclose(log_w.grad.numpy(), w / w.sum(1, keepdims=True), rtol=1e-12)


def test_densities_equal_torchs() -> None:
    z, mu, logvar = (rng.normal(size=(5, 3)) for _ in range(3))
    normal = torch.distributions.Normal(torch.tensor(mu), torch.tensor(np.exp(logvar / 2)))
    expected = normal.log_prob(torch.tensor(z)).sum(1).numpy()
    a = normal_log_density(tensor(z), tensor(mu), tensor(logvar)).numpy()
    b = gaussian_log_likelihood(tensor(mu), tensor(z), tensor(logvar)).numpy()
    np.testing.assert_allclose(a, expected, rtol=1e-12)
    np.testing.assert_allclose(b, expected, rtol=1e-12)
    one = gaussian_log_likelihood(tensor(mu), tensor(z), 0.7).numpy()
    normal = torch.distributions.Normal(torch.tensor(mu), math.exp(0.35))
    np.testing.assert_allclose(one, normal.log_prob(torch.tensor(z)).sum(1).numpy(), rtol=1e-12)


def test_a_learned_variance_gets_its_gradient() -> None:
    x = tensor(rng.normal(size=(50, 3)))
    logvar = minigen.zeros(3, dtype=minigen.float64).requires_grad_()
    gaussian_log_likelihood(x * 0, x, logvar).sum().backward()
    np.testing.assert_allclose(logvar.grad.numpy(), 0.5 * ((x.numpy() ** 2) - 1).sum(0), rtol=1e-12)


def test_beta_weighs_the_divergence(small: VAE) -> None:
    x = tensor(IMAGES)
    with minigen.no_grad():
        logits, mu, logvar = small(x, minigen.zeros(4, 1, dtype=minigen.float64))
        one, four = (elbo(logits, x, mu, logvar, beta).numpy() for beta in (1.0, 4.0))
        likelihood = bernoulli_log_likelihood(logits, x).numpy()
    np.testing.assert_allclose(likelihood - four, 4 * (likelihood - one), rtol=1e-12)


# ------------------------------------------------------------------------------------ conditional


def test_the_class_reaches_encoder_and_decoder() -> None:
    minigen.manual_seed(0)
    model = ConditionalVAE(ConditionalVAEConfig(pixels=6, hidden=5, latent=2, classes=3)).double()
    x, y, noise = rng.random((4, 6)), np.array([0, 2, 1, 2]), rng.normal(size=(4, 2))
    logits, mu, logvar = model(tensor(x), tensor(y), tensor(noise))
    w = {k: v.detach().numpy() for k, v in model.named_parameters()}
    hot = np.eye(3)[y]
    h = np.maximum(np.hstack([x, hot]) @ w["fc1.weight"].T + w["fc1.bias"], 0)
    m = h @ w["fc21.weight"].T + w["fc21.bias"]
    s = h @ w["fc22.weight"].T + w["fc22.bias"]
    z = m + np.exp(s / 2) * noise
    h = np.maximum(np.hstack([z, hot]) @ w["fc3.weight"].T + w["fc3.bias"], 0)
    np.testing.assert_allclose(mu.detach().numpy(), m, rtol=1e-10)
    np.testing.assert_allclose(logvar.detach().numpy(), s, rtol=1e-10)
    expected = h @ w["fc4.weight"].T + w["fc4.bias"]
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-10)
    assert model.sample(tensor(np.arange(3))).shape == (3, 6)
    with pytest.raises(ValueError, match="from 0 to 2, got 0 to 3"):
        model.sample(tensor(np.array([0, 3])))


def test_one_code_in_each_class() -> None:
    minigen.manual_seed(0)
    model = ConditionalVAE(ConditionalVAEConfig(pixels=6, hidden=5, latent=2, classes=3)).double()
    z = tensor(rng.normal(size=(4, 2)))
    table = model.in_all_classes(z).numpy()
    assert table.shape == (3, 4, 6)
    for y in range(3):
        row = minigen.sigmoid(model.decode(z, tensor(np.full(4, y)))).detach().numpy()
        np.testing.assert_allclose(table[y], row, rtol=1e-12)
    assert np.abs(table[0] - table[1]).min() > 1e-4
    x, y = tensor(rng.random((4, 2, 3))), tensor(np.array([0, 1, 2, 1]))
    mu, _ = model.encode(x.reshape(4, 6), y)
    expected = minigen.sigmoid(model.decode(mu, y)).detach().numpy()
    np.testing.assert_allclose(model.reconstruct(x, y).numpy(), expected, rtol=1e-12)


def test_a_class_without_an_example_is_named() -> None:
    require_classes(tensor(np.array([2, 0, 1])), 3)
    with pytest.raises(ValueError, match=r"no example of class 1, 3 among the 2 given"):
        require_classes(tensor(np.array([0, 2])), 4)


# ----------------------------------------------------------------------------------------- VQ-VAE


def test_nearest_is_the_nearest() -> None:
    book = Codebook(7, 3).double()
    book.vectors.data = tensor(rng.normal(size=(7, 3)))
    z = rng.normal(size=(2, 3, 4, 5))
    flat = z.transpose(0, 2, 3, 1)[..., None, :]
    expected = ((flat - book.vectors.detach().numpy()) ** 2).sum(-1).argmin(-1)
    np.testing.assert_array_equal(book.nearest(tensor(z)).numpy(), expected)


def test_vectors_that_nobody_chooses_start_again_as_what_is_there() -> None:
    minigen.manual_seed(0)
    book = Codebook(6, 2).double()
    book.vectors.data = tensor(np.array([[0, 0], [1, 1], [50, 50], [60, 60], [70, 70], [80, 80.0]]))
    z = tensor(rng.normal(size=(3, 2, 4, 4)) * 0.3 + 0.5)
    assert book.revive(z) == 4
    vectors = book.vectors.detach().numpy()
    np.testing.assert_array_equal(vectors[:2], [[0, 0], [1, 1]])  # chosen: left alone
    there = z.numpy().transpose(0, 2, 3, 1).reshape(-1, 2)
    for vector in vectors[2:]:
        assert (there == vector).all(1).any()
    assert codebook_usage(book.nearest(z), 6).used == 6
    assert book.revive(z) == 0


def test_a_step_equals_torchs() -> None:
    """Straight-through, book and commitment terms: gradients of every weight."""
    minigen.manual_seed(1)
    config = VQVAEConfig(size=8, widths=(4, 6), codes=5, dimension=3, commitment=0.3)
    model = VQVAE(config).double()
    model.codebook.vectors.data = tensor(rng.normal(size=(5, 3)) * 0.2)
    theirs = {
        k: torch.tensor(v.detach().numpy().copy(), requires_grad=True)
        for k, v in model.named_parameters()
    }
    x = rng.random((3, 1, 8, 8))
    loss = vq_vae_loss(*(lambda out: (out[0], tensor(x), out[1]))(model(tensor(x))))
    loss.backward()

    def conv(
        h: torch.Tensor, name: str, function: object = F.conv2d, **options: int
    ) -> torch.Tensor:
        return function(h, theirs[f"{name}.weight"], theirs[f"{name}.bias"], **options)  # type: ignore[operator]

    h = F.relu(conv(torch.tensor(x), "encoder.0", stride=2, padding=1))
    z_e = conv(F.relu(conv(h, "encoder.2", stride=2, padding=1)), "encoder.4")
    book = theirs["codebook.vectors"]
    flat = z_e.permute(0, 2, 3, 1)
    z_q = book[torch.cdist(flat, book).argmin(-1)].permute(0, 3, 1, 2)
    through = z_e + (z_q - z_e).detach()
    h = F.relu(conv(through, "decoder.0", padding=1))
    h = F.relu(conv(h, "decoder.2", F.conv_transpose2d, stride=2, padding=1))
    logits = conv(h, "decoder.4", F.conv_transpose2d, stride=2, padding=1)
    expected = F.binary_cross_entropy_with_logits(logits, torch.tensor(x))
    expected = (
        expected + ((z_q - z_e.detach()) ** 2).mean() + 0.3 * ((z_e - z_q.detach()) ** 2).mean()
    )
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(
            p.grad.numpy(), theirs[name].grad.numpy(), atol=1e-11, err_msg=name
        )


def test_symbols_decode_to_what_the_model_makes() -> None:
    minigen.manual_seed(2)
    model = VQVAE(VQVAEConfig(size=8, widths=(4, 6), codes=5, dimension=3))
    x = minigen.rand(3, 1, 8, 8)
    logits, quantized = model(x)
    symbols = model.encode(x)
    np.testing.assert_array_equal(symbols.numpy(), quantized.symbols.numpy())
    expected = minigen.sigmoid(logits).detach().numpy()
    np.testing.assert_allclose(model.decode(symbols).numpy(), expected, atol=1e-6)


def test_usage_counts_symbols_that_occur() -> None:
    assert codebook_usage(tensor(np.array([[1, 1], [1, 1]])), 4) == (1, 1.0)
    used, perplexity = codebook_usage(tensor(np.arange(8)), 8)
    assert (used, round(perplexity, 5)) == (8, 8.0)  # float32 shares
    with pytest.raises(ValueError, match="multiple of 4"):
        VQVAEConfig(size=10)
