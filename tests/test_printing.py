"""Tensors print exactly as PyTorch prints them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigen
from minigen.printing import OPTIONS, set_printoptions

NAN, INF = math.nan, math.inf


@pytest.fixture(autouse=True)
def _default_options() -> Iterator:
    yield
    set_printoptions(profile="default")
    torch.set_printoptions(profile="default", sci_mode=None)


def same(array: np.ndarray) -> None:
    """Equal but for the name in `dtype=...`, which is two letters longer than PyTorch's."""
    ours, theirs = repr(minigen.from_numpy(array.copy())), repr(torch.from_numpy(array.copy()))
    note = f"dtype=minigen.{array.dtype.name}"
    ours, theirs = (
        ours.replace(f",\n       {note}", ", " + note),
        theirs.replace("torch.", "minigen."),
    )
    assert ours == theirs.replace(f",\n       {note}", ", " + note)


VALUES = [
    0.0, -0.0, 1.0, -1.0, 1.5, NAN, INF, -INF, 1e-5, 1e-4, 1e10, 123456.0, 123456.5, 1e8, 1e9, 0.1,
    1e-40, 16777216.0, 1000.5, 1001.5,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("others", [[], [1.0], [-2.5, 0.0], [NAN], [INF, 2.0], [1e6]])
def test_floats(value: float, others: list) -> None:
    same(np.array([value, *others], "float32"))
    same(np.array([[value, *others]], "float64"))
    same(np.float32([value]).reshape(()))


SHAPES = [
    (), (0,), (0, 3), (2, 0, 3), (1,), (3,), (2, 3), (2, 2, 2), (1, 1, 1, 1), (37,), (7, 11),
    (1000,), (1001,), (50, 50), (3, 400), (400, 3), (2, 3, 4, 50), (7, 7, 7, 7),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"],
)
def test_shapes_and_dtypes(shape: tuple, dtype: str) -> None:
    rng = np.random.default_rng(len(shape))
    same(np.asarray(rng.standard_normal(shape) * 30).astype(dtype))
    same(np.asarray(rng.integers(0, 100, shape)).astype(dtype))


FINITE = st.floats(width=32, allow_subnormal=False)


@settings(max_examples=120, deadline=None)
@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=8), elements=FINITE))
def test_any_floats(array: np.ndarray) -> None:
    same(array)


@settings(max_examples=100, deadline=None)
@given(st.integers(-7, 9), st.integers(1, 30), st.integers(0, 5), st.booleans())
def test_floats_of_one_size(power: int, count: int, seed: int, whole: bool) -> None:
    values = np.random.default_rng(seed).standard_normal(count) * 10.0**power
    same((np.round(values) if whole else values).astype("float32"))


def test_the_graph_is_noted() -> None:
    for made in (
        lambda m: m.tensor([1.0, 2.0], requires_grad=True),
        lambda m: m.tensor([1.0, 2.0], requires_grad=True) * 2,
        lambda m: m.tensor([1.5] * 12, requires_grad=True).exp(),
        lambda m: m.tensor([[1.5] * 12], requires_grad=True),
        lambda m: m.tensor(2.0, requires_grad=True) ** 2,
        lambda m: m.zeros(0, requires_grad=True),
        lambda m: m.zeros(0, 3),
        lambda m: m.zeros(3, 2).T,
        lambda m: m.ones(5, 5)[::2],
    ):
        assert repr(made(minigen)) == repr(made(torch))
    assert str(minigen.ones(1)) == "tensor([1.])"
    x = minigen.ones(2, dtype=minigen.float64, requires_grad=True)
    assert repr(x) == "tensor([1., 1.], dtype=minigen.float64, requires_grad=True)"
    assert repr(minigen.zeros(0, dtype=minigen.int64)) == "tensor([], dtype=minigen.int64)"
    assert f"{minigen.tensor(2.5):.3f}" == "2.500"


@pytest.mark.parametrize("value", [1.0, 10.0, 1.5, -148778.0])
def test_notes_go_to_a_new_line_where_pytorch_puts_them(value: float) -> None:
    for count in range(1, 40):
        for made in (
            lambda m, n=count: m.full((n,), value, requires_grad=True),
            lambda m, n=count: m.full((2, n), value, requires_grad=True),
            lambda m, n=count: m.full((n,), value, requires_grad=True) * 1,
        ):
            assert repr(made(minigen)) == repr(made(torch))


def test_lines_stay_within_the_width() -> None:
    for count in range(1, 40):
        text = repr(minigen.full((count,), -148778.0, dtype=minigen.float64))
        assert max(map(len, text.splitlines())) <= 80


def test_the_default_dtype_is_not_noted() -> None:
    minigen.set_default_dtype(minigen.float64)
    try:
        assert repr(minigen.ones(1)) == "tensor([1.])"
        single = minigen.ones(1, dtype=minigen.float32)
        assert repr(single) == "tensor([1.], dtype=minigen.float32)"
    finally:
        minigen.set_default_dtype(minigen.float32)


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 2}, {"precision": 8}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1},
        {"linewidth": 40}, {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"},
        {"profile": "full"}, {"profile": "short", "precision": 3},
    ],
)  # fmt: skip
def test_print_options(options: dict) -> None:
    set_printoptions(**options)
    torch.set_printoptions(**options)
    rng = np.random.default_rng(0)
    for shape in ((), (3,), (20,), (4, 9), (3, 4, 5)):
        same(np.asarray(rng.standard_normal(shape), "float32"))
        same(np.asarray(rng.standard_normal(shape) * 1e6, "float32"))
        same(np.asarray(rng.integers(0, 9, shape)))


def test_unknown_profiles_are_refused() -> None:
    with pytest.raises(ValueError, match="profile"):
        set_printoptions(profile="long")
    assert OPTIONS.precision == 4
