"""Arithmetic of each element against PyTorch: values, gradients to second order."""

from __future__ import annotations

import math
import threading
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


BINARY = {
    "add": (real, real), "sub": (real, real), "mul": (real, real), "div": (real, positive),
    "true_divide": (real, positive), "maximum": (real, real), "minimum": (real, real),
    "atan2": (real, real), "logaddexp": (real, real), "hypot": (real, real),
    "xlogy": (positive, positive), "remainder": (real, positive), "fmod": (real, positive),
    "pow": (positive, real),
}  # fmt: skip
BROADCAST = [((), ()), ((3,), ()), ((), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0, 3), (3,))]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", BROADCAST)
def test_functions_of_two_tensors(name: str, shapes: tuple) -> None:
    first, second = BINARY[name]
    inputs = first(*shapes[0]), second(*shapes[1])
    check(getattr(minigen, name), getattr(torch, name), *inputs)


OPERATORS = {
    "x + y": lambda x, y: x + y, "x - y": lambda x, y: x - y, "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y, "x ** y": lambda x, y: x**y, "x % y": lambda x, y: x % y,
    "-x + y": lambda x, y: -x + y,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_with_tensors_and_numbers_on_either_side(name: str) -> None:
    operator = OPERATORS[name]
    x, y = positive(2, 3), positive(2, 3)
    check(operator, operator, x, y)
    for number in (2, 0.75, 3, -1.5, 1, 0.5):
        check(lambda x, n=number: operator(x, n), lambda x, n=number: operator(x, n), x)
    if name == "x % y":
        return  # 2 % y has no gradient in PyTorch
    for number in (2, 0.75):
        check(lambda x, n=number: operator(n, x), lambda x, n=number: operator(n, x), x)


@pytest.mark.parametrize("name", ["+", "-", "*", "/", "%", "//", "**"])
@pytest.mark.parametrize("number", [2, -3, 300, 2.5, True])
def test_operators_of_integers(name: str, number: object) -> None:
    for dtype in ("int64", "uint8", "int8", "bool", "float32"):
        array = np.array([0, 1, 7, 100]).astype(dtype)
        for expression in (f"x {name} n", f"n {name} x"):
            try:
                expected = eval(expression, {"x": torch.from_numpy(array), "n": number})
            except (RuntimeError, TypeError):
                with pytest.raises((RuntimeError, TypeError)):
                    eval(expression, {"x": minigen.from_numpy(array), "n": number})
                continue
            result = eval(expression, {"x": minigen.from_numpy(array), "n": number}).numpy()
            assert result.dtype == expected.numpy().dtype, (dtype, expression)
            np.testing.assert_allclose(result, expected.numpy(), rtol=1e-6, err_msg=expression)


@pytest.mark.parametrize("mode", [None, "floor", "trunc"])
def test_division_rounds_as_asked(mode: str | None) -> None:
    def divide(module: object) -> object:
        return lambda x, y: module.div(x, y, rounding_mode=mode)  # type: ignore[attr-defined]

    numerators, denominators = np.arange(-7, 8), np.array([[2], [-3]])
    check(divide(minigen), divide(torch), numerators, denominators, order=0)
    check(divide(minigen), divide(torch), not_whole(4), positive(4))
    check(divide(minigen), divide(torch), not_whole(4), -positive(4))
    specials = np.array([1.0, -1.0, 0.0, math.inf, -math.inf, math.nan, 5.5], "float32")
    check(divide(minigen), divide(torch), specials[:, None], specials, order=0)


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
def test_quotients_of_special_numbers(name: str) -> None:
    specials = np.array([1.0, -1.0, 0.0, -0.0, math.inf, -math.inf, math.nan, 5.5, -2.0], "float32")
    check(getattr(minigen, name), getattr(torch, name), specials[:, None], specials, order=0)


def test_no_gradient_goes_through_floor_division() -> None:
    x = minigen.tensor([5.0, 7.0], requires_grad=True)
    (gradient,) = minigen.autograd.grad((x // 2 + x).sum(), x)
    assert gradient.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("divide", ["x // 0", "x % 0", "minigen.fmod(x, 0)", "x // (x - x)"])
def test_an_integer_divided_by_zero_is_an_error(divide: str) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        eval(divide, {"x": minigen.tensor([1, 2]), "minigen": minigen})


# ---------------------------------------------------------------------------------- powers


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, 4, 0.0, 2.0])
def test_powers_by_numbers(exponent: float) -> None:
    check(lambda x: x**exponent, lambda x: x**exponent, positive(4))
    if float(exponent).is_integer():
        check(lambda x: x**exponent, lambda x: x**exponent, -positive(4))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, 1.0, 2.0])
