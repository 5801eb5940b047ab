"""A GAN of points in a plane, small enough to see it fail.

A mixture of a few Gaussians, on a ring or a grid, is what the papers on mode collapse measure: a
generator that has found one of them fools a discriminator that looks at one point at a time, and
has no reason to look for the others (Z. Lin et al., "PacGAN", NeurIPS 2018, arXiv:1712.04086,
section 4.1; A. Srivastava et al., "VEEGAN", NeurIPS 2017, arXiv:1705.07761, section 5.1).

Losses and the step are those of `minigen.models.gan`; two layers of ReLU, nothing normalised, and
points in their own units. Shapes: N points (N, 2), noise of J numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigen import nn
from minigen.models.gan import Discriminator, Generator
from minigen.models.gan_losses import MinibatchStandardDeviation
from minigen.models.sizes import require_sizes


@dataclass(frozen=True)
class PointGANConfig:
    """34,179 parameters in both; 34,435 with packs of two."""

    latent: int = 2  # J
    width: int = 128
    layers: int = 2  # of that width, in each network
    pack: int = 1  # points that D judges at once (PacGAN)
    minibatch_std: bool = False  # one more feature for D: how much the batch varies
    spectral_norm: bool = False  # every layer of D with spectral norm 1

    def __post_init__(self) -> None:
        require_sizes(self)


class PointGenerator(Generator):
    """G: noise (N, J) -> points (N, 2).

    >>> import minigen
    >>> PointGenerator()(minigen.randn(5, 2)).shape
    minigen.Size([5, 2])
    """

    def __init__(self, config: PointGANConfig | None = None) -> None:
        super().__init__()
        c = config or PointGANConfig()
        self.latent = c.latent
        self.model = nn.Sequential(*_layers(c.latent, c), nn.Linear(c.width, 2))


class PointDiscriminator(Discriminator):
    """D: points (N, 2), or packs of them (N, 2 pack) -> logits (N, 1).

    >>> import minigen
    >>> PointDiscriminator(PointGANConfig(pack=2))(minigen.zeros(5, 4)).shape
    minigen.Size([5, 1])
    """

    def __init__(self, config: PointGANConfig | None = None) -> None:
        super().__init__()
        c = config or PointGANConfig()
        self.shape = (2 * c.pack,)
        spread = [MinibatchStandardDeviation()] if c.minibatch_std else []  # (N, W) -> (N, W + 1)
        self.model = nn.Sequential(
            *_layers(2 * c.pack, c), *spread, nn.Linear(c.width + len(spread), 1)
        )
        self.follow(c)


def _layers(width: int, config: PointGANConfig) -> list[nn.Module]:
    """(N, width) -> (N, config.width), layer by layer."""
    layers: list[nn.Module] = []
    for _ in range(config.layers):
        layers += [nn.Linear(width, config.width), nn.ReLU()]
        width = config.width
    return layers
