"""Digits measured in all ways: every figure is the metric's own, with n, network and floor."""

from __future__ import annotations

import numpy as np
import pytest

from minigen.data import load_mnist5k
from minigen.metrics import (
    Score,
    density_coverage,
    digit_distance_by_size,
    digit_features,
    digit_probabilities,
    digit_scores,
    frechet_distance,
    inception_score,
    mean_squared_error,
    precision_recall,
    reconstruction_scores,
    structural_similarity,
)

TRAIN, _ = load_mnist5k("train")
TEST, LABELS = load_mnist5k("test")
REAL, HELD_OUT = TRAIN[:600], TEST[300:]


def by_name(made: np.ndarray, held_out: np.ndarray = HELD_OUT) -> dict[str, Score]:
    return {score.name: score for score in digit_scores(made, REAL, held_out)}


def test_every_figure_is_the_metrics_own() -> None:
    made = TEST[:200]
    found = by_name(made)
    real = digit_features(REAL)
    for key, images in (("value", made), ("floor", HELD_OUT[:200])):
        features = digit_features(images)
        expected = {
            "Fréchet distance": frechet_distance(features, real),
            "inception score": inception_score(digit_probabilities(images)),
            "precision": precision_recall(features, real[:200]).precision,
            "recall": precision_recall(features, real[:200]).recall,
            "density": density_coverage(features, real[:200]).density,
            "coverage": density_coverage(features, real[:200]).coverage,
            "digits seen": 10.0,
        }
        for name, value in expected.items():
            assert getattr(found[name], key) == pytest.approx(value, rel=1e-9), (name, key)
    for score in found.values():
        assert (score.n, score.network) == (200, "digit classifier v1")
    lower = {"Fréchet distance", "kernel distance", "distance of digits from even"}
    assert {score.name for score in found.values() if not score.ceiling} == lower
    assert found["kernel distance"].spread is not None


def test_one_digit_missing() -> None:
    """Every figure of variety falls, those of quality do not."""
    found, whole = by_name(TEST[LABELS != 7][:200]), by_name(TEST[:200])
    assert (found["digits seen"].value, whole["digits seen"].value) == (9, 10)
    assert found["distance of digits from even"].value > 0.09
    assert whole["distance of digits from even"].value < 0.05
    assert found["recall"].value < whole["recall"].value - 0.03
    assert found["coverage"].value < whole["coverage"].value - 0.03
    assert found["Fréchet distance"].value > 1.3 * whole["Fréchet distance"].value
    assert abs(found["precision"].value - whole["precision"].value) < 0.1


def test_no_floor_without_as_many_held_out() -> None:
    found = by_name(TEST[:50], HELD_OUT[:49])
    assert {score.floor for score in found.values()} == {None}
    assert "floor" not in str(found["Fréchet distance"])


def test_reconstructions() -> None:
    x = TEST[:30] / 255.0
    rng = np.random.default_rng(0)
    y = np.clip(x + 0.1 * rng.standard_normal(x.shape), 0, 1)
    mse, psnr, ssim = reconstruction_scores(x, y)
    assert mse.value == mean_squared_error(x, y)
    assert psnr.value == pytest.approx(-10 * np.log10(mse.value))
    wang = {"data_range": 1, "gaussian_weights": True, "use_sample_covariance": False}
    singly = np.mean([structural_similarity(a, b, **wang) for a, b in zip(x, y)])
    assert ssim.value == pytest.approx(singly)
    assert {mse.n, psnr.n, ssim.n} == {30}


def test_by_size_has_bias_that_falls() -> None:
    found = digit_distance_by_size(TEST, TRAIN, repeats=3)
    assert found.sizes == (125, 250, 500, 1000)
    assert found.means[0] > 2 * found.means[-1]
    assert found.infinite < found.means[-1]


def test_too_few_or_broken_images() -> None:
    with pytest.raises(ValueError, match="20 or more images, got 19"):
        digit_scores(TEST[:19], REAL, HELD_OUT)
    with pytest.raises(ValueError, match="20 or more"):
        digit_distance_by_size(TEST[:19], REAL)
    broken = TEST[:30] / 255.0
    broken[3, 4, 5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        digit_scores(broken, REAL, HELD_OUT)
    with pytest.raises(ValueError, match="28 x 28"):
        digit_scores(np.zeros((30, 3, 28, 28)), REAL, HELD_OUT)