def test_powers_at_zero(exponent: float) -> None:
    x = np.array([0.0, -0.0, 1.0])
    check(lambda x: x**exponent, lambda x: x**exponent, x, numeric=False)


def test_powers_by_tensors_at_zero_and_below() -> None:
    base = np.array([0.0, 0.0, 0.0, -2.0, -2.0, -2.0, 2.0])
    exponent = np.array([0.0, 2.0, 0.5, 2.0, 3.0, 0.5, 0.0])
    check(minigen.pow, torch.pow, base, exponent, order=1, numeric=False)
    # second order where PyTorch's own is finite
    check(minigen.pow, torch.pow, base[3:5], exponent[3:5], order=1, numeric=False)
    check(lambda x: x ** minigen.tensor(2.0), lambda x: x ** torch.tensor(2.0), base, numeric=False)
    check(lambda p: 2**p, lambda p: 2**p, exponent)
    check(lambda p: 0**p, lambda p: 0**p, exponent[1:3], numeric=False, order=1)


def test_integers_to_negative_powers() -> None:
    base, exponent = np.array([1, -1, -1, 2, -3, 2]), np.array([-1, -1, -2, -1, -3, 3])
    check(minigen.pow, torch.pow, base, exponent, order=0)
    with pytest.raises(RuntimeError, match=r"pow: .*negative integer powers"):
        minigen.tensor([1, 2]) ** -1
    assert (minigen.tensor([1, 2]) ** -1.0).tolist() == [1.0, 0.5]


# --------------------------------------------------------------------- kinks, ties and limits


def test_gradients_at_kinks() -> None:
    for name in ("abs", "sign", "round", "floor"):
        x = np.array([0.0, -0.0, 2.0, -1.5])
        check(getattr(minigen, name), getattr(torch, name), x, numeric=False)
    for name in ("sqrt", "rsqrt", "log", "reciprocal", "log1p"):
        x = np.array([0.0, 1.0, -1.0])
        check(getattr(minigen, name), getattr(torch, name), x, numeric=False, order=1)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_ties_share_the_gradient(name: str) -> None:
    x, y = np.array([1.0, 2.0, 2.0, math.nan]), np.array([1.0, 3.0, 1.0, 0.0])
    check(getattr(minigen, name), getattr(torch, name), x, y, numeric=False)
    with pytest.raises(TypeError, match="expects tensors"):
        getattr(minigen, name)(minigen.tensor([1.0]), 0.0)


BOUNDS = [(0.0, 1.0), (None, 1.0), (0.0, None), (1.0, 0.0), (0, 1), (math.nan, 1.0)]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_clamp_between_numbers(bounds: tuple) -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, math.nan])
    check(lambda x: x.clamp(*bounds), lambda x: x.clamp(*bounds), x, numeric=False)
    check(lambda x: x.clip(*bounds), lambda x: x.clip(*bounds), np.array([-1, 0, 5]), order=0)


