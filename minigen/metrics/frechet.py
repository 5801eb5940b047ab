"""The Fréchet distance between two sets of features (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

Both sets are summarised by a Gaussian; the distance between N(m₁, C₁) and N(m₂, C₂) is

    d² = |m₁ - m₂|² + Tr(C₁ + C₂ - 2 (C₁ C₂)^½)          (Dowson & Landau 1982).

With features of the Inception network d² is the FID of the literature.  minigen uses the features
of its own small digit classifier, so its figures compare with each other only: read them against
the floor, the distance between two sets of real images.
"""

from __future__ import annotations

import numpy as np

from minigen.metrics.checks import feature_sets


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """d² between the Gaussians fitted to two sets of features.

    features, reference: (n, d) and (m, d), n and m at least 2; any float dtype.  The estimate is
    biased upwards for small sets: compare only figures of the same n, and keep n well above d.
    Raises ValueError for other shapes and for values that are not finite.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((1000, 3))
    >>> round(frechet_distance(x, x + [3.0, 0.0, 4.0]), 6)
    25.0
    """
    sets = feature_sets("frechet_distance", features, reference)
    (m1, c1), (m2, c2) = ((f.mean(0), np.atleast_2d(np.cov(f, rowvar=False))) for f in sets)
    # (C₁ C₂)^½ has the eigenvalues of (S C₂ S)^½ with S = C₁^½, and that is symmetric.
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    trace = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c2 @ root), 0)).sum()
    return float(((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * trace)
