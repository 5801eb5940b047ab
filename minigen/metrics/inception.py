"""The Inception Score (Salimans et al. 2016, arXiv:1606.03498, section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.metrics.checks import as_array, random_stream
from minigen.metrics.kernel_distance import MeanAndSpread


def inception_score(probabilities: ArrayLike) -> float:
    """exp E_x KL(p(y|x) || p(y)): from 1 (no classes told apart, or only one seen) to their number.

    probabilities: (n, classes), each row a distribution; with those of the Inception network this
    is the score of the literature. Raises ValueError if they are not.

    >>> inception_score(np.eye(10)[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]])
    10.0
    """
    p = _distributions(probabilities)
    marginal = p.mean(0)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return round(float(np.exp((p * np.log(ratio)).sum(1).mean())), 12)


def inception_score_of_splits(
    probabilities: ArrayLike, splits: int = 10, *, shuffle: bool = True, generator: Any = None
) -> MeanAndSpread:
    """Mean and standard deviation of the score over parts of the samples, as papers report it.

    probabilities: (n, classes). Part i has the rows from i n // splits to (i + 1) n // splits, of
    the shuffled samples unless `shuffle` is False (parts of samples sorted by class would each see
    few classes). generator: minigen's or NumPy's, minigen's default one if None; torch-fidelity's
    own figures come with `np.random.RandomState(2020)`.
    The score of a part is at most that of its number of rows: fewer rows, lower scores.
    Raises ValueError for rows that are no distributions, or more parts than rows.

    >>> inception_score_of_splits(np.tile(np.eye(10), (3, 1)), splits=3, shuffle=False)
    MeanAndSpread(mean=10.0, std=0.0)
    """
    p = _distributions(probabilities)
    n = len(p)
    if not 1 <= splits <= n:
        raise ValueError(f"inception_score_of_splits: cannot make {splits} parts of {n} rows")
    if shuffle:
        p = p[random_stream(generator).permutation(n)]
    scores = [inception_score(p[i * n // splits : (i + 1) * n // splits]) for i in range(splits)]
    return MeanAndSpread(float(np.mean(scores)), float(np.std(scores)))


def _distributions(probabilities: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(as_array(probabilities), np.float64)
    sound = p.ndim == 2 and len(p) > 0 and bool((p >= 0).all())  # NaN is not >= 0
    if not sound or not np.allclose(p.sum(1), 1, atol=1e-4):
        raise ValueError("inception_score: needs (n, classes), each row a distribution")
    return p