def test_clamp_between_tensors() -> None:
    x, low, high = real(4, 3), real(3) - 0.3, real(4, 1) + 0.3
    check(minigen.clamp, torch.clamp, x, low, high)
    check(minigen.clamp, torch.clamp, x, low)
    check(lambda x, h: x.clamp(max=h), lambda x, h: x.clamp(max=h), x, high)
    check(minigen.clamp_min, torch.clamp_min, x, low)
    check(minigen.clamp_max, torch.clamp_max, x, high)
    check(minigen.clamp_max, torch.clamp_max, x, 0.1)
    tied = np.array([0.0, 1.0, 2.0, 1.0])
    low, high = np.array([0.0, 1.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0, 0.0])
    check(minigen.clamp, torch.clamp, tied, low, high, numeric=False)
    check(minigen.clamp, torch.clamp, np.array([1, 5]), np.array([2.5, 2.5], "float32"), order=0)
    with pytest.raises(RuntimeError, match="clamp: at least one"):
        minigen.clamp(minigen.ones(2))


def test_round_to_decimals() -> None:
    x = np.array([125.0, 135.0, 1.255, -2.5])
    for decimals in (-1, 0, 2):
        check(
            lambda x, d=decimals: minigen.round(x, decimals=d),
            lambda x, d=decimals: torch.round(x, decimals=d),
            x,
            numeric=False,
        )


def test_nan_to_num() -> None:
    x = np.array([1.0, math.nan, math.inf, -math.inf])
    for options in ({}, {"nan": 3.0}, {"posinf": 5.0, "neginf": -5.0}):
        check(
            lambda x, o=options: minigen.nan_to_num(x, **o),
            lambda x, o=options: torch.nan_to_num(x, **o),
            x,
            numeric=False,
        )
    check(minigen.nan_to_num, torch.nan_to_num, x.astype("float32"), order=0)


# ------------------------------------------------------------------------ several tensors


def test_add_and_sub_with_alpha() -> None:
    for name in ("add", "sub"):
        check(
            lambda x, y, n=name: getattr(minigen, n)(x, y, alpha=2.5),
            lambda x, y, n=name: getattr(torch, n)(x, y, alpha=2.5),
            real(2, 3),
            real(3),
        )
    check(minigen.rsub, torch.rsub, real(3), real(3))
    check(lambda x: minigen.rsub(x, 2), lambda x: torch.rsub(x, 2), real(3))
    flags = np.array([True, False])
    for alpha in (2, True, False):
        check(
            lambda x, y, a=alpha: minigen.add(x, y, alpha=a),
            lambda x, y, a=alpha: torch.add(x, y, alpha=a),
            flags,
            np.array([True, True]),
            order=0,
        )
    with pytest.raises(RuntimeError, match="integer tensors alpha"):
        minigen.add(minigen.tensor([1]), minigen.tensor([1]), alpha=1.5)
    with pytest.raises(RuntimeError, match="boolean alpha"):
        minigen.add(minigen.tensor([1.0]), minigen.tensor([1.0]), alpha=True)


def test_lerp_ends_where_it_should() -> None:
    start, end = minigen.tensor([1e16, 3.0]), minigen.tensor([1.0, 7.0])
    assert minigen.lerp(start, end, 1.0).tolist() == [1.0, 7.0]
    assert minigen.lerp(start, end, 0.0).tolist() == start.tolist()


def test_lerp() -> None:
    check(minigen.lerp, torch.lerp, real(2, 3), real(3), positive(2, 1))
    for weight in (0.0, 0.25, 0.5, 1.0, 2):
        check(
            lambda x, y, w=weight: x.lerp(y, w),
            lambda x, y, w=weight: x.lerp(y, w),
            real(3),
            real(3),
        )
    x = minigen.ones(2)
    for end in (1.0, x.double(), minigen.tensor([1, 2])):
        with pytest.raises((RuntimeError, TypeError)):
            minigen.lerp(x, end, 0.5)


@pytest.mark.parametrize("name", ["addcmul", "addcdiv"])
def test_sums_of_products_and_quotients(name: str) -> None:
    ours, theirs = getattr(minigen, name), getattr(torch, name)
    inputs = real(2, 3), real(3), positive(2, 1)
    check(ours, theirs, *inputs)
    check(lambda *t: ours(*t, value=-2.5), lambda *t: theirs(*t, value=-2.5), *inputs)
    whole = np.array([1, 2])
    if name == "addcmul":
        check(ours, theirs, whole, whole, whole, order=0)
    else:
        with pytest.raises(RuntimeError, match="integer"):
            ours(minigen.ones(2), *map(minigen.from_numpy, (whole, whole)))


