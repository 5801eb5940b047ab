"""Perceptual path length: how smoothly do images change on the way from one to another?

T. Karras, S. Laine and T. Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks", 2019 (arXiv:1812.04948), section 4.1: walk between two codes, and add up how far the
images move in the features of a classifier. Where factors of variation are tangled, things appear
and vanish on the way that neither end has, and the way is long (equations 2 and 3):

    l = E d(G(path(t)), G(path(t + eps))) / eps²,    t ~ U(0, 1), d: squared distance of features

A generator that always draws the same has l = 0, so l alone says little. By the Cauchy-Schwarz
inequality no way between two images is shorter than the straight one at constant speed, l of which
is the squared distance of its ends; how many times as long it is says how tangled it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.metrics.checks import as_array


class PathLength(NamedTuple):
    """length: l; detour: l over that of straight ways between the same ends, 1 at least but for
    chance; paths: how many."""

    length: float
    detour: float
    paths: int


def path_length(
    features: Callable[[NDArray[np.float64]], ArrayLike],
    paths: int,
    seed: int = 0,
    step: float = 1e-3,
) -> PathLength:
    """Of `paths` ways, from the features of the images on them.

    features: given how far to go on each way, t (paths,) from 0 to 1 + step, what is seen there,
    (paths, F). step: eps; so small that images move in proportion, so large that float32 shows it.
    Raises ValueError if features are not (paths, F), or step is not between 0 and 1.

    >>> ends = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> found = path_length(lambda t: t[:, None] * ends, paths=2)
    >>> round(found.length, 6), round(found.detour, 6)
    (2.5, 1.0)
    """
    if not 0 < step < 1:
        raise ValueError(f"path_length: step must lie between 0 and 1, got {step!r}")

    def at(t: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = np.asarray(as_array(features(t)), np.float64)
        if seen.ndim != 2 or len(seen) != paths:
            raise ValueError(f"path_length: features must be ({paths}, F), got {seen.shape}")
        return seen

    t = np.random.default_rng(seed).random(paths)
    moved = np.square(at(t + step) - at(t)).sum(axis=1).mean() / step**2
    straight = np.square(at(np.ones(paths)) - at(np.zeros(paths))).sum(axis=1).mean()
    detour = float(moved / straight) if straight > 0 else float("nan")
    return PathLength(float(moved), detour, paths)


def spherical(a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray:
    """On the great circle from a to b, (N, J) each, t (N,) of the way: where normal codes are as
    long as usual (K. Shoemake, 1985; the paper's slerp).

    >>> a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> spherical(a, b, np.array([0.5])).round(3).tolist()
    [[0.707, 0.707]]
    """
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    cosine = (a * b).sum(axis=1, keepdims=True) / (lengths[0] * lengths[1])
    angle = np.arccos(cosine.clip(-1 + 1e-9, 1 - 1e-9))
    t = t[:, None]
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
