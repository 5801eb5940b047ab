"""Convolutional GANs: A. Radford et al., "Unsupervised Representation Learning with Deep
Convolutional Generative Adversarial Networks", 2015 (arXiv:1511.06434).

What makes convolutional GANs stable (section 3): strides in place of pooling; batch norm in both
networks but not at G's end nor at D's beginning; ReLU in G, LeakyReLU in D; initial weights from
N(0, 0.02^2). Losses and the step are those of `minigen.models.gan`.

Shapes: N images of c channels, s x s pixels in [-1, 1]; noise of J numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigen import nn
from minigen.models.gan import Discriminator, Generator
from minigen.models.gan_losses import MinibatchStandardDeviation
from minigen.models.sizes import require_sizes


@dataclass(frozen=True)
class DCGANConfig:
    """For 28 x 28 grey digits or 32 x 32 colour images; width 64 is the usual size, 16 learns in
    minutes on a CPU."""

    channels: int = 1  # c
    size: int = 28  # s, a multiple of 4
    latent: int = 100  # J
    width: int = 16  # w: channels of the layer next to the image
    kernel: int = 5  # odd
    slope: float = 0.2  # of LeakyReLU
    dropout: float = 0.3  # in the discriminator
    pack: int = 1  # images that D judges at once, as channels of one (PacGAN)
    minibatch_std: bool = False  # one more channel for D: how much the batch varies
    spectral_norm: bool = False  # every layer of D with spectral norm 1

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.size % 4:
            raise ValueError(f"size {self.size} cannot be halved twice; take a multiple of 4")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} has no middle; take an odd one")


class ConvGenerator(Generator):
    """G: noise (N, J) -> images (N, c, s, s).

    >>> import minigen
    >>> ConvGenerator(DCGANConfig(width=2))(minigen.randn(5, 100)).shape
    minigen.Size([5, 1, 28, 28])
    """

    def __init__(self, config: DCGANConfig | None = None) -> None:
        super().__init__()
        c = config or DCGANConfig()
        self.latent = c.latent
        small, k, half = c.size // 4, c.kernel, c.kernel // 2

        def widen(channels: int, fewer: int) -> nn.Module:  # pictures of twice the side
            return nn.ConvTranspose2d(channels, fewer, k, 2, half, output_padding=1, bias=False)

        self.model = nn.Sequential(
            nn.Linear(c.latent, 4 * c.width * small**2, bias=False),  # (N, J) -> (N, 4w s^2 / 16)
            nn.BatchNorm1d(4 * c.width * small**2),
            nn.ReLU(),
            nn.Unflatten(1, (4 * c.width, small, small)),  # -> (N, 4w, s/4, s/4)
            nn.ConvTranspose2d(4 * c.width, 2 * c.width, k, padding=half, bias=False),
            nn.BatchNorm2d(2 * c.width),
            nn.ReLU(),
            widen(2 * c.width, c.width),  # (N, 2w, s/4, s/4) -> (N, w, s/2, s/2)
            nn.BatchNorm2d(c.width),
            nn.ReLU(),
            widen(c.width, c.channels),  # -> (N, c, s, s)
            nn.Tanh(),
        )
        self.apply(narrow)


class ConvDiscriminator(Discriminator):
    """D: images (N, ...) -> logits (N, 1).

    Without batch norm, in place of which it has dropout: real and generated images can then go
    through it together, and a gradient penalty is that of each image alone.

    >>> import minigen
    >>> ConvDiscriminator(DCGANConfig(width=2))(minigen.zeros(5, 784)).shape
    minigen.Size([5, 1])
    """

    def __init__(self, config: DCGANConfig | None = None) -> None:
        super().__init__()
        c = config or DCGANConfig()
        self.shape = (c.pack * c.channels, c.size, c.size)
        k, half = c.kernel, c.kernel // 2
        spread = [MinibatchStandardDeviation()] if c.minibatch_std else []
        self.model = nn.Sequential(
            nn.Conv2d(c.pack * c.channels, c.width, k, 2, half),  # -> (N, w, s/2, s/2)
            nn.LeakyReLU(c.slope),
            nn.Dropout(c.dropout),
            nn.Conv2d(c.width, 2 * c.width, k, 2, half),  # -> (N, 2w, s/4, s/4)
            nn.LeakyReLU(c.slope),
            nn.Dropout(c.dropout),
            *spread,  # -> (N, 2w + 1, s/4, s/4)
            nn.Flatten(),
            nn.Linear((2 * c.width + len(spread)) * (c.size // 4) ** 2, 1),
        )
        self.apply(narrow)
        self.follow(c)


def narrow(module: nn.Module) -> None:
    """Weights from N(0, 0.02²), those of batch norm from N(1, 0.02²), biases zero (section 3)."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if weight is None:
        return
    nn.init.normal_(
        weight, 1.0 if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) else 0.0, 0.02
    )
    if bias is not None:
        nn.init.zeros_(bias)
