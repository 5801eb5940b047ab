"""Classifier-free guidance: J. Ho and T. Salimans, "Classifier-Free Diffusion Guidance", 2022
(arXiv:2207.12598).

One network learns to denoise with the class and without it, because training hides the class of
some images from it (algorithm 1). Sampling then goes further in the direction in which the class
changes the answer (equation 6),

    e~(x, y) = (1 + w) e(x, y) - w e(x),

which makes images more typical of their class, and less different from each other. w = 0 is the
model with its class, as it is. A velocity of flow matching can be guided in just this way.
"""

from __future__ import annotations

import minigen
from minigen import Generator, Tensor
from minigen.models.denoiser import Denoiser


def hide_classes(
    y: Tensor, probability: float, no_class: int, generator: Generator | None = None
) -> Tensor:
    """Classes (N,) -> the same, each replaced by `no_class` with that probability.

    >>> hide_classes(minigen.tensor([3, 1, 4]), 1.0, 10)
    tensor([10, 10, 10])
    """
    hidden = minigen.rand(len(y), generator=generator, device=y.device) < probability
    return y.masked_fill(hidden, no_class)


def guided(model: Denoiser, w: float, no_class: int) -> Denoiser:
    """The denoiser of equation 6. Both answers are computed together, as one batch of 2 N.

    >>> def model(x, t, y):
    ...     return x + y[:, None]
    >>> x, t, y = minigen.zeros(1, 1), minigen.zeros(1), minigen.tensor([3])
    >>> guided(model, 0.5, no_class=10)(x, t, y)  # 1.5 * 3 - 0.5 * 10
    tensor([[-0.5000]])
    """

    def denoiser(x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None or w == 0:
            return model(x, t, y)
        nothing = minigen.full_like(y, no_class)
        both = model(minigen.cat([x, x]), minigen.cat([t, t]), minigen.cat([y, nothing]))
        with_class, without = both.chunk(2)  # (2N, ...) -> 2 x (N, ...)
        return (1 + w) * with_class - w * without

    return denoiser
