"""Denoising diffusion: J. Ho, A. Jain and P. Abbeel, "Denoising Diffusion Probabilistic Models",
2020 (arXiv:2006.11239), and sampling it in few steps: J. Song, C. Meng and S. Ermon, "Denoising
Diffusion Implicit Models", 2020 (arXiv:2010.02502).

T small steps turn an image x_0 into noise x_T (equation 2 of Ho et al.). Any of them is reached at
once (equation 4),

    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) e,    e ~ N(0, I),    abar_t = prod_s (1 - beta_s),

and a network learns to tell the noise e from x_t, by plain regression (equation 14):

    L = E |e - e(x_t, t)|^2.

To sample, walk back: the noise that the network sees tells which image x_0 to expect (equation 15),
and between the two lies x_{t-1}. `ancestral` draws it from the posterior q(x_{t-1} | x_t, x_0)
(equation 7), which needs all T steps; `ddim` puts it where image and noise say it is, which also
works with a few of the steps.

Shapes: N images of any shape (N, ...) with values in [-1, 1]; steps t, int64 (N,), 0 to T.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor
from minigen.models.denoiser import Denoiser

SCHEDULES = ("linear", "cosine")


def betas(schedule: str, steps: int) -> NDArray[np.float64]:
    """beta_1 to beta_T: how much of its variance each step replaces by noise, (T,).

    "linear": from 0.0001 to 0.02 for 1,000 steps (Ho et al., section 4), the more the fewer steps
    there are; "cosine": A. Nichol and P. Dhariwal, 2021 (arXiv:2102.09672), equation 17, which
    leaves small images recognisable for longer.
    Raises ValueError for another schedule, or for so few steps that a linear beta reaches 1.

    >>> betas("linear", 1000)[[0, -1]]
    array([0.0001, 0.02  ])
    """
    if schedule == "linear":
        scale = 1000 / steps
        found = np.linspace(1e-4 * scale, 0.02 * scale, steps)
        if found[-1] >= 1:
            raise ValueError(f"a linear schedule needs more than 20 steps, got {steps}")
        return found
    if schedule == "cosine":
        t = np.arange(steps + 1) / steps
        f = np.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        return np.minimum(1 - f[1:] / f[:-1], 0.999)
    raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")


class Diffusion:
    """The T steps from images to noise, and the ways back.

    >>> diffusion = Diffusion("cosine", steps=100)
    >>> x = diffusion.noised(minigen.ones(2, 1), minigen.tensor([0, 100]), minigen.zeros(2, 1))
    >>> x.round(decimals=2)  # nothing has happened to the first, of the second nothing is left
    tensor([[1.],
            [0.]])
    """

    def __init__(self, schedule: str = "cosine", steps: int = 1000) -> None:
        self.steps = steps  # T
        self.abar = np.concatenate([[1.0], np.cumprod(1 - betas(schedule, steps))])  # t = 0 to T

    def noised(self, images: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t of equation 4: images and noise (N, ...), steps (N,) -> (N, ...)."""
        abar = minigen.from_numpy(self.abar).to(images.device, images.dtype)[t]
        abar = abar.reshape(-1, *[1] * (images.ndim - 1))  # (N,) -> (N, 1, ...)
        return abar.sqrt() * images + (1 - abar).sqrt() * noise

    def loss(
        self, model: Denoiser, images: Tensor, y: Tensor | None, noise: Tensor, t: Tensor
    ) -> Tensor:
        """Equation 14 as a mean over images and pixels (algorithm 1); steps t (N,) from 1 to T."""
        predicted = model(self.noised(images, t, noise), t.to(images.dtype) / self.steps, y)
        return ((noise - predicted) ** 2).mean()

    def expected(
        self, model: Denoiser, x: Tensor, t: int, y: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The image x_0 and the noise e that the network sees in x_t (N, ...).

        Equation 15, with x_0 clipped to what images can be, as Ho et al. do. Then the noise is what
        remains of x_t without *this* x_0. The network's own answer would belong to another image:
        `ddim` would add it in full and drift away a little more with every step.
        """
        abar = float(self.abar[t])
        times = minigen.full((len(x),), t / self.steps, dtype=x.dtype, device=x.device)
        noise = model(x, times, y)
        image = ((x - math.sqrt(1 - abar) * noise) / math.sqrt(abar)).clip(-1, 1)
        return image, (x - math.sqrt(abar) * image) / math.sqrt(1 - abar)

    @minigen.no_grad()
    def ancestral(
        self,
        model: Denoiser,
        noise: Tensor,
        y: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Iterator[Tensor]:
        """Algorithm 2, with the variance of the posterior: noise x_T (N, ...), then x_{T-1}, ...
        down to the images x_0. One look at the network for each of T steps."""
        x = noise
        yield x
        for t in range(self.steps, 0, -1):
            image, _ = self.expected(model, x, t, y)
            mean, variance = self.posterior(image, x, t)
            x = mean + math.sqrt(variance) * _noise_like(x, generator) if t > 1 else mean
            yield x

    def posterior(self, image: Tensor, x: Tensor, t: int) -> tuple[Tensor, float]:
        """Mean and variance of q(x_{t-1} | x_t, x_0), equation 7, for t from 1 to T.

        >>> mean, variance = Diffusion().posterior(minigen.ones(1), minigen.zeros(1), 1)
        >>> mean, variance  # x_0 itself, for certain
        (tensor([1.]), 0.0)
        """
        abar, before = self.abar[t], self.abar[t - 1]
        alpha = abar / before
        of_image = float(math.sqrt(before) * (1 - alpha) / (1 - abar))
        of_x = float(math.sqrt(alpha) * (1 - before) / (1 - abar))
        return of_image * image + of_x * x, float((1 - before) / (1 - abar) * (1 - alpha))

    @minigen.no_grad()
    def ddim(
        self,
        model: Denoiser,
        noise: Tensor,
        y: Tensor | None = None,
        steps: int = 50,
        eta: float = 0.0,
        generator: Generator | None = None,
    ) -> Iterator[Tensor]:
        """Noise x_T (N, ...) and what becomes of it in some steps, down to the images: equation 12
        of Song et al., on an even selection of the T steps (their section 4.2).

        eta: how much of the noise is drawn anew in each step (equation 16). With 0 the image
        follows from x_T alone; with 1 and all T steps this is `ancestral`.
        Raises ValueError for steps that are not 1 to T.
        """
        if not 1 <= steps <= self.steps:
            raise ValueError(f"ddim: steps must be from 1 to {self.steps}, got {steps}")
        chosen = np.linspace(0, self.steps, steps + 1).round().astype(int)[::-1]
        x = noise
        yield x
        for t, before in zip(chosen[:-1].tolist(), chosen[1:].tolist()):
            image, direction = self.expected(model, x, t, y)
            abar, abar_before = float(self.abar[t]), float(self.abar[before])
            variance = (1 - abar_before) / (1 - abar) * (1 - abar / abar_before)
            sigma = eta * math.sqrt(variance)
            kept = math.sqrt(max(0.0, 1 - abar_before - sigma**2))
            x = math.sqrt(abar_before) * image + kept * direction
            if sigma > 0:
                x = x + sigma * _noise_like(x, generator)
            yield x


def _noise_like(x: Tensor, generator: Generator | None) -> Tensor:
    return minigen.randn(*x.shape, generator=generator, dtype=x.dtype, device=x.device)
