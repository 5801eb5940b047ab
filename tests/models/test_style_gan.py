"""The style-based generator: its pieces and ten steps of training against torch's, and what styles,
noise, mixing and truncation are said to do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from twins import copy_weights, same_weights, torch_conv_discriminator

import minigen
from minigen import Generator, optim
from minigen.models.dcgan import ConvDiscriminator, DCGANConfig
from minigen.models.gan_losses import discriminator_loss, generator_loss
from minigen.models.style_gan import (
    StyleGANConfig,
    StyleGenerator,
    TraditionalGenerator,
    adaptive_instance_norm,
    mix_styles,
)

SMALL = StyleGANConfig(size=8, latent=6, width=2, mapping=2)
rng = np.random.default_rng(0)


def both(array: np.ndarray) -> tuple:
    """The array as minigen's and as torch's tensor, each of its own memory."""
    return minigen.from_numpy(array.copy()), torch.from_numpy(array.copy())


class TorchStyledLayer(torch.nn.Module):
    def __init__(self, conv: torch.nn.Module, channels: int, latent: int) -> None:
        super().__init__()
        self.conv = conv
        self.noise = torch.nn.Module()
        self.noise.strength = torch.nn.Parameter(torch.zeros(channels))
        self.style = torch.nn.Linear(latent, 2 * channels)

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        x = self.conv(x) + self.noise.strength.view(1, -1, 1, 1) * noise
        x = F.leaky_relu(x, 0.2)
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return scale * (x - mean) / (var + 1e-5).sqrt() + shift


class TorchStyleGenerator(torch.nn.Module):
    def __init__(self, c: StyleGANConfig) -> None:
        super().__init__()
        w, conv, up = c.width, torch.nn.Conv2d, torch.nn.ConvTranspose2d
        self.mapping = torch.nn.Module()
        self.mapping.model = torch.nn.Sequential()
        for _ in range(c.mapping):
            self.mapping.model.append(torch.nn.Linear(c.latent, c.latent))
            self.mapping.model.append(torch.nn.LeakyReLU(0.2))
        self.constant = torch.nn.Parameter(torch.zeros(1, 4 * w, c.size // 4, c.size // 4))
        convs = [
            *[torch.nn.Identity(), conv(4 * w, 4 * w, 3, padding=1)],
            *[up(4 * w, 2 * w, 4, 2, 1), conv(2 * w, 2 * w, 3, padding=1)],
            *[up(2 * w, w, 4, 2, 1), conv(w, w, 3, padding=1)],
        ]
        self.layers = torch.nn.ModuleList(
            TorchStyledLayer(each, k * w, c.latent) for each, k in zip(convs, (4, 4, 2, 2, 1, 1))
        )
        self.to_image = conv(w, c.channels, 1)

    def forward(self, z: torch.Tensor, noise: list[torch.Tensor]) -> torch.Tensor:
        w = self.mapping.model(z / (z**2).mean(1, keepdim=True).add(1e-8).sqrt())
        x = self.constant.repeat(len(z), 1, 1, 1)
        for layer, image in zip(self.layers, noise):
            x = layer(x, w, image)
        return torch.tanh(self.to_image(x))


def test_adaptive_instance_norm_equals_its_definition_and_its_gradients_torchs() -> None:
    arrays = [rng.normal(size=shape) for shape in ((3, 4, 5, 6), (3, 4), (3, 4))]
    cotangent, theirs_cotangent = both(rng.normal(size=(3, 4, 5, 6)))
    pairs = [both(a) for a in arrays]
    ours = [a.requires_grad_() for a, _ in pairs]
    theirs = [b.requires_grad_() for _, b in pairs]
    x, scale, shift = theirs
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    expected = scale[..., None, None] * (x - mean) / (var + 1e-5).sqrt() + shift[..., None, None]
    result = adaptive_instance_norm(*ours)
    np.testing.assert_allclose(result.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    result.backward(cotangent)
    expected.backward(theirs_cotangent)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)


def test_ten_steps_equal_torch() -> None:
    """Generator and discriminator, from the same noise of both kinds, with their noise inputs at
    work and every parameter in motion."""
    minigen.manual_seed(3)
    G, shape = StyleGenerator(SMALL).double(), DCGANConfig(size=8, width=2, dropout=0.0)
    D = ConvDiscriminator(shape).double()
    with minigen.no_grad():
        for layer in G.layers:
            layer.noise.strength += 0.3
    twin_g, twin_d = TorchStyleGenerator(SMALL), torch_conv_discriminator(1, 8, 2, 5, 0.2, 0.0)
    copy_weights(G, twin_g)
    copy_weights(D, twin_d)
    before = {name: p.detach().numpy().copy() for name, p in G.named_parameters()}
    options = {"lr": 1e-3, "betas": (0.0, 0.99)}
    ours = [optim.Adam(net.parameters(), **options) for net in (G, D)]
    theirs = [torch.optim.Adam(net.parameters(), **options) for net in (twin_g, twin_d)]
    for step in range(10):
        real, real_t = both(rng.uniform(-1, 1, (5, 1, 8, 8)))
        z, z_t = both(rng.normal(size=(5, 6)))
        noise, noise_t = zip(*[both(rng.normal(size=n.shape)) for n in G.noise_images(5)])
        fake, fake_t = G.synthesize(G.styles(z), noise), twin_g(z_t, noise_t)
        losses = [discriminator_loss(D(real), D(fake.detach()))]
        bce = F.binary_cross_entropy_with_logits
        one, zero = torch.ones(5, 1).double(), torch.zeros(5, 1).double()
        detached = twin_d.model(fake_t.detach())
        losses_t = [(bce(twin_d.model(real_t), one) + bce(detached, zero)) / 2]
        for loss, optimizer in ((losses[0], ours[1]), (losses_t[0], theirs[1])):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(generator_loss(D(fake)))
        losses_t.append(bce(twin_d.model(fake_t), one))
        for loss, optimizer in ((losses[1], ours[0]), (losses_t[1], theirs[0])):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for a, b in zip(losses, losses_t):
            assert float(a) == pytest.approx(b.item(), rel=1e-8), step
    same_weights(G, twin_g)
    same_weights(D, twin_d)
    for name, p in G.named_parameters():
        assert (p.detach().numpy() != before[name]).any(), name


def test_only_the_direction_of_z_counts() -> None:
    G = StyleGenerator(SMALL).double()
    z = minigen.randn(4, 6, dtype=minigen.float64)
    np.testing.assert_allclose(
        G.mapping(z).detach().numpy(), G.mapping(7 * z).detach().numpy(), atol=1e-6
    )


def test_noise_acts_where_its_strength_is_not_zero() -> None:
    G = StyleGenerator(SMALL)
    styles = G.styles(minigen.randn(3, 6))
    first, second = G.synthesize(styles), G.synthesize(styles)
    np.testing.assert_array_equal(first.detach().numpy(), second.detach().numpy())
    with minigen.no_grad():
        G.layers[4].noise.strength += 1
    first, second = G.synthesize(styles), G.synthesize(styles)
    assert (first.detach().numpy() != second.detach().numpy()).any()


def test_training_mixes_two_styles_at_one_place_of_a_share_of_the_images() -> None:
    G = StyleGenerator(dataclasses.replace(SMALL, mixing=0.5))
    seen = []
    G.synthesize = lambda styles: seen.append(styles.detach().numpy())
    G(minigen.randn(2000, 6))
    (styles,) = seen
    changes = (np.abs(np.diff(styles, axis=1)).max(axis=2) > 0).sum(axis=1)
    assert set(changes) == {0, 1}  # never two
    assert abs((changes == 1).mean() - 0.5) < 0.05
    places = np.abs(np.diff(styles, axis=1)).max(axis=2).argmax(axis=1)[changes == 1]
    assert set(places) == {0, 1, 2, 3, 4}
    G.eval()
    G(minigen.randn(50, 6))
    assert (np.diff(seen[1], axis=1) == 0).all()


def test_a_mixed_picture_has_the_coarse_layers_of_one_and_the_fine_ones_of_the_other() -> None:
    G = StyleGenerator(SMALL)
    a, b = minigen.randn(2, 6, 6), minigen.randn(3, 6, 6)  # another w in every layer
    table = mix_styles(a, b, layer=2)
    assert table.shape == (2, 3, 6, 6)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(table[i, j, :2].numpy(), a[i, :2].numpy())
        np.testing.assert_array_equal(table[i, j, 2:].numpy(), b[j, 2:].numpy())
    coarse, fine = mix_styles(a, b, layer=6), mix_styles(a, b, layer=0)
    np.testing.assert_array_equal(
        G.synthesize(coarse[:, 0]).detach().numpy(), G.synthesize(a).detach().numpy()
    )
    np.testing.assert_array_equal(
        G.synthesize(fine[0]).detach().numpy(), G.synthesize(b).detach().numpy()
    )
    with pytest.raises(ValueError, match="layer must be from 0 to 6"):
        mix_styles(a, b, layer=7)


def test_truncation_moves_styles_towards_their_mean() -> None:
    G = StyleGenerator(SMALL)
    z = minigen.randn(5, 6)
    whole, mean = G.styles(z).detach().numpy(), G.mean_style().numpy()
    np.testing.assert_array_equal(G.styles(z, 1.0).detach().numpy(), whole)
    np.testing.assert_allclose(
        G.styles(z, 0.25).detach().numpy(), mean + 0.25 * (whole - mean), rtol=1e-5, atol=1e-6
    )
    many = G.mapping(minigen.randn(4096, 6)).detach().numpy()
    np.testing.assert_allclose(mean, many.mean(0), atol=5 * many.std() / 64)
    still = G.draw(4, truncation=0.0).numpy()
    np.testing.assert_allclose(still[1:], still[:-1], atol=1e-4)
    assert (np.diff(G.draw(4).numpy(), axis=0) != 0).any()


def test_drawing_follows_the_seed() -> None:
    G = StyleGenerator(SMALL)
    with minigen.no_grad():
        for layer in G.layers:
            layer.noise.strength += 0.5
    first = G.draw(3, Generator().manual_seed(1)).numpy()
    np.testing.assert_array_equal(first, G.draw(3, Generator().manual_seed(1)).numpy())
    assert (first != G.draw(3, Generator().manual_seed(2)).numpy()).any()
    colour = StyleGenerator(dataclasses.replace(SMALL, channels=3, size=12))
    assert colour.draw(2).shape == (2, 3, 12, 12)


def test_the_mapping_learns_a_hundredth_as_fast_and_nothing_is_left_out() -> None:
    network = StyleGenerator(StyleGANConfig(width=2, latent=8))
    others, mapping = network.parameter_groups(3e-3)
    assert (others["lr"], mapping["lr"]) == (3e-3, pytest.approx(3e-5))
    assert [id(p) for p in mapping["params"]] == [id(p) for p in network.mapping.parameters()]
    every = [id(p) for p in others["params"] + mapping["params"]]
    assert sorted(every) == sorted(id(p) for p in network.parameters())
    with pytest.raises(ValueError, match="mapping_lr"):
        StyleGANConfig(mapping_lr=-1.0)


def test_bad_input_is_refused_by_name() -> None:
    for wrong, message in (
        ({"size": 30}, "multiple of 4"),
        ({"width": 0}, "width must be 1"),
        ({"mixing": 1.5}, "mixing is a share"),
    ):
        with pytest.raises(ValueError, match=message):
            StyleGANConfig(**wrong)
    with pytest.raises(ValueError, match=r"styles \(N, 6, 6\)"):
        StyleGenerator(SMALL).synthesize(minigen.zeros(2, 6))


def test_the_traditional_generator_is_figure_1a() -> None:
    """Against the formula, layer by layer; only the direction of z counts."""
    minigen.manual_seed(0)
    network = TraditionalGenerator(StyleGANConfig(size=8, latent=5, width=2))
    z = minigen.randn(3, 5)

    def normal(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)

    weights = network.first.weight.detach().numpy()
    x = normal(z.numpy()) @ weights.T + network.first.bias.detach().numpy()
    x = x.reshape(3, 8, 2, 2)
    x = normal(np.where(x > 0, x, 0.2 * x))
    for conv in network.convs:
        x = conv(minigen.from_numpy(x.astype(np.float32))).detach().numpy()
        x = normal(np.where(x > 0, x, 0.2 * x))
    made = network(z)
    assert made.shape == (3, 1, 8, 8)
    to_image = network.to_image.weight.detach().numpy()[..., 0, 0]  # (c, w)
    want = np.tanh(np.einsum("ic,nchw->nihw", to_image, x))
    np.testing.assert_allclose(made.detach().numpy(), want, atol=1e-4)
    np.testing.assert_allclose(network(3 * z).detach().numpy(), made.detach().numpy(), atol=1e-4)
