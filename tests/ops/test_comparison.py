"""Comparisons, logic, bits and `where` against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracle import check

import minigen

RNG = np.random.default_rng(3)
NUMBERS = np.array([0.0, -0.0, 1.0, 2.0, -3.0, math.inf, -math.inf, math.nan], "float32")
INTEGERS = np.array([0, 1, 2, -3, 100])
FLAGS = np.array([True, False])


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_comparison_operators(operator: str) -> None:
    compare = eval(f"lambda x, y: x {operator} y")
    check(compare, compare, NUMBERS[:, None], NUMBERS, order=0)
    check(compare, compare, INTEGERS[:, None], NUMBERS, order=0)
    check(compare, compare, INTEGERS[:, None], FLAGS, order=0)
    for number in (0, 1, 2.0, 0.5, True, -3, 300):
        for array in (NUMBERS, INTEGERS, FLAGS, np.array([0, 44, 255], "uint8")):
            one = lambda x, n=number: compare(x, n)  # noqa: E731
            check(one, one, array, order=0)
            two = lambda x, n=number: compare(n, x)  # noqa: E731
            check(two, two, array, order=0)


@pytest.mark.parametrize(
    "name",
    ["eq", "ne", "not_equal", "lt", "less", "le", "less_equal", "gt", "greater", "ge",
     "greater_equal"],
)  # fmt: skip
def test_comparison_functions_and_methods(name: str) -> None:
    x, y = RNG.integers(0, 3, (4, 1)), RNG.integers(0, 3, (5,))
    check(getattr(minigen, name), getattr(torch, name), x, y, order=0)
    check(lambda x: getattr(x, name)(1), lambda x: getattr(x, name)(1), x, order=0)


def test_comparison_with_something_else() -> None:
    x = minigen.ones(2)
    assert (x == "a") is False
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    with pytest.raises(TypeError, match="not supported"):
        x < None  # noqa: B015
    with pytest.raises(RuntimeError, match=r"eq: .*\(2,\).*\(3,\)"):
        x == minigen.ones(3)  # noqa: B015
    assert hash(x) == hash(x)
    assert x in {x: 1}


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logic(name: str) -> None:
    ours, theirs = getattr(minigen, name), getattr(torch, name)
    check(ours, theirs, NUMBERS[:, None], NUMBERS, order=0)
    check(ours, theirs, INTEGERS[:, None], FLAGS, order=0)
    with pytest.raises(TypeError, match=name):
        ours(minigen.ones(2), 1)


@pytest.mark.parametrize("name", ["logical_not", "isnan", "isinf", "isfinite"])
@pytest.mark.parametrize("array", [NUMBERS, INTEGERS, FLAGS, NUMBERS.astype("float16")])
def test_kinds_of_number(name: str, array: np.ndarray) -> None:
    check(getattr(minigen, name), getattr(torch, name), array, order=0)


@pytest.mark.parametrize("operator", ["&", "|", "^"])
def test_bits(operator: str) -> None:
    combine = eval(f"lambda x, y: x {operator} y")
    check(combine, combine, INTEGERS[:, None], INTEGERS, order=0)
    check(combine, combine, INTEGERS[:, None], FLAGS, order=0)
    check(combine, combine, FLAGS[:, None], FLAGS, order=0)
    for number in (1, 6, True):
        for array in (INTEGERS, FLAGS):
            check(
                lambda x, n=number: combine(x, n), lambda x, n=number: combine(x, n), array, order=0
            )
            check(
                lambda x, n=number: combine(n, x), lambda x, n=number: combine(n, x), array, order=0
            )
    with pytest.raises(TypeError, match="bitwise"):
        combine(minigen.ones(2), minigen.ones(2))


def test_bitwise_functions() -> None:
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        check(getattr(minigen, name), getattr(torch, name), INTEGERS[:, None], INTEGERS, order=0)
    for array in (INTEGERS, FLAGS, np.array([0, 7], "uint8")):
        check(lambda x: ~x, lambda x: ~x, array, order=0)
        check(minigen.bitwise_not, torch.bitwise_not, array, order=0)
    with pytest.raises(TypeError, match="bitwise_not"):
        ~minigen.ones(2)
    check(lambda x: x << 2, lambda x: x << 2, INTEGERS, order=0)
    check(lambda x: x >> 1, lambda x: x >> 1, INTEGERS, order=0)
    check(lambda x: 2 << x, lambda x: 2 << x, np.array([0, 3]), order=0)
    check(minigen.bitwise_left_shift, torch.bitwise_left_shift, INTEGERS, np.array(3), order=0)
    check(minigen.bitwise_right_shift, torch.bitwise_right_shift, INTEGERS, np.array(1), order=0)


# ------------------------------------------------------------------------------------ where


def test_where() -> None:
    condition = RNG.random((2, 3)) < 0.5
    for shapes in (((2, 3), (2, 3)), ((3,), (2, 1)), ((), (2, 3)), ((4, 1, 1), (3,))):
        x, y = (np.asarray(RNG.standard_normal(s)) for s in shapes)
        check(minigen.where, torch.where, condition, x, y)
    check(minigen.where, torch.where, np.array(True), RNG.standard_normal(3), np.array(1.0))
    x = RNG.standard_normal((2, 3))
    check(lambda c, x: minigen.where(c, x, 2.0), lambda c, x: torch.where(c, x, 2.0), condition, x)
    check(lambda c, x: minigen.where(c, 1, x), lambda c, x: torch.where(c, 1, x), condition, x)
    check(lambda c, x: x.where(c, -x), lambda c, x: x.where(c, -x), condition, x)
    check(lambda x: minigen.where(x > 0, x, 0), lambda x: torch.where(x > 0, x, 0), x)


@pytest.mark.parametrize("first", [1, 2.5, True, "float32", "float64", "int64", "uint8", "0-d"])
@pytest.mark.parametrize("second", [1, 2.5, True, "float32", "float64", "int64", "bool", "0-d"])
def test_where_promotes_its_branches(first: object, second: object) -> None:
    def made(kind: object, module: object) -> object:
        if not isinstance(kind, str):
            return kind
        array = np.array(2.0) if kind == "0-d" else np.array([1, 0]).astype(kind)
        return module.from_numpy(array)  # type: ignore[attr-defined]

    ours = minigen.where(minigen.tensor([True, False]), made(first, minigen), made(second, minigen))
    theirs = torch.where(torch.tensor([True, False]), made(first, torch), made(second, torch))
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert ours.tolist() == theirs.tolist()


def test_where_alone_gives_indices() -> None:
    condition = RNG.random((3, 4)) < 0.5
    ours, theirs = minigen.where(minigen.tensor(condition)), torch.where(torch.tensor(condition))
    assert [i.tolist() for i in ours] == [i.tolist() for i in theirs]
    assert all(i.dtype == minigen.int64 for i in ours)


def test_a_gradient_does_not_leak_through_the_other_branch() -> None:
    x = minigen.tensor([0.0, 4.0], requires_grad=True)
    minigen.where(x > 0, x * 3, minigen.zeros(2)).sum().backward()
    assert x.grad.tolist() == [0.0, 3.0]


def test_where_wants_a_boolean_condition() -> None:
    for condition in (minigen.tensor([1, 0]), minigen.ones(2), True):
        with pytest.raises((RuntimeError, TypeError), match="where"):
            minigen.where(condition, minigen.ones(2), minigen.zeros(2))


# -------------------------------------------------------------------------------- closeness


def test_isclose() -> None:
    x = np.array([1.0, 1.0, 1e-9, math.inf, math.inf, -math.inf, math.nan, 0.0])
    y = np.array([1.0 + 9e-6, 1.0 + 2e-5, 0.0, math.inf, 1.0, math.inf, math.nan, math.inf])
    for options in ({}, {"rtol": 1e-3}, {"atol": 1.0}, {"equal_nan": True}, {"rtol": 0, "atol": 0}):
        check(
            lambda x, y, o=options: minigen.isclose(x, y, **o),
            lambda x, y, o=options: torch.isclose(x, y, **o),
            x,
            y,
            order=0,
        )
        assert minigen.allclose(minigen.tensor(x), minigen.tensor(y), **options) is torch.allclose(
            torch.tensor(x), torch.tensor(y), **options
        )
    check(minigen.isclose, torch.isclose, INTEGERS, INTEGERS + 1, order=0)
    check(minigen.isclose, torch.isclose, FLAGS[:, None], FLAGS, order=0)
    same = minigen.ones(3)
    assert same.allclose(same + 1e-7) is True
    with pytest.raises(RuntimeError, match=r"float32.*float64"):
        minigen.isclose(same, same.double())
    with pytest.raises(RuntimeError, match="negative"):
        minigen.isclose(same, same, rtol=-1.0)


def test_equal() -> None:
    x = minigen.tensor([1.0, 2.0])
    assert minigen.equal(x, minigen.tensor([1, 2])) is True
    assert minigen.equal(x, x.double()) is True
    assert x.equal(minigen.tensor([1.0, 2.5])) is False
    assert minigen.equal(x, minigen.ones(1)) is False
    assert minigen.equal(minigen.tensor([math.nan]), minigen.tensor([math.nan])) is False
    with pytest.raises(TypeError, match="equal"):
        minigen.equal(x, 1)


def test_comparisons_are_not_recorded() -> None:
    x = minigen.ones(2, requires_grad=True)
    assert not (x > 0).requires_grad
    assert not minigen.isnan(x).requires_grad
