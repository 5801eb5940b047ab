"""Grey images as black and white ones: what likelihoods of pixels are measured on.

A grey level is taken for the probability of ink (R. Salakhutdinov and I. Murray, "On the
Quantitative Analysis of Deep Belief Networks", 2008, section 4). Drawn once, the images are a data
set of their own, "fixed"; drawn anew whenever one is looked at, "stochastic", there are so many of
them that a model cannot learn them by heart (section 5.1 of arXiv:1509.00519). A likelihood of the
one says nothing about the other.
"""

from __future__ import annotations

import minigen
from minigen import Generator, Tensor

BINARIZATIONS = ("no", "stochastic", "fixed")


def require_binarization(name: str) -> str:
    """The name itself. Raises ValueError if there is no such thing."""
    if name not in BINARIZATIONS:
        raise ValueError(f"binarize must be one of {', '.join(BINARIZATIONS)}, got {name!r}")
    return name


@minigen.no_grad()
def binarized(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Pixels in [0, 1] -> 0 or 1, each drawn with its own probability, of the same shape.

    Raises RuntimeError for a pixel outside [0, 1], or NaN.

    >>> binarized(minigen.tensor([[0.0, 1.0]]))
    tensor([[0., 1.]])
    """
    return minigen.bernoulli(x, generator=generator)
