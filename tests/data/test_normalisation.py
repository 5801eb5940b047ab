"""Normalisation: there and back in the data's units, and kept in a run as plain data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigen
from minigen.data import Normalisation

finite = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (5, 3), elements=finite), st.sampled_from([None, 0, 1, -1]))
def test_standardised_data_have_mean_0_and_deviation_1_and_come_back(
    data: np.ndarray, axis: int | None
) -> None:
    scaling = Normalisation.standardise(data, axis)
    there = scaling(data.astype(np.float64))
    over = None if axis is None else 1 - axis % 2
    ranges = np.ptp(data.astype(np.float64), axis=over)
    np.testing.assert_allclose(there.mean(over), 0, atol=1e-6)
    varied = ranges > 1e-3 * np.abs(data).max()  # where rounding is no matter
    np.testing.assert_allclose(np.asarray(there.std(over))[varied], 1, rtol=1e-6)
    np.testing.assert_allclose(scaling.inverse(there), data, rtol=1e-6, atol=1e-9)
    saved = json.loads(json.dumps(scaling.to_dict()))
    again = Normalisation.from_dict(saved)
    assert again == scaling
    np.testing.assert_array_equal(again(data), scaling(data))


@pytest.mark.parametrize("to", [(0, 1), (-1, 1), (5, 25)])
def test_ranges(to: tuple[float, float]) -> None:
    data = np.array([[-3.0, 7.0], [1.0, 2.0]])
    scaling = Normalisation.fit_range(data, to)
    assert scaling == Normalisation.from_range(-3, 7, to)
    there = scaling(data)
    assert (there.min(), there.max()) == pytest.approx(to)
    assert there[1, 0] == pytest.approx(to[0] + 0.4 * (to[1] - to[0]))
    np.testing.assert_allclose(scaling.inverse(there), data)


def test_bytes_and_tensors() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    scaling = Normalisation.from_range(0, 255, to=(-1, 1))
    there = scaling(pixels)
    assert there.dtype == np.float32
    np.testing.assert_array_equal(np.rint(scaling.inverse(there)), pixels)
    tensor = minigen.from_numpy(there)
    back = scaling.inverse(tensor)
    assert isinstance(back, minigen.Tensor)
    np.testing.assert_array_equal(back.numpy(), scaling.inverse(there))
    np.testing.assert_array_equal(scaling(back).numpy(), scaling(scaling.inverse(there)))


def test_channels_of_examples_and_batches() -> None:
    rng = np.random.default_rng(0)
    photos = rng.random((6, 3, 4, 5)) * np.array([1, 10, 100])[:, None, None]
    scaling = Normalisation.standardise(photos, channel_axis=-3)
    np.testing.assert_allclose(scaling(photos).std((0, 2, 3)), 1)
    np.testing.assert_allclose(scaling(photos)[2], scaling(photos[2]))
    with pytest.raises(ValueError, match=r"3 channels in dimension -3, got shape \(6, 1, 4, 5\)"):
        scaling(photos[:, :1])
    with pytest.raises(ValueError, match="dimension -3 among 2"):
        scaling(photos[0, 0])


def test_constant_series_and_channels() -> None:
    """They go to 0 with scale 1, not to NaN, and come back; also where rounding of the mean would
    leave a deviation of 1e-17 to divide by."""
    series = np.full(1000, 0.1)
    assert series.std() != 0, "or this test shows nothing"
    scaling = Normalisation.standardise(series)
    np.testing.assert_array_equal(scaling(series), 0)
    np.testing.assert_array_equal(scaling.inverse(scaling(series)), series)
    both = np.stack([series, np.arange(1000.0)], axis=1)
    assert Normalisation.standardise(both, channel_axis=1).scale[0] == 1
    assert Normalisation.fit_range(series, to=(-1, 1))(series).tolist() == [0.0] * 1000


def test_nan_in_a_sample_is_not_hidden() -> None:
    assert np.isnan(Normalisation.from_range(0, 2).inverse(np.array([np.nan, 1.0]))[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Normalisation.standardise([1.0, np.nan]), "1 of 2 values are NaN"),
        (lambda: Normalisation.fit_range([np.inf, 0.0]), "1 of 2"),
        (lambda: Normalisation.fit_range([]), "no data"),
        (lambda: Normalisation.standardise(np.ones((2, 2)), 2), "no dimension 2"),
        (lambda: Normalisation.from_range(1, 1), "low < high"),
        (lambda: Normalisation.from_range(0, 1, to=(1, 0)), "low < high"),
        (lambda: Normalisation(0.0, 0.0), "scale not 0"),
        (lambda: Normalisation(float("nan"), 1.0), "finite"),
        (lambda: Normalisation([0.0, 1.0], [1.0, 1.0]), "channel_axis"),
        (lambda: Normalisation([0.0, 1.0], [1.0], 0), "as many"),
        (lambda: Normalisation.from_range(0, 1)(np.array([np.nan])), "NaN"),
        (lambda: Normalisation.from_dict({"mean": 0}), "mean"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
