"""Functions of one tensor against PyTorch: values, gradients to second order, special numbers."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from oracle import check

import minigen

RNG = np.random.default_rng(7)
SHAPES = [(), (1,), (0,), (5,), (2, 3)]


def real(*shape: int) -> np.ndarray:
    return np.asarray(RNG.standard_normal(shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(RNG.uniform(0.3, 3.0, shape))


def inside(*shape: int) -> np.ndarray:
    return np.asarray(RNG.uniform(-0.9, 0.9, shape))


def above_one(*shape: int) -> np.ndarray:
    return np.asarray(RNG.uniform(1.2, 4.0, shape))


def not_whole(*shape: int) -> np.ndarray:
    return np.asarray(RNG.integers(-3, 4, shape) + RNG.uniform(0.1, 0.4, shape))


UNARY = {
    "abs": not_whole, "neg": real, "square": real, "reciprocal": positive, "sign": real,
    "sgn": real, "floor": not_whole, "ceil": not_whole, "trunc": not_whole, "fix": not_whole,
    "round": not_whole, "frac": not_whole, "exp": real, "exp2": real, "expm1": real,
    "log": positive, "log1p": positive, "log2": positive, "log10": positive, "sqrt": positive,
    "rsqrt": positive, "sin": real, "cos": real, "tan": inside, "asin": inside, "acos": inside,
    "atan": real, "sinh": real, "cosh": real, "tanh": real, "asinh": real, "acosh": above_one,
    "atanh": inside, "sigmoid": real, "erf": real, "erfc": real, "lgamma": positive,
    "digamma": positive, "nan_to_num": real, "positive": real,
}  # fmt: skip
NO_FUNCTION = {"positive": "__pos__"}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("shape", SHAPES)
def test_functions_of_one_tensor(name: str, shape: tuple) -> None:
    attribute = NO_FUNCTION.get(name, name)
    check(
        lambda x: getattr(minigen.Tensor, attribute)(x),
        lambda x: getattr(torch.Tensor, attribute)(x),
        UNARY[name](*shape),
    )


@pytest.mark.parametrize("name", [n for n in UNARY if n not in NO_FUNCTION])
def test_functions_keep_strides_and_other_dtypes(name: str) -> None:
    draw = UNARY[name]
    ours, theirs = getattr(minigen, name), getattr(torch, name)
    check(lambda x: ours(x.T[::2]), lambda x: theirs(x.T[::2]), draw(3, 5))
    for dtype in ("float32", "float16", "int64", "uint8", "bool"):
        array = np.abs(draw(2, 3)).astype(dtype)
        try:
            expected = theirs(torch.from_numpy(array))
        except (RuntimeError, NotImplementedError):
            with pytest.raises((RuntimeError, TypeError)):
                ours(minigen.from_numpy(array))
            continue
        result = ours(minigen.from_numpy(array)).numpy()
        assert result.dtype == expected.numpy().dtype, dtype
        tolerance = 4e-3 if dtype == "float16" else 2e-6
        np.testing.assert_allclose(result, expected.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [n for n in UNARY if n not in NO_FUNCTION])
def test_special_numbers(name: str) -> None:
    x = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e300, -1e300, math.inf, -math.inf, math.nan])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(getattr(minigen, name), getattr(torch, name), x, order=0)


def test_accuracy_near_zero() -> None:
    x = np.array([1e-20, -1e-17, 1e-9, 3e-300])
    for name in ("expm1", "log1p", "sinh", "asinh", "atanh", "tanh", "sin", "erf"):
        exact = torch.from_numpy(x)
        expected = getattr(torch, name)(exact).numpy()
        np.testing.assert_allclose(getattr(minigen, name)(minigen.tensor(x)), expected, rtol=1e-14)


def test_sigmoid_far_out() -> None:
    for dtype, bound in (("float64", 800), ("float32", 120), ("float16", 30)):
        x = np.linspace(-bound, bound, 41).astype(dtype)
        result = minigen.sigmoid(minigen.from_numpy(x)).numpy()
        expected = torch.sigmoid(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(result, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-38)


# ---------------------------------------------------------------------- special functions


def test_erf_and_erfc_keep_relative_accuracy() -> None:
    x = np.concatenate([np.linspace(-7, 26, 1001), [0.5, 1e-300, math.inf, -math.inf, math.nan]])
    for name in ("erf", "erfc"):
        exact = np.array([getattr(math, name)(v) for v in x])
        np.testing.assert_allclose(getattr(minigen.tensor(x), name)().numpy(), exact, rtol=2e-13)
        single = getattr(minigen.tensor(x, dtype=minigen.float32), name)().numpy()
        assert single.dtype == np.float32
        expected = [getattr(math, name)(v) for v in x.astype("float32").tolist()]
        np.testing.assert_allclose(single, expected, rtol=2e-6, atol=1e-38)


def test_the_gamma_family_left_and_right() -> None:
    x = np.concatenate([np.linspace(-6.77, 40, 501), [1.0, 2.0, 1e-3, 1e4]])
    check(minigen.lgamma, torch.lgamma, x, order=1, numeric=False)
    check(minigen.digamma, torch.digamma, x, order=1, numeric=False)
    for n in range(4):
        check(
            lambda x, n=n: minigen.polygamma(n, x),
            lambda x, n=n: torch.polygamma(n, x),
            positive(9),
        )
        check(lambda x, n=n: x.polygamma(n), lambda x, n=n: x.polygamma(n), not_whole(9), order=0)
    poles = np.array([0.0, -0.0, -1.0, -5.0, math.inf, -math.inf, math.nan])
    check(minigen.lgamma, torch.lgamma, poles, order=0)
    check(minigen.digamma, torch.digamma, poles, order=0)
    assert minigen.polygamma(1, minigen.tensor(1.0, dtype=minigen.float64)).item() == pytest.approx(
        math.pi**2 / 6, rel=1e-15
    )
    with pytest.raises(RuntimeError, match="negative"):
        minigen.polygamma(-1, minigen.ones(1))
    with pytest.raises(RuntimeError, match="1000"):
        minigen.polygamma(2, minigen.tensor([-2000.5]))


def test_results_are_new_memory() -> None:
    for name in [*UNARY, "clone", "double"]:
        if name == "positive":
            continue
        for dtype in ("float32", "int64"):
            x = minigen.ones(3).to(getattr(minigen, dtype))
            if dtype == "int64" and name == "frac":
                continue
            result = getattr(x, name)()
            assert not np.shares_memory(result.array, x.array), (name, dtype)
