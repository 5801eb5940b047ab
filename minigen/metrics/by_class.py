"""Samples that were asked for by class: are they of it, and how much do those of one class vary?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.metrics.checks import as_array


def label_agreement(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The share of samples that a classifier takes for what was asked for.

    probabilities: (n, classes), or anything with its largest number at the class; labels: integers
    (n,) from 0 to classes - 1. Raises ValueError for other shapes or labels, or no sample.

    >>> label_agreement([[0.9, 0.1], [0.6, 0.4]], [0, 1])
    0.5
    """
    scores = np.asarray(as_array(probabilities))
    asked = _labels("label_agreement", labels, scores)
    if asked.min() < 0 or asked.max() >= scores.shape[1]:
        raise ValueError(
            f"label_agreement: labels from {asked.min()} to {asked.max()} are not all among "
            f"{scores.shape[1]} classes"
        )
    return float((scores.argmax(1) == asked).mean())


def diversity_within_classes(features: ArrayLike, labels: ArrayLike) -> float:
    """The distance between two different samples of one class, on average over pairs, then over the
    classes that occur: 0 if a class has one picture. Mao et al. 2019, arXiv:1903.05628, section 4
    measure the diversity of what one condition gives so, with another network's features.

    features: (n, d); labels: integers (n,). Raises ValueError for other shapes, or if a class has a
    single sample.

    >>> diversity_within_classes([[0.0], [1.0], [3.0], [3.0]], [0, 0, 1, 1])
    0.5
    """
    points = np.asarray(as_array(features), np.float64)
    asked = _labels("diversity_within_classes", labels, points)
    means = []
    for label in np.unique(asked):
        own = points[asked == label]  # (k, d)
        if len(own) < 2:
            raise ValueError(f"diversity_within_classes: class {label} has a single sample")
        between = np.sqrt(((own[:, None] - own) ** 2).sum(2))  # (k, k), its diagonal 0
        means.append(between.sum() / (len(own) * (len(own) - 1)))
    return float(np.mean(means))


def _labels(name: str, labels: ArrayLike, rows: NDArray) -> NDArray:
    found = np.asarray(as_array(labels))
    if rows.ndim != 2 or len(rows) == 0 or found.shape != rows.shape[:1]:
        raise ValueError(f"{name}: needs (n, d) and labels (n,), got {rows.shape}, {found.shape}")
    if found.dtype.kind not in "iu":
        raise ValueError(f"{name}: labels must be integers, got {found.dtype}")
    return found
