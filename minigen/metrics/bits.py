"""Bits per dimension: a likelihood on a scale that images of any size share."""

from __future__ import annotations

import math


def bits_per_dimension(nats: float, dimensions: int, *, levels: int | None = None) -> float:
    """How many bits a model needs for one value (pixel, channel, character) of the data.

        b = nats / (D ln 2)               for a probability of the data themselves
        b = nats / (D ln 2) + log₂ L      for a density of data that were divided by L

    nats: the negative logarithm of the likelihood of one example, or its bound, -ELBO.
    dimensions: D, values in an example. levels: L, for a density over values in 0 to 1 that were L
    different integers with uniform noise added (L. Theis, A. van den Oord, M. Bethge, "A note on
    the evaluation of generative models", ICLR 2016, arXiv:1511.01844, section 3.1); 256 for bytes.
    A density of data without that noise has no such bound: it may become as large as one likes.
    Raises ValueError for nats that are not finite, or numbers below 1.

    >>> bits_per_dimension(math.log(256) * 784, 784)  # each byte equally likely
    8.0
    >>> bits_per_dimension(0.0, 784, levels=256)  # the uniform density on the unit cube: the same
    8.0
    """
    if not math.isfinite(nats):
        raise ValueError(f"bits_per_dimension: nats must be a finite number, got {nats!r}")
    if dimensions < 1 or (levels is not None and levels < 1):
        raise ValueError(
            f"bits_per_dimension: dimensions and levels must be 1 or more, got {dimensions} and "
            f"{levels}"
        )
    return nats / (dimensions * math.log(2)) + (0.0 if levels is None else math.log2(levels))
