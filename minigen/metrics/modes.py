"""Mode coverage: how many of the places where data lie does a generator reach?

For mixtures of Gaussians whose centres are known, as A. Srivastava et al. ("VEEGAN", NeurIPS 2017,
arXiv:1705.07761, section 5) and Z. Lin et al. ("PacGAN", NeurIPS 2018, arXiv:1712.04086, section 4)
report it: a sample is of high quality if it lies within three standard deviations of the nearest
centre, and a mode is captured if it is the nearest centre of a sample of high quality.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.metrics.checks import as_array

IN_A_PLANE = 1 - np.exp(-9 / 2)  # how much of a Gaussian lies within three standard deviations


class ModeCoverage(NamedTuple):
    """captured: modes reached; modes: how many there are; high_quality: the share of samples near
    one; counts: samples of high quality by mode, int64 (modes,)."""

    captured: int
    modes: int
    high_quality: float
    counts: NDArray[np.int64]


class ClassCoverage(NamedTuple):
    """seen: classes that appear often enough; classes: how many there are; counts: samples by
    class; distance: the total variation between their shares and equal shares, 0 (even) to
    1 - 1 / classes."""

    seen: int
    classes: int
    counts: NDArray[np.int64]
    distance: float


def ring_centres(modes: int = 8, radius: float = 2.0) -> NDArray[np.float64]:
    """Centres evenly on a circle, (modes, 2), the first at angle 0.

    The 8-Gaussian ring of the literature; its papers differ in radius and standard deviation (2 and
    0.02 in many programs, 1 and 0.01 in PacGAN).

    >>> ring_centres(4, radius=1.0).round(12).tolist()
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-0.0, -1.0]]
    """
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def grid_centres(side: int = 5, spacing: float = 2.0) -> NDArray[np.float64]:
    """Centres on a square grid around the origin, (side², 2): 25 at -4, -2, 0, 2, 4.

    >>> grid_centres(2).tolist()
    [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    """
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


def mode_coverage(
    samples: Any,
    centres: ArrayLike,
    std: float,
    *,
    deviations: float = 3.0,
    at_least: float = 0.0,
) -> ModeCoverage:
    """Captured modes and the share of samples of high quality.

    samples: (n, d); centres: (modes, d); std: the standard deviation of each Gaussian.
    deviations: how many of them away a sample may lie. at_least: the share of all samples that a
    mode must hold to count as captured; 0 asks for one sample, as the papers do.
    In two dimensions a true sample of a Gaussian passes with probability 1 - exp(-9/2) = 98.9 %.
    Raises ValueError for shapes that do not fit, no sample, a std that is not positive, or NaN.

    >>> found = mode_coverage([[2.0, 0.01], [-2.0, 0.0], [0.0, 0.0]], ring_centres(), std=0.02)
    >>> found.captured, found.modes, round(found.high_quality, 2)
    (2, 8, 0.67)
    """
    x, c = (np.asarray(as_array(v), np.float64) for v in (samples, centres))
    if x.ndim != 2 or c.ndim != 2 or 0 in x.shape or len(c) == 0 or x.shape[1] != c.shape[1]:
        raise ValueError(
            f"mode_coverage: needs samples (n, d) and centres (modes, d), got {x.shape} and "
            f"{c.shape}"
        )
    if not 0 < std < np.inf:
        raise ValueError(f"mode_coverage: std must be a positive number, got {std!r}")
    if not (np.isfinite(x).all() and np.isfinite(c).all()):
        raise ValueError("mode_coverage: the samples or centres hold NaN or infinity")
    distances = np.sqrt(((x[:, None] - c) ** 2).sum(2))  # (n, modes)
    nearest = distances.argmin(1)
    good = distances[np.arange(len(x)), nearest] <= deviations * std
    counts = np.bincount(nearest[good], minlength=len(c))
    captured = int((counts >= max(1, at_least * len(x))).sum())
    return ModeCoverage(captured, len(c), float(good.mean()), counts)


def mode_distance(found: ModeCoverage, near: float = IN_A_PLANE) -> float:
    """How far samples are from those of equally likely modes: the total variation between the
    shares of both by mode, with what lies near none as one more class. 0: as they should be; 1:
    nothing in common. It counts what is missed, what is made too often, and what lies nowhere.

    near: the share of true samples that lie near a mode; in a plane, with the three deviations of
    `mode_coverage`, it is 1 - exp(-9/2).

    >>> half = mode_coverage([[2.0, 0.0]] * 9, ring_centres(2), std=0.02)
    >>> mode_distance(half, near=1)
    0.5
    """
    shares = found.counts * (found.high_quality / max(1, found.counts.sum()))
    apart = np.abs(shares - near / found.modes).sum() + abs(found.high_quality - near)
    return float(apart / 2)


def class_coverage(labels: ArrayLike, classes: int, *, at_least: float = 0.0) -> ClassCoverage:
    """How evenly samples fall into classes: the modes of data whose centres are not known.

    labels: integers (n,) from 0 to classes - 1, of a classifier say. at_least: the share of all
    samples that a class must have to count as seen; 0 asks for one sample. A classifier that errs
    now and then sees classes that are not there, so with one it should not be 0.
    Raises ValueError for other labels, or none.

    >>> class_coverage([0, 0, 1, 1], classes=4)
    ClassCoverage(seen=2, classes=4, counts=array([2, 2, 0, 0]), distance=0.5)
    """
    found = as_array(labels)
    if found.ndim != 1 or len(found) == 0 or found.dtype.kind not in "iu":
        raise ValueError(f"class_coverage: needs integers (n,), got {found.dtype} {found.shape}")
    if found.min() < 0 or found.max() >= classes:
        raise ValueError(
            f"class_coverage: labels from {found.min()} to {found.max()} are not all among "
            f"{classes} classes"
        )
    counts = np.bincount(found, minlength=classes)
    distance = float(np.abs(counts / len(found) - 1 / classes).sum() / 2)
    seen = int((counts >= max(1, at_least * len(found))).sum())
    return ClassCoverage(seen, classes, counts, distance)
