"""Precision, recall, density and coverage: whose features lie among whose?

All four ask which points of one set lie in the balls around the points of the other, where the ball
of a point reaches to its k-th nearest neighbour in its own set, itself not counted.

* Precision and recall: T. Kynkäänniemi et al., "Improved precision and recall metric for assessing
  generative models", NeurIPS 2019, arXiv:1904.06991, eqs. 1 and 2. Balls are closed.
* Density and coverage: M. F. Naeem et al., "Reliable fidelity and diversity metrics for generative
  models", ICML 2020, arXiv:2002.09797, eqs. 4 and 5. Balls are open, as in the authors' `prdc`, so
  that the density of a set in itself is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.metrics.checks import feature_sets

BLOCK = 1024  # rows of the table of distances that are in memory at a time
ROUNDING = 64 * np.finfo(np.float64).eps  # of |a|² + |b|² - 2 aᵀb, in parts of |a|² + |b|²
BORDER = 1e-9  # how far, in parts of its squared radius, a ball's border is taken to reach


class PrecisionRecall(NamedTuple):
    """precision: the share of samples among the real data; recall: that of real data among the
    samples; both from 0 to 1."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """density: how many real balls a sample lies in, over k, about 1 for real data and not bounded
    by it; coverage: the share of real points with a sample in their ball, from 0 to 1."""

    density: float
    coverage: float


def precision_recall(
    features: ArrayLike, reference: ArrayLike, *, neighbours: int = 3
) -> PrecisionRecall:
    """The share of samples in any ball of the real data, and the reverse.

    features: of the samples, (n, d); reference: of real data, (m, d); more than k rows each, k =
    `neighbours`. Both figures grow with the number of points: compare equal numbers. One far-off
    real point makes a huge ball that catches anything, so high precision alone proves nothing.
    Raises ValueError for other shapes, too few rows, or values that are not finite.

    >>> real = np.arange(10.0)[:, None]
    >>> precision_recall(real[:5], real, neighbours=1)  # every sample is good, half is missing
    PrecisionRecall(precision=1.0, recall=0.6)
    """
    made, real = _sets("precision_recall", features, reference, neighbours)
    within_real = _squared_radii(real, neighbours) * (1 + BORDER)  # closed balls
    within_made = _squared_radii(made, neighbours) * (1 + BORDER)
    caught = [(block <= within_real).any(1) for block in _squared_distances(made, real)]
    recalled = [(block <= within_made).any(1) for block in _squared_distances(real, made)]
    return PrecisionRecall(
        float(np.concatenate(caught).mean()), float(np.concatenate(recalled).mean())
    )


def density_coverage(
    features: ArrayLike, reference: ArrayLike, *, neighbours: int = 5
) -> DensityCoverage:
    """How densely samples lie in the balls of the real data, and how many balls hold one.

    Arguments and errors as for `precision_recall`. For two equal distributions the expected
    coverage is about 1 - (1 - n / (n + m))^k: 0.97 for k = 5 and equal numbers.

    >>> real = np.arange(10.0)[:, None] ** 1.5
    >>> density_coverage(real, real, neighbours=2)
    DensityCoverage(density=1.0, coverage=1.0)
    >>> density_coverage(real * 0 + real[4], real, neighbours=2)  # one good sample, ten times
    DensityCoverage(density=1.0, coverage=0.2)
    """
    made, real = _sets("density_coverage", features, reference, neighbours)
    within_real = _squared_radii(real, neighbours) * (1 - BORDER)  # open balls
    hits, covered = 0, np.zeros(len(real), bool)
    for block in _squared_distances(made, real):
        inside = block < within_real
        hits += int(inside.sum())
        covered |= inside.any(0)
    return DensityCoverage(hits / (neighbours * len(made)), float(covered.mean()))


def _sets(name: str, features: ArrayLike, reference: ArrayLike, k: int) -> tuple:
    if k < 1:
        raise ValueError(f"{name}: neighbours must be 1 or more, got {k}")
    made, real = feature_sets(name, features, reference, at_least=k + 1)
    middle = real.mean(0)  # distances stay as they are, and rounding errors become small
    return made - middle, real - middle


def _squared_radii(points: NDArray, k: int) -> NDArray[np.float64]:
    """The squared distance from each point to its k-th nearest other point."""
    blocks = []
    for start, block in zip(range(0, len(points), BLOCK), _squared_distances(points, points)):
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf  # no point is its own neighbour
        blocks.append(np.partition(block, k - 1, axis=1)[:, k - 1])
    return np.concatenate(blocks)


def _squared_distances(a: NDArray, b: NDArray) -> Iterator[NDArray[np.float64]]:
    """|aᵢ - bⱼ|² = |aᵢ|² + |bⱼ|² - 2 aᵢᵀbⱼ, in blocks of rows i."""
    b_squared = (b * b).sum(1)
    for start in range(0, len(a), BLOCK):
        rows = a[start : start + BLOCK]
        squares = (rows * rows).sum(1)[:, None] + b_squared
        distances = squares - 2 * (rows @ b.T)
        distances[distances < ROUNDING * squares] = 0.0  # equal points, but for rounding
        yield distances
