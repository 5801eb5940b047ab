"""Element types: names, the default one, and promotion as PyTorch's over all pairs."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen import dtypes

NAMES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
PYTHON = [True, 3, 2.5]


def operands(kind: Any) -> tuple[Any, Any]:
    """One operand for minigen and for PyTorch: a dtype's name and a shape, or a number."""
    if not isinstance(kind, tuple):
        return kind, kind
    name, shape = kind
    array = np.ones(shape, name)
    return minigen.from_numpy(array), torch.from_numpy(array)


TENSORS = st.tuples(st.sampled_from(NAMES), st.sampled_from([(), (2,), (1, 2)]))
KINDS = TENSORS | st.sampled_from(PYTHON)


@settings(max_examples=600, deadline=None)
@given(TENSORS, KINDS)
def test_arithmetic_has_the_dtype_of_torch_result_type(first: Any, second: Any) -> None:
    (a, x), (b, y) = operands(first), operands(second)
    expected = str(torch.result_type(x, y)).removeprefix("torch.")
    assert (a * b).dtype.name == expected
    assert (b * a).dtype.name == expected
    assert minigen.result_type(a, b).name == expected
    quotient = str((x / y).dtype).removeprefix("torch.")
    assert (a / b).dtype.name == quotient
    quotient = str((y / x).dtype).removeprefix("torch.")
    assert (b / a).dtype.name == quotient


def test_every_pair_once() -> None:
    """What hypothesis draws at random, in full, for the plain tensors."""
    wrong = []
    for first in NAMES:
        for second in NAMES:
            for shapes in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
                (a, x), (b, y) = operands((first, shapes[0])), operands((second, shapes[1]))
                ours, theirs = (a + b).dtype.name, str((x + y).dtype).removeprefix("torch.")
                if ours != theirs:
                    wrong.append((first, second, shapes, ours, theirs))
        for number in PYTHON:
            for shape in ((2,), ()):
                a, x = operands((first, shape))
                ours, theirs = (a + number).dtype.name, str((x + number).dtype)[6:]
                if ours != theirs:
                    wrong.append((first, number, shape, ours, theirs))
    assert not wrong


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.integers(-(2**40), 2**40) | st.floats(width=64))
def test_numbers_take_the_value_that_pytorch_gives_them(name: str, number: float) -> None:
    a, x = operands((name, (2,)))
    ours, theirs = (a * number).numpy(), (x * number).numpy()
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_functions_of_three_promote_together() -> None:
    for kinds in ((("int64", (2,)), ("float32", ()), 2.5), (("uint8", (2,)), ("int8", (2,)), 1)):
        (a, x), (b, y), (c, z) = map(operands, kinds)
        ours, theirs = minigen.clamp(a, b, c) if kinds[2] == 1 else a + b + c, x + y + z
        assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")


def test_result_type_of_pytorch() -> None:
    assert minigen.result_type(minigen.ones(2), 1.0) is minigen.float32
    assert minigen.result_type(1, 2.5) is minigen.float32
    assert minigen.promote_types(minigen.uint8, minigen.int8) is minigen.int16
    for first in NAMES:
        for second in NAMES:
            ours = minigen.promote_types(getattr(minigen, first), getattr(minigen, second))
            theirs = torch.promote_types(getattr(torch, first), getattr(torch, second))
            assert ours.name == str(theirs).removeprefix("torch.")
    with pytest.raises(TypeError, match="tensors or numbers"):
        minigen.result_type(minigen.ones(2), "a")


def test_remembered_numbers_stay_apart() -> None:
    x = minigen.ones(1)
    assert math.copysign(1, (x * 0.0).item()) == 1
    assert math.copysign(1, (x * -0.0).item()) == -1
    assert (x * True).item() == 1.0
    assert (x.double() * 0.1).item() == 0.1
    assert (x * 0.1).item() == np.float32(0.1)
    for n in range(1, 3000):
        assert (x * float(n)).item() == n
    number = dtypes.promote((np.ones(2), 7.5))[1]
    with pytest.raises(ValueError, match="read-only"):
        number[()] = 8


def test_numpy_scalars_count_as_numbers() -> None:
    x, y = minigen.tensor([1, 2]), torch.tensor([1, 2])
    for number in (np.float64(2.5), np.float32(2.5)):
        assert (x * number).dtype.name == str((y * number).dtype).removeprefix("torch.")


def test_numpy_arrays_on_either_side() -> None:
    x = minigen.ones(2)
    assert (x + np.ones(2)).dtype is minigen.float64
    assert isinstance(np.ones(2) + x, minigen.Tensor)
    assert (np.float32(2) * x).tolist() == [2, 2]


# ------------------------------------------------------------------------------- the names


def test_names() -> None:
    for name in NAMES:
        ours, theirs = getattr(minigen, name), getattr(torch, name)
        assert repr(ours) == f"minigen.{name}"
        assert ours.is_floating_point == theirs.is_floating_point
        assert ours.itemsize == theirs.itemsize
        assert dtypes.as_dtype(np.dtype(name)) is ours
        assert dtypes.as_dtype(ours) is ours
        assert copy.deepcopy(ours) is ours
        assert pickle.loads(pickle.dumps(ours)) is ours
    assert minigen.half is minigen.float16
    assert minigen.double is minigen.float64
    assert minigen.long is minigen.int64
    assert dtypes.as_dtype(float) is minigen.float64
    assert dtypes.as_dtype(">f4") is minigen.float32


@pytest.mark.parametrize(
    "given", ["complex64", np.uint16, str, object, None, 3, "nonsense", complex]
)
def test_dtypes_that_are_not_offered(given: Any) -> None:
    with pytest.raises(TypeError, match="not offered; choose one of float16"):
        dtypes.as_dtype(given)


def test_the_default_dtype_is_floating() -> None:
    assert minigen.get_default_dtype() is minigen.float32
    with pytest.raises(TypeError, match="floating"):
        minigen.set_default_dtype(minigen.int64)
    minigen.set_default_dtype(minigen.float64)
    try:
        assert (minigen.tensor([1]) * 2.5).dtype is minigen.float64
        assert (minigen.tensor([1]) / 2).dtype is minigen.float64
        assert minigen.tensor([1]).exp().dtype is minigen.float64
    finally:
        minigen.set_default_dtype(minigen.float32)
