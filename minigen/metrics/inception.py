"""The Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4)."""

from __future__ import annotations

import numpy as np


def inception_score(probabilities: np.ndarray) -> float:
    """exp E_x KL(p(y|x) || p(y)): from 1 (no classes told apart, or only one seen) to their number.

    probabilities: (n, classes), each row a distribution.  Raises ValueError if they are not.

    >>> inception_score(np.eye(10)[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]])
    10.0
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or len(p) == 0 or (p < 0).any() or not np.allclose(p.sum(1), 1, atol=1e-4):
        raise ValueError("inception_score: needs (n, classes), each row a distribution")
    marginal = p.mean(0)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return round(float(np.exp((p * np.log(ratio)).sum(1).mean())), 12)
