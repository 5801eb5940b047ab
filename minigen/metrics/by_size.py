"""How the Fréchet distance depends on the number of samples, and what it would be for infinitely
many.

Estimated covariances of few samples are off, and the distance counts that as distance: it is biased
upwards by about a constant over n. M. J. Chong and D. Forsyth, "Effectively unbiased FID and
Inception Score and where to find them", CVPR 2020, arXiv:1911.07023, section 3.2, therefore fit a
straight line to the distance over 1 / n; its value at 0 is that for n = ∞.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from minigen.metrics.checks import feature_sets
from minigen.metrics.frechet import frechet_distance
from minigen.random import Generator


@dataclass(frozen=True)
class BySize:
    """A distance by number of samples.

    sizes: n, ascending; means, spreads: mean and sample standard deviation of the distances of
    random subsets of that size (0 for one subset); infinite: the fit's value at 1 / n = 0.
    """

    sizes: tuple[int, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    infinite: float

    def __str__(self) -> str:
        rows = [
            f"n = {n:,}: {mean:.1f} ± {spread:.1f}"
            for n, mean, spread in zip(self.sizes, self.means, self.spreads)
        ]
        return "; ".join([*rows, f"n = ∞, extrapolated: {self.infinite:.1f}"])


def frechet_by_size(
    features: ArrayLike,
    reference: ArrayLike,
    sizes: Sequence[int],
    repeats: int = 5,
    seed: int = 0,
) -> BySize:
    """The Fréchet distance of random subsets of several sizes to one reference.

    features: of samples, (n, d); reference: of real data, (m, d), always whole, so the bias that
    its own size m brings stays in every figure, the extrapolated one too. sizes: at least two
    different ones, from 2 to n; repeats: subsets of each size; those of one size overlap if repeats
    times size exceeds n, which makes the spread of large ones too small. The line is fitted by
    least squares to the means over 1 / n.
    Raises ValueError for sizes outside 2 to n, fewer than two of them, or no repeat.

    >>> rng = np.random.default_rng(0)
    >>> same, reference = rng.standard_normal((2, 4000, 8))
    >>> found = frechet_by_size(same, reference, [50, 100, 200, 400], repeats=10)
    >>> found.means[0] > 5 * found.means[-1], abs(found.infinite) < 0.05
    (True, True)
    """
    x, y = feature_sets("frechet_by_size", features, reference)
    chosen = sorted({int(size) for size in sizes})
    if len(chosen) < 2 or chosen[0] < 2 or chosen[-1] > len(x):
        raise ValueError(
            f"frechet_by_size: needs two or more sizes from 2 to {len(x)}, the number of samples, "
            f"got {list(sizes)}"
        )
    if repeats < 1:
        raise ValueError(f"frechet_by_size: repeats must be 1 or more, got {repeats}")
    source = Generator().manual_seed(seed).stream
    distances = np.array(
        [
            [frechet_distance(x[source.permutation(len(x))[:size]], y) for _ in range(repeats)]
            for size in chosen
        ]
    )  # (sizes, repeats)
    means = distances.mean(1)
    spreads = distances.std(1, ddof=1) if repeats > 1 else np.zeros(len(chosen))
    _, infinite = np.polyfit(1 / np.array(chosen), means, 1)
    return BySize(tuple(chosen), tuple(means.tolist()), tuple(spreads.tolist()), float(infinite))
