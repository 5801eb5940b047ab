"""Generated digits, measured in every way that makes sense for them.

Each figure comes with the number of images it was computed from, the name of the network whose
features it uses, and the same figure of as many real digits that nobody trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from minigen.metrics.by_size import BySize, frechet_by_size
from minigen.metrics.classifier import NETWORK, digit_features, digit_probabilities
from minigen.metrics.frechet import frechet_distance
from minigen.metrics.inception import inception_score
from minigen.metrics.kernel_distance import kernel_inception_distance
from minigen.metrics.modes import class_coverage
from minigen.metrics.neighbours import density_coverage, precision_recall
from minigen.metrics.score import Score
from minigen.metrics.squared_error import mean_squared_error, peak_signal_noise_ratio
from minigen.metrics.structural_similarity import structural_similarity
from minigen.random import Generator

AT_LEAST = 20  # images: with fewer, no figure of these means anything
SEEN = 0.2  # of its even share: a digit with fewer may be the classifier's mistakes
KERNEL_SEED = 0  # of the random subsets of the kernel distance


def digit_scores(made: Any, reference: Any, held_out: Any) -> list[Score]:
    """What there is to say of generated digits.

    made: n generated images; reference: the real images that the model was trained on; held_out:
    other real ones, for the floor, if there are n of them. All as `digit_features` takes them.
    The distances are to all of the reference; precision, recall, density and coverage compare with
    its first n images, because they depend on both numbers. A digit counts as seen from a fifth of
    its even share on.
    Raises ValueError for fewer than 20 images, and as `digit_features`.

    >>> from minigen.data import load_mnist5k
    >>> real, test = load_mnist5k("train").images, load_mnist5k("test").images
    >>> scores = digit_scores(real[:100], real, test)
    >>> print(scores[0])
    Fréchet distance 26.4 (n = 100, features: digit classifier v1, floor 22.7)
    >>> ", ".join(score.name for score in scores)
    'Fréchet distance, kernel distance, inception score, digits seen, distance of digits from even,
    precision, recall, density, coverage'
    """
    n = len(made)
    if min(n, len(reference)) < AT_LEAST:
        raise ValueError(
            f"digit_scores: needs {AT_LEAST} or more images, got {n} and {len(reference)}"
        )
    sets = [made, held_out[:n]] if len(held_out) >= n else [made]  # a floor of the same n, or none
    features = [digit_features(images) for images in sets]
    probabilities = [digit_probabilities(images) for images in sets]
    real = digit_features(reference)
    return [
        *_distances(features, real),
        *_class_scores(probabilities),
        *_neighbour_scores(features, real[:n]),
    ]


def _score(
    name: str, values: list[float], n: int, digits: int, ceiling: bool = True, **more: Any
) -> Score:
    floor = values[1] if len(values) > 1 else None
    return Score(name, values[0], n, NETWORK, floor, digits=digits, ceiling=ceiling, **more)


def _distances(features: list[NDArray], real: NDArray) -> list[Score]:
    n = len(features[0])
    frechet = [frechet_distance(f, real) for f in features]
    kernel = [
        kernel_inception_distance(
            f, real, subset_size=min(n, len(real)) // 2,
            generator=Generator().manual_seed(KERNEL_SEED),
        )
        for f in features
    ]  # fmt: skip
    return [
        _score("Fréchet distance", frechet, n, 1, ceiling=False),
        _score(
            "kernel distance", [k.mean for k in kernel], n, 1, ceiling=False, spread=kernel[0].std
        ),
    ]


def _class_scores(probabilities: list[NDArray]) -> list[Score]:
    n, classes = probabilities[0].shape
    seen = SEEN / classes
    found = [class_coverage(p.argmax(1), classes, at_least=seen) for p in probabilities]
    return [
        _score("inception score", [inception_score(p) for p in probabilities], n, 2),
        _score("digits seen", [float(c.seen) for c in found], n, 0),
        _score("distance of digits from even", [c.distance for c in found], n, 3, ceiling=False),
    ]


def _neighbour_scores(features: list[NDArray], real: NDArray) -> list[Score]:
    n = len(features[0])
    scores = []
    figures: list[Callable[..., Any]] = [precision_recall, density_coverage]
    for figure in figures:
        found = [figure(f, real) for f in features]
        scores += [
            _score(name, [getattr(pair, name) for pair in found], n, 3) for name in found[0]._fields
        ]
    return scores


def reconstruction_scores(originals: NDArray, copies: NDArray) -> list[Score]:
    """How close images (n, height, width) in [0, 1] come out of a model that copies them: mean
    squared error, PSNR of all pixels together, and SSIM as Wang et al. define it, averaged.

    >>> import numpy as np
    >>> grey = np.full((2, 12, 12), 0.5)
    >>> print(*reconstruction_scores(grey, grey + 0.1), sep="; ")
    MSE 0.0100 (n = 2); PSNR in dB 20.00 (n = 2); SSIM 0.984 (n = 2)
    """
    n = len(originals)
    index = structural_similarity(
        originals, copies, data_range=1, channel_axis=0, gaussian_weights=True,
        use_sample_covariance=False,
    )  # fmt: skip
    return [
        Score("MSE", mean_squared_error(originals, copies), n, digits=4),
        Score("PSNR in dB", peak_signal_noise_ratio(originals, copies, data_range=1), n, digits=2),
        Score("SSIM", index, n, digits=3),
    ]


def digit_distance_by_size(made: Any, reference: Any, repeats: int = 5, seed: int = 0) -> BySize:
    """The Fréchet distance of n/8, n/4, n/2 and all n generated digits, and its extrapolation.

    Raises ValueError for fewer than 20 images.
    """
    n = len(made)
    if n < AT_LEAST:
        raise ValueError(f"digit_distance_by_size: needs {AT_LEAST} or more images, got {n}")
    sizes = [n // 8, n // 4, n // 2, n]
    return frechet_by_size(digit_features(made), digit_features(reference), sizes, repeats, seed)
