"""exp, exp for a softmax, and erf as kernels call them: accuracy over the range, and its ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from minigen.kernels import jit


@pytest.fixture(scope="module")
def elementary():
    """Kernels of nothing but one of them."""
    from minigen.kernels.elementary import erf, exp, exp_decay

    def exp_of(x, y):
        for i in range(x.size):
            y[i] = exp(x[i])

    def exp_decay_of(x, y):
        for i in range(x.size):
            y[i] = exp_decay(x[i])

    def erf_of(x, y):
        for i in range(x.size):
            y[i] = erf(x[i])

    def called(function):
        kernel = jit.Kernel(function, function.__name__, ("const T[::1]", "T[::1]"), 0.0)

        def run(x):
            y = np.full(x.shape, np.nan, x.dtype)
            kernel(x, y)
            return y

        return run

    functions = {"exp": exp_of, "exp_decay": exp_decay_of, "erf": erf_of}
    return {name: called(function) for name, function in functions.items()}


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 3e-7), ("float64", 3e-16)])
def test_exp_is_accurate(elementary, dtype, bound) -> None:
    lowest, highest = (-87.3, 88.7) if dtype == "float32" else (-700, 700)
    x = np.linspace(lowest, highest, 400_001).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    assert np.abs(elementary["exp"](x) / exact - 1).max() < bound


def test_exp_where_results_are_subnormal(elementary) -> None:
    x = np.linspace(-103.5, -87.3, 10_001).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(elementary["exp"](x) - exact) <= 3e-7 * exact + 2.0**-150).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_at_its_ends(elementary, dtype) -> None:
    top = 88.8 if dtype == "float32" else 710.0
    x = np.array([np.nan, np.inf, -np.inf, top, 1e30, -1e4, 0.0, -0.0] * 3, dtype)
    wanted = np.array([np.nan, np.inf, 0, np.inf, np.inf, 0, 1, 1] * 3, dtype)
    np.testing.assert_array_equal(elementary["exp"](x), wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_of_a_softmax(elementary, dtype) -> None:
    """As exp where a softmax asks, 0 where that is no normal number, NaN for NaN."""
    x = np.linspace(-87, 0.5, 200_001).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    assert np.abs(elementary["exp_decay"](x) / exact - 1).max() < 3e-7
    x = np.array([np.nan, -np.inf, -1e4, -87.5, 0.0, -0.0] * 3, dtype)
    wanted = np.array([np.nan, 0, 0, 0 if dtype == "float32" else np.exp(-87.5), 1, 1] * 3, dtype)
    np.testing.assert_allclose(elementary["exp_decay"](x), wanted, rtol=3e-7, atol=0)


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 6e-7), ("float64", 3e-16)])
def test_erf_is_accurate(elementary, dtype, bound) -> None:
    x = np.concatenate([np.linspace(-6, 6, 40_000), np.geomspace(1e-30, 1, 1000)]).astype(dtype)
    exact = np.array([math.erf(value) for value in x.tolist()])
    nonzero = exact != 0
    assert np.abs(elementary["erf"](x) / exact - 1)[nonzero].max() < bound
    np.testing.assert_array_equal(
        elementary["erf"](np.array([np.nan, np.inf, -np.inf], dtype)), [np.nan, 1, -1]
    )
