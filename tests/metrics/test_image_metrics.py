"""MSE, PSNR and SSIM against scikit-image, and against what a wrong formula would give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import skimage.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.data import load_mnist5k
from minigen.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def pair(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> tuple:
    """An image with structure and a disturbed copy, in 0 to 1 or the range of the integer dtype."""
    rng = np.random.default_rng(seed)
    clean = np.cumsum(rng.standard_normal(shape), axis=0)
    clean = (clean - clean.min()) / (clean.max() - clean.min())
    noisy = np.clip(clean + 0.1 * rng.standard_normal(shape), 0, 1)
    top = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    return tuple((image * top).astype(dtype) for image in (clean, noisy))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (9, 12), (16, 11, 3)])
def test_mse_and_psnr_equal_scikit_image(shape: tuple, dtype: str) -> None:
    x, y = (
        pair(shape, dtype) if shape != (1, 1) else (np.ones(shape, dtype), np.zeros(shape, dtype))
    )
    exact = [v.astype(np.float64) for v in (x, y)]  # scikit-image adds float32 in float32
    assert mean_squared_error(x, y) == pytest.approx(
        reference.mean_squared_error(*exact), rel=1e-12
    )
    assert mean_squared_error(x, y) == mean_squared_error(y, x)
    assert peak_signal_noise_ratio(x, y) == pytest.approx(
        reference.peak_signal_noise_ratio(x, y), abs=1e-5 if dtype == "float32" else 1e-9
    )
    assert peak_signal_noise_ratio(x, y, data_range=7) == pytest.approx(
        reference.peak_signal_noise_ratio(*exact, data_range=7), abs=1e-9
    )


def test_psnr_of_floats_with_negative_values_has_the_range_2() -> None:
    x, y = (2 * image - 1 for image in pair((8, 8)))
    expected = reference.peak_signal_noise_ratio(x, y)
    assert peak_signal_noise_ratio(x, y) == pytest.approx(expected, abs=1e-9)
    assert expected == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1) + 20 * np.log10(2))


def test_psnr_of_equal_images_is_infinite() -> None:
    x, _ = pair((8, 8))
    assert peak_signal_noise_ratio(x, x) == math.inf


@pytest.mark.parametrize("shape", [(7, 7), (28, 28), (16, 23), (13, 12, 11)])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        WANG,
        {"win_size": 3},
        {"win_size": 5, "K1": 0.05, "K2": 0.1},
        {"use_sample_covariance": False},
        {"gaussian_weights": True, "sigma": 0.8},
        {"gaussian_weights": True, "sigma": 1.0, "win_size": 5},
    ],
    ids=str,
)
def test_ssim_equals_scikit_image(shape: tuple, dtype: str, options: dict[str, Any]) -> None:
    if options is WANG and min(shape) < 11:
        shape = (11, 11)
    x, y = pair(shape, dtype)
    options = {**options, "data_range": 1.0 if dtype == "float64" else None}
    expected = reference.structural_similarity(x, y, gradient=True, full=True, **options)
    index, gradient, local = structural_similarity(x, y, gradient=True, full=True, **options)
    assert index == pytest.approx(expected[0], abs=1e-12)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-12)
    np.testing.assert_allclose(local, expected[2], atol=1e-11)
    assert structural_similarity(x, y, **options) == index
    only_gradient = structural_similarity(x, y, gradient=True, **options)
    np.testing.assert_array_equal(only_gradient[1], gradient)
    np.testing.assert_array_equal(structural_similarity(x, y, full=True, **options)[1], local)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("options", [{}, WANG], ids=["uniform", "Wang"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_ssim_of_colour_equals_scikit_image(axis: int, options: dict, dtype: str) -> None:
    x, y = pair((3, 17, 20) if axis == 0 else (17, 20, 3), dtype)
    options = {**options, "data_range": None if dtype == "uint8" else 1.0, "channel_axis": axis}
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    expected = reference.structural_similarity(x, y, gradient=True, full=True, **options)
    found = structural_similarity(x, y, gradient=True, full=True, **options)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, atol=10 * tolerance)
    assert found[0] == pytest.approx(expected[0], abs=tolerance)


def test_ssim_of_a_batch_is_the_mean_over_its_images() -> None:
    digits = load_mnist5k("test")[0][:6]
    other = digits[::-1]
    singly = [structural_similarity(a, b, **WANG) for a, b in zip(digits, other)]
    together = structural_similarity(digits, other, channel_axis=0, **WANG)
    assert together == pytest.approx(np.mean(singly), abs=1e-12)


def test_tensors_are_taken_as_well() -> None:
    x, y = pair((12, 12))
    tensors = [minigen.from_numpy(v) for v in (x, y)]
    assert mean_squared_error(*tensors) == mean_squared_error(x, y)
    assert structural_similarity(*tensors, data_range=1) == structural_similarity(
        x, y, data_range=1
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(7, 20), st.integers(7, 20))
def test_ssim_is_symmetric_at_most_1_and_1_for_equal_images(seed: int, h: int, w: int) -> None:
    x, y = pair((h, w), seed=seed)
    index = structural_similarity(x, y, data_range=1)
    assert index == pytest.approx(structural_similarity(y, x, data_range=1), abs=1e-12)
    assert index < structural_similarity(x, x, data_range=1) == pytest.approx(1, abs=1e-12)
    scaled = structural_similarity(5 * x, 5 * y, data_range=5)
    assert scaled == pytest.approx(index, abs=1e-12), "the unit of the images does not matter"
    turned = structural_similarity(x.T, y.T, data_range=1)
    assert turned == pytest.approx(index, abs=1e-12)


def test_wrong_variants_are_told_apart() -> None:
    """What goes wrong in practice moves the figure by far more than the tolerance of the tests."""
    x, y = pair((28, 28))
    right = structural_similarity(x, y, data_range=1, **WANG)
    wrong = {
        "range of -1 to 1 for images in 0 to 1": {"data_range": 2, **WANG},
        "sample covariance": {"data_range": 1, **WANG, "use_sample_covariance": True},
        "uniform window": {"data_range": 1, "use_sample_covariance": False},
    }
    for reason, options in wrong.items():
        assert abs(structural_similarity(x, y, **options) - right) > 5e-5, reason
    _, local = structural_similarity(x, y, data_range=1, full=True, **WANG)
    assert abs(local.mean() - right) > 1e-4, "border included"
    bytes_, _ = pair((28, 28), "uint8")
    wrapped = np.mean((bytes_ - bytes_[::-1]) ** 2)  # unsigned bytes wrap around
    assert abs(wrapped - mean_squared_error(bytes_, bytes_[::-1])) > 100


GREY, BYTES = np.zeros((8, 8)), np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_squared_error(GREY, GREY[:4]), "same shape"),
        (lambda: mean_squared_error(GREY[:0], GREY[:0]), "same shape"),
        (lambda: mean_squared_error(GREY, GREY * np.nan), "NaN"),
        (lambda: peak_signal_noise_ratio(GREY, BYTES), "float64 and uint8"),
        (lambda: peak_signal_noise_ratio(GREY + 3, GREY), "from 3 to 3"),
        (lambda: peak_signal_noise_ratio(GREY, GREY, data_range=0), "positive"),
        (lambda: structural_similarity(GREY, GREY), "data_range"),
        (lambda: structural_similarity(GREY, BYTES), "data_range"),
        (lambda: structural_similarity(BYTES, BYTES.astype(np.int16)), "uint8 and int16"),
        (lambda: structural_similarity(BYTES, BYTES, win_size=4), "odd"),
        (lambda: structural_similarity(BYTES, BYTES, win_size=9), "smaller side"),
        (lambda: structural_similarity(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)), data_range=1),
         "channel_axis"),
        (lambda: structural_similarity(BYTES, BYTES, channel_axis=2), "channel_axis 2"),
        (lambda: structural_similarity(BYTES, BYTES, K1=-1), "negative"),
        (lambda: structural_similarity(GREY, GREY + np.inf, data_range=1), "NaN"),
    ],
)  # fmt: skip
def test_bad_images_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(TypeError, match="complex128"):
        mean_squared_error(GREY + 0j, GREY)
