"""A generative adversarial network: I. Goodfellow et al., "Generative Adversarial Nets", 2014.

A generator G makes images out of noise; a discriminator D tells them from real ones. D maximises,
and G minimises (equation 1 of arXiv:1406.2661),

    V(D, G) = E_x [ln D(x)] + E_z [ln(1 - D(G(z)))].

Early on D wins easily, 1 - D(G(z)) is nearly one, and G would learn nothing. So G maximises
ln D(G(z)) instead, which has the same fixed point and steep gradients where G is bad (section 3,
the "non-saturating" loss). One step of algorithm 1 is: improve D on a batch, then G. These losses
and those that came after them are in `gan_losses.py`.

Shapes: N images of D pixels in [-1, 1], noise of J numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import minigen
from minigen import Tensor, nn
from minigen.models.gan_losses import MinibatchStandardDeviation, bound_layers
from minigen.models.sizes import require_sizes


@dataclass(frozen=True)
class GANConfig:
    """A well-known multi-layer perceptron for 28x28 digits."""

    pixels: int = 784  # D
    latent: int = 100  # J
    generator: tuple[int, ...] = (128, 256, 512, 1024)
    discriminator: tuple[int, ...] = (512, 256)
    slope: float = 0.2  # of LeakyReLU where its input is negative
    dropout: float = 0.3  # in the discriminator
    pack: int = 1  # images that D judges at once (PacGAN)
    minibatch_std: bool = False  # one more feature for D: how much the batch varies
    spectral_norm: bool = False  # every layer of D with spectral norm 1
    # Widely copied scripts write BatchNorm1d(width, 0.8): meant as momentum, it is epsilon. One so
    # large hardly normalises: the same training then ended at 1.7 times the Fréchet distance.
    batch_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        require_sizes(self)


class Generator(nn.Module):
    """What turns noise (N, J) into images (N, ...) in [-1, 1]; a subclass makes `model`."""

    model: nn.Module
    latent: int  # J

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z)  # (N, J) -> (N, ...)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """For an optimizer: all weights at the learning rate lr, unless a subclass differs."""
        return [{"params": list(self.parameters()), "lr": lr}]

    def noise(self, count: int, generator: minigen.Generator | None = None) -> Tensor:
        """z ~ N(0, I), (count, J), on the device and in the dtype of the network."""
        weight = next(self.parameters())
        options: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
        return minigen.randn(count, self.latent, generator=generator, **options)

    @minigen.no_grad()
    def draw(self, count: int, generator: minigen.Generator | None = None) -> Tensor:
        """Images (count, ...) in [-1, 1], batch norm with its running statistics."""
        training = self.training
        self.eval()
        try:
            return self(self.noise(count, generator))
        finally:
            self.train(training)

    def sample(self, count: int, generator: minigen.Generator | None = None) -> Tensor:
        """The same in [0, 1]."""
        return (self.draw(count, generator) + 1) / 2


class Discriminator(nn.Module):
    """What turns images (N, ...) in [-1, 1] into logits (N, 1): how surely each is real,
    ln(D / (1 - D)); a subclass makes `model`.

    With `pack` images at a time, `gan_losses.packed`, N is the number of packs.
    """

    model: nn.Sequential
    shape: tuple[int, ...]  # of one image, or pack, as `model` takes it
    pack = 1
    compares = False  # whether an image's logit depends on the others in the batch

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.reshape(-1, *self.shape))  # (N, ...) -> (N, *shape) -> (N, 1)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees of images (N, ...): (N, F)."""
        return self.model[:-1](x.reshape(-1, *self.shape))  # (N, ...) -> (N, *shape) -> (N, F)

    def follow(self, config: Any) -> None:
        """What the configs of all discriminators ask for, once `model` is made."""
        self.pack, self.compares = config.pack, config.minibatch_std
        if config.spectral_norm:
            bound_layers(self)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, the parameters ask for no gradient: G's step needs only that of the images."""
        parameters = list(self.parameters())
        for p in parameters:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in parameters:
                p.requires_grad_(True)


class MLPGenerator(Generator):
    """G: noise (N, J) -> images (N, D) in [-1, 1].

    >>> network = MLPGenerator(GANConfig(pixels=16, generator=(8, 12)))
    >>> network(minigen.randn(5, 100)).shape
    minigen.Size([5, 16])
    """

    def __init__(self, config: GANConfig | None = None) -> None:
        super().__init__()
        config = config or GANConfig()
        self.latent = width = config.latent
        layers: list[nn.Module] = []
        for i, wider in enumerate(config.generator):
            layers.append(nn.Linear(width, wider))
            if i > 0:
                layers.append(nn.BatchNorm1d(wider, eps=config.batch_norm_eps))
            layers.append(nn.LeakyReLU(config.slope))
            width = wider
        self.model = nn.Sequential(*layers, nn.Linear(width, config.pixels), nn.Tanh())


class MLPDiscriminator(Discriminator):
    """D: images (N, ...) of D pixels -> logits (N, 1).

    >>> MLPDiscriminator()(minigen.zeros(5, 28, 28)).shape
    minigen.Size([5, 1])
    """

    def __init__(self, config: GANConfig | None = None) -> None:
        super().__init__()
        config = config or GANConfig()
        self.shape = (config.pack * config.pixels,)
        layers: list[nn.Module] = []
        width = config.pack * config.pixels
        for narrower in config.discriminator:
            layers += [
                nn.Linear(width, narrower),
                nn.LeakyReLU(config.slope),
                nn.Dropout(config.dropout),
            ]
            width = narrower
        if config.minibatch_std:
            layers.append(MinibatchStandardDeviation())
            width += 1
        self.model = nn.Sequential(*layers, nn.Linear(width, 1))
        self.follow(config)
