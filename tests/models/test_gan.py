"""The GAN: its losses against their definitions, its training against torch's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from twins import (
    copy_weights,
    drawn,
    same_weights,
    torch_discriminator,
    torch_generator,
)

import minigen
from minigen import Generator
from minigen.models.dcgan import ConvDiscriminator, ConvGenerator, DCGANConfig
from minigen.models.gan import (
    GANConfig,
    MLPDiscriminator,
    MLPGenerator,
)
from minigen.models.gan_losses import discriminator_loss, generator_loss, gradient_penalty
from minigen.training.recipes import default_settings
from minigen.training.recipes.gan import gan


def test_losses_equal_their_definitions() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(6, 1)) * 3, rng.normal(size=(6, 1)) * 3
    D = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    expected = -0.5 * (np.log(D(real)).mean() + np.log(1 - D(fake)).mean())
    ours = discriminator_loss(minigen.from_numpy(real), minigen.from_numpy(fake)).item()
    assert ours == pytest.approx(expected, rel=1e-12)
    ours = generator_loss(minigen.from_numpy(fake)).item()
    assert ours == pytest.approx(-np.log(D(fake)).mean(), rel=1e-12)


def test_losses_stay_finite_and_steep_where_the_discriminator_is_sure() -> None:
    """The point of logits, and of the non-saturating loss."""
    fake = minigen.tensor([[-200.0]], requires_grad=True)
    loss = generator_loss(fake)
    loss.backward()
    assert loss.item() == 200
    assert fake.grad.item() == -1
    assert discriminator_loss(fake.detach() + 400, fake.detach()).item() == 0


def test_the_generator_normalises_all_layers_but_the_first() -> None:
    G = MLPGenerator()
    kinds = [type(layer).__name__ for layer in G.model]
    assert kinds == [
        *["Linear", "LeakyReLU"],
        *["Linear", "BatchNorm1d", "LeakyReLU"] * 3,
        *["Linear", "Tanh"],
    ]
    assert [layer.eps for layer in G.model if hasattr(layer, "eps")] == [1e-5] * 3
    parameters = [*G.parameters(), *MLPDiscriminator().parameters()]
    assert sum(p.numel() for p in parameters) == 2_043_537


def test_ten_steps_equal_torch() -> None:
    settings = default_settings("gan", fast=True)
    small = {"generator": [16, 32, 24], "discriminator": [32, 16], "dropout": 0.0}
    settings = dataclasses.replace(settings, model={**settings.model, **small})
    minigen.manual_seed(5)
    job = gan(settings)
    G, D = job.modules["generator"].double(), job.modules["discriminator"].double()
    twin_g, twin_d = torch_generator([16, 32, 24], 100, 784), torch_discriminator([32, 16], 784)
    copy_weights(G, twin_g)
    copy_weights(D, twin_d)
    options = {"lr": settings.lr, "betas": (0.5, 0.999)}
    adam_g = torch.optim.Adam(twin_g.parameters(), **options)
    adam_d = torch.optim.Adam(twin_d.parameters(), **options)
    one, zero = torch.ones(20, 1).double(), torch.zeros(20, 1).double()
    bce = F.binary_cross_entropy_with_logits
    rng = np.random.default_rng(6)
    for step in range(10):
        x = rng.uniform(-1, 1, (20, 784))
        minigen.manual_seed(step)
        ours = job.step([minigen.from_numpy(x)])
        fake = twin_g.model(torch.from_numpy(drawn(step, 20, 100)))
        loss_d = (
            bce(twin_d.model(torch.from_numpy(x)), one) + bce(twin_d.model(fake.detach()), zero)
        ) / 2
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()
        loss_g = bce(twin_d.model(fake), one)
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()
        assert float(ours["discriminator"]) == pytest.approx(loss_d.item(), rel=1e-8), step
        assert float(ours["generator"]) == pytest.approx(loss_g.item(), rel=1e-8), step
    same_weights(G, twin_g)
    same_weights(D, twin_d)


def test_frozen_gives_gradients_to_the_images_only() -> None:
    D = MLPDiscriminator(GANConfig(pixels=16, discriminator=(8,)))
    x = minigen.rand(3, 16, requires_grad=True)
    with D.frozen():
        generator_loss(D(x)).backward()
    assert (x.grad.numpy() != 0).any()
    assert all(p.grad is None and p.requires_grad for p in D.parameters())


def test_dropout_acts_in_training_only() -> None:
    D = MLPDiscriminator(GANConfig(pixels=16))
    x = minigen.rand(3, 16)
    assert (D(x).detach().numpy() != D(x).detach().numpy()).any()
    D.eval()
    np.testing.assert_array_equal(D(x).detach().numpy(), D(x).detach().numpy())


def test_sampling_follows_the_seed_and_leaves_the_network_as_it_was() -> None:
    G = MLPGenerator(GANConfig(generator=(8, 8)))
    before = {k: v.numpy().copy() for k, v in G.state_dict().items()}
    first = G.sample(6, Generator().manual_seed(1)).numpy()
    np.testing.assert_array_equal(first, G.sample(6, Generator().manual_seed(1)).numpy())
    assert (first != G.sample(6, Generator().manual_seed(2)).numpy()).any()
    assert first.shape == (6, 784)
    assert first.min() >= 0
    assert first.max() <= 1
    assert G.training
    for name, value in G.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)


def test_gradient_penalty_of_a_linear_critic() -> None:
    """f(x) = w·x rises by |w| everywhere; with |w| = 3 the penalty is 4, its gradient 2·2·w/|w|."""
    critic = minigen.nn.Linear(4, 1, bias=False)
    with minigen.no_grad():
        critic.weight[...] = minigen.tensor([[1.0, 2.0, 0.0, 2.0]])
    penalty = gradient_penalty(critic, minigen.randn(5, 4), minigen.randn(5, 4), minigen.rand(5, 1))
    penalty.backward()
    assert penalty.item() == pytest.approx(4, rel=1e-6)
    np.testing.assert_allclose(
        critic.weight.grad.numpy(), 4 / 3 * critic.weight.detach().numpy(), rtol=1e-6
    )


def test_the_penalty_is_taken_between_real_and_generated_images() -> None:
    seen = []

    def critic(x):
        seen.append(x.detach().numpy())
        return (x * x).sum(dim=1)

    real, fake = minigen.zeros(3, 2), minigen.ones(3, 2)
    epsilon = minigen.tensor([[0.0], [0.25], [1.0]])
    gradient_penalty(critic, real, fake, epsilon)
    np.testing.assert_allclose(seen[0], [[1, 1], [0.75, 0.75], [0, 0]])


def test_convolutional_networks_have_the_usual_size() -> None:
    """At width 64 those of a well-known tutorial: 2.5 million parameters."""
    config = DCGANConfig(width=64)
    networks = ConvGenerator(config), ConvDiscriminator(config)
    assert sum(p.numel() for n in networks for p in n.parameters()) == 2_518_337
    colour = DCGANConfig(channels=3, size=32, width=4)
    images = ConvGenerator(colour).sample(2)
    assert images.shape == (2, 3, 32, 32)
    assert ConvDiscriminator(colour)(images).shape == (2, 1)
    with pytest.raises(ValueError, match="multiple of 4"):
        DCGANConfig(size=30)
    with pytest.raises(ValueError, match="odd"):
        DCGANConfig(kernel=4)
