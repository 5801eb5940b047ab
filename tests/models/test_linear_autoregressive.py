"""AR(p): three ways to the same coefficients, published ones, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.data import load_sunspots
from minigen.models.linear_autoregressive import (
    METHODS,
    LinearAR,
    autocovariances,
    lagged,
    yule_walker,
)


def simulated(coefficients: list[float], n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.zeros(n + 200)
    p = len(coefficients)
    for t in range(p, len(x)):
        x[t] = np.dot(coefficients, x[t - p : t][::-1]) + rng.standard_normal()
    return x[200:]


def sunspots() -> np.ndarray:
    """Published to one decimal, and kept in float32."""
    return np.round(load_sunspots().numbers.astype(np.float64), 1)


def test_sunspots_equal_the_published_coefficients() -> None:
    """statsmodels' documentation of `yule_walker(sunspots, order=4, method="mle")`."""
    published = [1.28310031, -0.45240924, -0.20770299, 0.04794365]
    model = LinearAR.fit(sunspots(), 4, "yule_walker")
    np.testing.assert_allclose(model.coefficients, published, atol=5e-9)
    assert model.sigma == pytest.approx(16.808022730464351, rel=1e-9)


def test_levinson_durbin_solves_the_normal_equations() -> None:
    centred = simulated([0.6, -0.3, 0.1], 400, seed=1)
    centred -= centred.mean()
    for unbiased in (False, True):
        phi, variance = yule_walker(centred, 5, unbiased)
        r = autocovariances(centred, 5, unbiased)
        R = r[np.abs(np.subtract.outer(np.arange(5), np.arange(5)))]
        np.testing.assert_allclose(phi, np.linalg.solve(R, r[1:]), rtol=1e-10)
        assert variance == pytest.approx(r[0] - phi @ r[1:], rel=1e-10)


@settings(max_examples=12, deadline=None)
@given(order=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_all_three_methods_agree(order: int, seed: int) -> None:
    series = simulated([0.5, -0.2], 120, seed) * 7 + 40
    exact = LinearAR.fit(series, order, "yule_walker")
    for method in ("least_squares", "gradient_descent"):
        found = LinearAR.fit(series, order, method, padded=True)
        np.testing.assert_allclose(found.coefficients, exact.coefficients, atol=2e-7)
        assert found.sigma == pytest.approx(exact.sigma, rel=1e-7)
    bare = [LinearAR.fit(series, order, m) for m in ("least_squares", "gradient_descent")]
    np.testing.assert_allclose(bare[0].coefficients, bare[1].coefficients, atol=2e-7)


def test_sunspots_by_all_three() -> None:
    numbers = sunspots()
    fits = [LinearAR.fit(numbers, 9, m, padded=True) for m in METHODS]
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.coefficients, fits[0].coefficients, atol=1e-6)


def test_a_forecast_beats_persistence_on_sunspots() -> None:
    numbers = sunspots()
    model = LinearAR.fit(numbers[:-50], 9)
    errors = model.residuals(numbers)[-50:]
    persistence = np.diff(numbers)[-50:]
    assert np.sqrt((errors**2).mean()) == pytest.approx(16.95, abs=0.5)
    assert np.sqrt((persistence**2).mean()) == pytest.approx(30.35, abs=0.01)


def test_intervals_hold_what_they_promise() -> None:
    model = LinearAR(np.array([1.2, -0.5]), mean=3.0, sigma=2.0)
    futures = model.sample(
        [4.0, 5.0], 8, count=40_000, generator=minigen.Generator().manual_seed(0)
    )
    mean, lower, upper = model.forecast([4.0, 5.0], 8, level=0.9)
    inside = ((futures > lower) & (futures < upper)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=0.006)
    np.testing.assert_allclose(futures.mean(axis=0), mean, atol=0.08)


def test_log_likelihood_is_the_density() -> None:
    model = LinearAR(np.array([0.5]), mean=1.0, sigma=0.7)
    x = np.array([1.0, 2.0, 0.5])
    expected = [1.0 + 0.5 * (a - 1.0) for a in x[:-1]]
    density = np.exp(-0.5 * ((x[1:] - expected) / 0.7) ** 2) / (0.7 * np.sqrt(2 * np.pi))
    assert model.log_likelihood(x) == pytest.approx(np.log(density).sum())


def test_lags_are_newest_first() -> None:
    past, present = lagged(np.arange(5.0), 3)
    assert past.tolist() == [[2, 1, 0], [3, 2, 1]]
    assert present.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("series", "order", "message"),
    [
        (np.ones(50), 2, "constant"),
        ([1.0, np.nan, 2.0, 3.0, 4.0, 5.0], 2, "nan at position 1"),
        (np.arange(4.0), 2, "at least 5 values"),
        (np.ones((5, 5)), 1, "shape"),
        (np.arange(9.0), 0, "1 or more"),
    ],
)
def test_bad_series_are_refused(series: object, order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearAR.fit(series, order)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="method"):
        LinearAR.fit(np.arange(9.0), 1, "magic")
    model = LinearAR(np.array([0.5, 0.1]), 0.0, 1.0)
    with pytest.raises(ValueError, match="level"):
        model.forecast([1.0, 2.0], 3, level=1.0)
    with pytest.raises(ValueError, match="at least 2"):
        model.forecast([1.0], 3)
