"""Agreement with the class asked for, and diversity within classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from minigen.data import load_mnist5k
from minigen.metrics import (
    digit_features,
    digit_probabilities,
    diversity_within_classes,
    label_agreement,
)


def test_diversity_is_the_mean_distance_of_pairs_of_a_class() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    expected = np.mean([pdist(x[y == k]).mean() for k in range(3)])
    assert diversity_within_classes(x, y) == pytest.approx(expected, rel=1e-12)


def test_classes_far_apart_are_not_diverse() -> None:
    x = np.repeat([[0.0], [100.0]], 4, axis=0)
    assert diversity_within_classes(x, np.repeat([0, 1], 4)) == 0


def test_real_digits_agree_with_their_labels_and_not_with_others() -> None:
    images, labels = load_mnist5k("test")
    probabilities = digit_probabilities(images)
    assert label_agreement(probabilities, labels) > 0.97
    assert label_agreement(probabilities, (labels + 1) % 10) < 0.02
    features = digit_features(images)
    within = diversity_within_classes(features, labels)
    shuffled = diversity_within_classes(features, np.random.default_rng(0).permutation(labels))
    assert within < 0.8 * shuffled


@pytest.mark.parametrize("figure", [label_agreement, diversity_within_classes])
def test_what_is_refused(figure) -> None:
    x = np.eye(3)
    with pytest.raises(ValueError, match=rf"{figure.__name__}: needs .*\(3, 3\), \(2,\)"):
        figure(x, [0, 1])
    with pytest.raises(ValueError, match="labels must be integers, got float64"):
        figure(x, [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="needs"):
        figure(np.zeros((0, 3)), np.zeros(0, int))


def test_labels_out_of_range_and_single_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="labels from 0 to 3 are not all among 3 classes"):
        label_agreement(np.eye(3), [0, 1, 3])
    with pytest.raises(ValueError, match="class 2 has a single sample"):
        diversity_within_classes(np.eye(3), [0, 0, 2])
