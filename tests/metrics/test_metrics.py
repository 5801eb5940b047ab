"""Metrics against closed forms, an independent formula, and what the shipped classifier must be."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import minigen
from minigen.data import load_mnist5k
from minigen.metrics import digit_classifier, digit_features, frechet_distance, inception_score
from minigen.metrics.build import accuracy, shifted
from minigen.metrics.classifier import WEIGHTS, digit_probabilities

SHA256 = "3b7b6a99d31913c9936e7804743151c198298f754f599f759e76b70a60b84bc6"


def by_general_eigenvalues(a: np.ndarray, b: np.ndarray) -> float:
    """The same formula, the root of C₁C₂ taken by the general eigenvalue problem."""
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(c1 @ c2).astype(complex)).real.sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2) - 2 * root)


@pytest.mark.parametrize("seed", range(5))
def test_frechet_distance_equals_the_general_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((400, 12)) @ rng.standard_normal((12, 12))
    b = rng.standard_normal((300, 12)) @ rng.standard_normal((12, 12)) + rng.standard_normal(12)
    np.testing.assert_allclose(frechet_distance(a, b), by_general_eigenvalues(a, b), rtol=1e-6)
    np.testing.assert_allclose(frechet_distance(a, b), frechet_distance(b, a), rtol=1e-9)


def test_frechet_distance_of_gaussians_with_the_same_axes() -> None:
    """Then it is |m₁ - m₂|² + Σ (s₁ - s₂)²: scaling x by 3 adds 4 times its variance."""
    x = np.random.default_rng(0).standard_normal((500, 4))
    expected = 4 * np.trace(np.cov(x, rowvar=False)) + (2 * x.mean(0)) @ (2 * x.mean(0))
    np.testing.assert_allclose(frechet_distance(3 * x, x), expected, rtol=1e-9)
    assert abs(frechet_distance(x, x)) < 1e-9


def test_frechet_distance_of_features_with_no_variance() -> None:
    x = np.random.default_rng(0).standard_normal((100, 3))
    x[:, 1] = 2.0
    constant = np.ones((50, 3))
    expected = ((x.mean(0) - 1) ** 2).sum() + np.trace(np.cov(x, rowvar=False))
    np.testing.assert_allclose(frechet_distance(x, constant), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), "two sets"),
        (np.ones((1, 2)), np.ones((5, 2)), "2 rows"),
        (np.ones(5), np.ones(5), "two sets"),
        (np.full((5, 2), np.nan), np.ones((5, 2)), "NaN"),
    ],
)
def test_frechet_distance_refuses(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)


def test_inception_score() -> None:
    assert inception_score(np.full((7, 10), 0.1)) == 1.0
    assert inception_score(np.eye(10)[np.zeros(20, int)]) == 1.0, "one class only"
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 50)
    q = p.mean(0)
    expected = np.exp(np.mean([sum(pi * np.log(pi / qi) for pi, qi in zip(r, q)) for r in p]))
    np.testing.assert_allclose(inception_score(p), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="distribution"):
        inception_score(p * 2)


def test_the_shipped_classifier() -> None:
    """Its weights are part of the metric: other weights would be another metric."""
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == SHA256
    assert accuracy(digit_classifier()) > 0.97


def test_features_order_what_the_eye_orders() -> None:
    train, _ = load_mnist5k("train")
    test, labels = load_mnist5k("test")
    rng = np.random.default_rng(0)
    reference = digit_features(train)
    real = frechet_distance(digit_features(test), reference)
    grey = test.astype(np.float32) / 255
    noisy = np.clip(grey + 0.3 * rng.standard_normal(grey.shape), 0, 1)
    noise = rng.random(grey.shape)
    half = np.concatenate([test[labels < 5]] * 2)
    figures = [frechet_distance(digit_features(x), reference) for x in (noisy, half, noise)]
    assert 5 * real < min(figures)
    assert inception_score(digit_probabilities(test)) > 9
    assert inception_score(digit_probabilities(half)) < 5.5


def test_features_take_every_layout_and_refuse_the_rest() -> None:
    images = load_mnist5k("test")[0][:7]
    grey = images.astype(np.float32) / 255
    for same in (images, grey, grey.astype(np.float64), grey.reshape(7, 784), grey[:, None]):
        np.testing.assert_allclose(digit_features(same), digit_features(grey), rtol=1e-5)
    with pytest.raises(ValueError, match="28 x 28"):
        digit_features(np.zeros((3, 8, 8)))
    with pytest.raises(ValueError, match="NaN"):
        digit_features(np.full((2, 784), np.nan))


def test_shifted_moves_by_at_most_two_pixels() -> None:
    rng = np.random.default_rng(0)
    dot = np.zeros((200, 28, 28), np.uint8)
    dot[:, 14, 14] = 1
    rows, columns = np.nonzero(shifted(dot, rng).sum(0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 16, 12, 16)


def test_loading_the_classifier_leaves_the_random_stream_alone() -> None:
    """Else what a run draws would depend on who asked for the classifier first."""
    minigen.manual_seed(3)
    expected = minigen.randn(4).numpy()
    digit_classifier.cache_clear()
    minigen.manual_seed(3)
    digit_classifier()
    np.testing.assert_array_equal(minigen.randn(4).numpy(), expected)
