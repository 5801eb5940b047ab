"""The network of diffusion models: a noisy image, the time and a class in, an image out.

A small U-Net, as J. Ho, A. Jain and P. Abbeel, "Denoising Diffusion Probabilistic Models", 2020
(arXiv:2006.11239), appendix B, have a large one: residual blocks that are told the time, on two
resolutions with a skip between them. What an output means (the noise, a velocity) is the business
of `minigen.models.diffusion` and `minigen.models.flow_matching`.

Two things are not in the paper. Blocks of p x p pixels go in and come out as p^2 channels, so that
the wide layers work on 14 x 14 and 7 x 7 places of a digit in place of 28 x 28, which a CPU can
afford. And to what comes out a share of what went in is added that depends on the time, because
noise has to come out pixel by pixel and is in there already (T. Karras, M. Aittala, T. Aila and S.
Laine, 2022, arXiv:2206.00364, equation 7, have such a skip with a formula for the share).

Shapes: N images of c channels, s x s pixels; times t (N,) in [0, 1]; K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import minigen
from minigen import Tensor, nn
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F

# Images x (N, c, s, s) at times t (N,), with classes y (N,) or without -> (N, c, s, s).
Denoiser = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class DenoiserConfig:
    """For 28 x 28 grey digits of ten classes."""

    channels: int = 1  # c
    size: int = 28  # s, a multiple of 2 p
    patch: int = 2  # p
    widths: tuple[int, int] = (32, 64)  # on s/p x s/p and on s/2p x s/2p places
    groups: int = 8  # of group norm
    time: int = 64  # numbers that describe a time
    classes: int = 10  # K

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.size % (2 * self.patch):
            raise ValueError(
                f"size {self.size} cannot be cut into patches of {self.patch} and halved; take a "
                f"multiple of {2 * self.patch}"
            )
        if any(width % self.groups for width in self.widths):
            raise ValueError(
                f"widths {tuple(self.widths)} must be multiples of the groups, {self.groups}"
            )


def time_embedding(t: Tensor, dimension: int, scale: float = 1000.0) -> Tensor:
    """Times (N,) -> (N, dimension): cosines and sines of frequencies from 1 to 1/10,000, as A.
    Vaswani et al., 2017 (arXiv:1706.03762), section 3.5, describe a place in a text.

    scale: what times are multiplied by, for which the frequencies are made: a time in [0, 1]
    becomes the number of one of a thousand steps.

    >>> time_embedding(minigen.tensor([0.0, 0.002]), 4)
    tensor([[ 1.0000,  1.0000,  0.0000,  0.0000],
            [-0.4161,  0.9998,  0.9093,  0.0200]])
    """
    half = dimension // 2
    steps = minigen.arange(half, dtype=t.dtype, device=t.device)
    frequencies = minigen.exp(-math.log(10_000.0) / half * steps)  # (half,)
    angles = scale * t[:, None] * frequencies  # (N, 1) (half,) -> (N, half)
    return minigen.cat([angles.cos(), angles.sin()], dim=1)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + what the time and the class say)))."""

    def __init__(self, width_in: int, width: int, told: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, width_in), nn.Conv2d(width_in, width, 3, 1, 1)
        self.tell = nn.Linear(told, width)
        self.norm2, self.conv2 = nn.GroupNorm(groups, width), nn.Conv2d(width, width, 3, 1, 1)
        self.skip = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        zero(self.conv2)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """x (N, width_in, h, w), told (N, told) -> (N, width, h, w)."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.tell(told)[:, :, None, None]  # (N, width) -> (N, width, 1, 1)
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class UNet(nn.Module):
    """The denoiser: images (N, c, s, s), times (N,), classes (N,) -> (N, c, s, s).

    A class of K, or None for all, stands for no class at all: what a guided model learns as well.

    >>> model = UNet(DenoiserConfig(size=8, widths=(4, 8), groups=2, time=8))
    >>> x, t = minigen.randn(3, 1, 8, 8), minigen.tensor([0.0, 0.5, 1.0])
    >>> model(x, t, minigen.tensor([1, 9, 10])).shape
    minigen.Size([3, 1, 8, 8])
    """

    def __init__(self, config: DenoiserConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or DenoiserConfig()
        fine, coarse = c.widths
        told = 2 * c.time

        def block(width_in: int, width: int) -> ResidualBlock:
            return ResidualBlock(width_in, width, told, c.groups)

        self.time = nn.Sequential(nn.Linear(c.time, told), nn.SiLU(), nn.Linear(told, told))
        self.label = nn.Embedding(c.classes + 1, told)  # the last one: no class
        self.read = nn.Conv2d(c.patch**2 * c.channels, fine, 3, 1, 1)
        self.down = block(fine, fine)
        self.shrink = nn.Conv2d(fine, coarse, 3, 2, 1)
        self.middle1, self.middle2 = block(coarse, coarse), block(coarse, coarse)
        self.grow = nn.ConvTranspose2d(coarse, fine, 4, 2, 1)
        self.up = block(2 * fine, fine)
        self.norm = nn.GroupNorm(c.groups, fine)
        self.write = nn.Conv2d(fine, c.patch**2 * c.channels, 3, 1, 1)
        self.keep = nn.Linear(told, 1)
        zero(self.write)
        zero(self.keep)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        c = self.config
        if y is None:
            y = minigen.full((len(x),), c.classes, dtype=minigen.int64, device=x.device)
        told = F.silu(self.time(time_embedding(t, c.time)) + self.label(y))  # (N, told)
        h = self.read(F.pixel_unshuffle(x, c.patch))  # (N, c, s, s) -> (N, fine, s/p, s/p)
        fine = self.down(h, told)
        coarse = self.middle1(self.shrink(fine), told)  # -> (N, coarse, s/2p, s/2p)
        coarse = self.middle2(coarse, told)
        h = minigen.cat([self.grow(coarse), fine], dim=1)  # -> (N, 2 fine, s/p, s/p)
        h = self.write(F.silu(self.norm(self.up(h, told))))  # -> (N, p^2 c, s/p, s/p)
        kept = self.keep(told)[:, :, None, None]  # (N, 1) -> (N, 1, 1, 1)
        return F.pixel_shuffle(h, c.patch) + kept * x  # (N, p^2 c, ...) -> (N, c, s, s)


def zero(layer: nn.Conv2d | nn.Linear) -> None:
    """Start a layer that ends a branch at zero: at first, every residual block does nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
