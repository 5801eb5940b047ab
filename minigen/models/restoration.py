"""Damaged images, and what the model of the undamaged ones makes of them: D. J. Im, S. Ahn,
R. Memisevic and Y. Bengio, "Denoising Criterion for Variational Auto-Encoding Framework", 2017
(arXiv:1511.06406).

A VAE whose encoder sees a damaged image y of x, and whose decoder has to explain the image as it
was. The bound is the VAE's with q(z|y) for q(z|x) (their equation 7 for one draw of the damage),

    L(x, y) = E_q(z|y) [ln p(x|z)] - KL(q(z|y) || p(z)),

so that any VAE can be trained with it: only what goes in changes. Three kinds of damage: noise on
every pixel, a square that is missing, and half of the resolution. Of the last two it is known what
exactly is lost; what is not is taken from the damaged image after all (`Damage.agree`). Each comes
with what one would do without learning (`Damage.classical`).

Shapes: N grey images (N, 1, s, s) in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import minigen
from minigen import Generator, Tensor
from minigen.nn import functional as F


@dataclass(frozen=True)
class Damaged:
    """What is left of images. seen: (N, 1, s, s), what a model is shown. What is known for sure:
    `known`, (N, 1, s, s), 1 where a pixel is what it was and 0 where it is lost, or `means`,
    (N, 1, s/2, s/2), of squares of four pixels."""

    seen: Tensor
    known: Tensor | None = None
    means: Tensor | None = None


class Damage(Protocol):
    """A way to lose a part of an image, and how to live with the rest."""

    def damage(self, x: Tensor, generator: Generator | None = None) -> Damaged:
        """Images (N, 1, s, s) -> what is left of them."""

    def agree(self, restored: Tensor, left: Damaged) -> Tensor:
        """A model's guess (N, 1, s, s), corrected where it contradicts what is known for sure."""

    def classical(self, left: Damaged) -> Tensor:
        """What one would do without a model of digits: (N, 1, s, s)."""


@dataclass(frozen=True)
class Noise:
    """Normal noise of standard deviation sigma on each pixel; what leaves [0, 1] is cut off.

    Against it: the median of the 3 x 3 pixels around each. No pixel is known for sure.
    """

    sigma: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.sigma < float("inf"):
            raise ValueError(f"sigma must be a positive number, got {self.sigma!r}")

    def damage(self, x: Tensor, generator: Generator | None = None) -> Damaged:
        noise = minigen.randn_like(x, generator=generator)
        return Damaged((x + self.sigma * noise).clamp(0, 1))

    def agree(self, restored: Tensor, left: Damaged) -> Tensor:
        return restored

    def classical(self, left: Damaged) -> Tensor:
        seen = left.seen.detach().cpu().numpy()
        padded = np.pad(seen, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        windows = sliding_window_view(padded, (3, 3), (2, 3))  # (N, 1, s, s, 3, 3)
        return minigen.from_numpy(np.median(windows, (-2, -1)).astype(seen.dtype))


@dataclass(frozen=True)
class Hole:
    """A square of side^2 pixels is black, somewhere in the middle: its corner is drawn from a
    square of places around that of a hole in the centre, `shift` pixels to each side.

    Against it: the surface that is as smooth as can be and meets the border of the hole, in which
    every pixel is the mean of its four neighbours (Laplace's equation, by `SWEEPS` sweeps of
    Jacobi).
    """

    side: int = 10
    shift: int = 2

    SWEEPS: ClassVar[int] = 200

    def __post_init__(self) -> None:
        if self.side < 1 or self.shift < 0:
            raise ValueError(f"no hole of side {self.side!r}, shifted by up to {self.shift!r}")

    def damage(self, x: Tensor, generator: Generator | None = None) -> Damaged:
        n, _, _, size = x.shape
        first = (size - self.side) // 2 - self.shift
        if first < 0:
            raise ValueError(
                f"a hole of {self.side} pixels, shifted by up to {self.shift}, leaves an image of "
                f"{size}"
            )
        places = 2 * self.shift + 1
        shifts = minigen.randint(0, places, (n, 2, 1), generator=generator, device=x.device)
        place = minigen.arange(size, device=x.device)
        inside = (first + shifts <= place) & (place < first + shifts + self.side)  # (N, 2, s)
        rows, columns = inside[:, 0, :, None], inside[:, 1, None, :]  # (N, s, 1), (N, 1, s)
        mask = (~(rows & columns))[:, None].to(x.dtype)  # (N, 1, s, s)
        return Damaged(x * mask, mask)

    def agree(self, restored: Tensor, left: Damaged) -> Tensor:
        """The known pixels as they are, the guess in the hole alone."""
        assert left.known is not None
        return left.seen + (1 - left.known) * restored

    def classical(self, left: Damaged) -> Tensor:
        assert left.known is not None
        image, known = left.seen.cpu().numpy(), left.known.cpu().numpy() > 0
        for _ in range(self.SWEEPS):
            padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
            around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
            around = around + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
            image = np.where(known, image, around / 4)
        return minigen.from_numpy(image)


@dataclass(frozen=True)
class HalfResolution:
    """Four pixels become their mean. A model is shown the result of bicubic interpolation.

    Against it: the same interpolation, corrected so that it agrees with the means.
    """

    def damage(self, x: Tensor, generator: Generator | None = None) -> Damaged:
        """Raises ValueError for an odd size."""
        if x.shape[-1] % 2 or x.shape[-2] % 2:
            raise ValueError(f"images of an even size have half of it; got {tuple(x.shape)}")
        means = F.avg_pool2d(x, 2)  # (N, 1, s, s) -> (N, 1, s/2, s/2)
        large = F.interpolate(means, scale_factor=2, mode="bicubic")
        return Damaged(large.clamp(0, 1), means=means)

    def agree(self, restored: Tensor, left: Damaged) -> Tensor:
        """What each square of four pixels lacks of its mean, or has too much, goes to all four."""
        assert left.means is not None
        missing = left.means - F.avg_pool2d(restored, 2)
        return (restored + F.interpolate(missing, scale_factor=2, mode="nearest")).clamp(0, 1)

    def classical(self, left: Damaged) -> Tensor:
        return self.agree(left.seen, left)


TASKS: dict[str, Damage] = {
    "denoise": Noise(),
    "inpaint": Hole(),
    "super_resolution": HalfResolution(),
}