def test_logaddexp_and_xlogy_at_their_limits() -> None:
    x = np.array([1000.0, -1000.0, 0.0, -math.inf, math.inf, -math.inf])
    y = np.array([1000.0, 1000.0, -math.inf, 0.0, 0.0, -math.inf])
    check(minigen.logaddexp, torch.logaddexp, x, y, order=0)
    check(minigen.logaddexp, torch.logaddexp, x[:4], y[:4], order=1, numeric=False)
    x, y = np.array([0.0, 0.0, 0.0, 0.0, 1.0]), np.array([0.0, -1.0, math.nan, 2.0, 0.0])
    check(minigen.xlogy, torch.xlogy, x, y, order=1, numeric=False)
    check(lambda y: minigen.xlogy(2, y), lambda y: torch.xlogy(2, y), positive(3))
    check(lambda x: minigen.xlogy(x, 2), lambda x: torch.xlogy(x, 2), positive(3))


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "expression",
    [
        "x - b", "b - x", "b - b", "1 - b", "b - 1", "x - True", "-b", "abs(b)", "b ** b", "b // b",
        "b % b", "minigen.floor(b)", "minigen.frac(i)", "minigen.hypot(i, i)", "x + 'a'",
        "x + None",
        "minigen.logaddexp(i, i)", "minigen.atan2(x, 1.0)", "minigen.round(i, decimals=1)",
        "minigen.div(x, x, rounding_mode='up')", "x + [1, 2]", "x * 1j", "i + 2**70",
    ],
)  # fmt: skip
def test_what_pytorch_refuses_is_refused(expression: str) -> None:
    values = {"b": [True, False], "i": [1, 2], "x": [1.0, 2.0]}
    names = {name: torch.tensor(v) for name, v in values.items()}
    if expression not in ("x + [1, 2]", "x * 1j"):
        with pytest.raises((RuntimeError, TypeError, OverflowError)):
            eval(expression, {**names, "minigen": torch})
    names = {name: minigen.tensor(v) for name, v in values.items()}
    with pytest.raises((RuntimeError, TypeError, OverflowError)):
        eval(expression, {**names, "minigen": minigen})


def test_errors_name_the_operation_and_the_shapes() -> None:
    with pytest.raises(RuntimeError, match=r"mul: .*float32 \(2,\).*float32 \(3,\)"):
        minigen.ones(2) * minigen.ones(3)
    with pytest.raises(RuntimeError, match=r"sub: .*logical_not"):
        1 - minigen.tensor([True])


# --------------------------------------------------------------------- silence, and memory


def test_nothing_warns() -> None:
    x = minigen.tensor([0.0, -1.0, 1e30, math.inf, -math.inf, math.nan])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = [1 / x, x - x, x * x, x * 1e300, x**-1, x**3.5, x.sqrt(), x.rsqrt(), x % 0.0]
        results += [x.logaddexp(x), x.atan2(x), x.hypot(x), x.xlogy(x), x.to(minigen.int32)]
        results += [x.lerp(x, 0.3), x.addcdiv(x, x), x.isclose(x), x // 0.0, x.double().half()]
    assert len(results) == 19


def test_silence_stays_inside_and_works_in_threads() -> None:
    with np.errstate(all="raise"):
        assert minigen.tensor([0.0]).log().item() == -math.inf
        assert np.geterr()["divide"] == "raise"
        with pytest.raises(FloatingPointError):
            np.log(np.zeros(1))
    found: list = []

    def work() -> None:
        x = minigen.zeros(4)
        for _ in range(300):
            found.append(bool((1 / x).isinf().all()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1200
    assert all(found)
