"""The kernel distance of two sets of features, the KID of the literature (Bińkowski et al. 2018).

M. Bińkowski, D. J. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018,
arXiv:1801.01401, section 4. The squared maximum mean discrepancy with the kernel

    k(x, y) = (γ xᵀy + c)³,   γ = 1 / d,   c = 1,

in its unbiased estimate for n features x and m features y (Gretton et al. 2012, eq. 3):

    MMD² = Σ_{i≠j} k(xᵢ, xⱼ) / n(n-1) + Σ_{i≠j} k(yᵢ, yⱼ) / m(m-1) - 2 Σ_{ij} k(xᵢ, yⱼ) / nm

Unlike the Fréchet distance its expectation does not depend on n and m; it may come out negative.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.metrics.checks import feature_sets, random_stream


class MeanAndSpread(NamedTuple):
    """mean over the parts of a set of samples, and their standard deviation (divided by count)."""

    mean: float
    std: float


def polynomial_mmd2(
    features: ArrayLike,
    reference: ArrayLike,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
) -> float:
    """The unbiased MMD² of two sets under k(x, y) = (gamma xᵀy + coef0)^degree.

    features, reference: (n, d) and (m, d), n and m at least 2; gamma: 1 / d if None.
    Raises ValueError for other shapes and values that are not finite.

    >>> polynomial_mmd2([[0.0], [0.0]], [[1.0], [1.0]])  # 1 + 2³ - 2
    7.0
    """
    x, y = feature_sets("polynomial_mmd2", features, reference)
    scale = 1 / x.shape[1] if gamma is None else gamma

    def kernel(a: NDArray, b: NDArray) -> NDArray:
        return (scale * (a @ b.T) + coef0) ** degree

    def within(a: NDArray) -> float:
        values = kernel(a, a)
        return (values.sum() - np.trace(values)) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def kernel_inception_distance(
    features: ArrayLike,
    reference: ArrayLike,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    generator: Any = None,
) -> MeanAndSpread:
    """Mean and standard deviation of MMD² over random subsets, as torch-fidelity computes the KID.

    features, reference: (n, d) and (m, d). subsets: how many pairs of subsets are drawn;
    subset_size: rows in each, drawn without repetition. generator: minigen's or NumPy's, minigen's
    default one if None; torch-fidelity's own figures come with `np.random.RandomState(2020)`.
    The standard deviation tells how far subsets differ, not how exact the mean is.
    Raises ValueError for other shapes, values that are not finite, or a set smaller than a subset.

    >>> from minigen import Generator
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((2, 500, 8))
    >>> kid = kernel_inception_distance(
    ...     x, y + 1, subsets=20, subset_size=100, generator=Generator().manual_seed(0))
    >>> round(kid.mean, 1), round(kid.std, 1)
    (9.1, 0.9)
    """
    x, y = feature_sets("kernel_inception_distance", features, reference)
    if subsets < 1 or not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(
            "kernel_inception_distance: needs at least one subset of 2 or more rows, and no more "
            f"than each set has; got subsets={subsets}, subset_size={subset_size} for sets of "
            f"{len(x)} and {len(y)}"
        )
    source = random_stream(generator)
    distances = []
    for _ in range(subsets):
        a = x[source.choice(len(x), subset_size, replace=False)]
        b = y[source.choice(len(y), subset_size, replace=False)]
        distances.append(polynomial_mmd2(a, b, degree=degree, gamma=gamma, coef0=coef0))
    return MeanAndSpread(float(np.mean(distances)), float(np.std(distances)))
