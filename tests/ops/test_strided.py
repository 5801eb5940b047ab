"""as_strided against torch: any geometry of any input, and what it may not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from tests.expressions import both_reject, function, listed, normal, same
from tests.oracle import check

EXPRESSIONS = """
m.as_strided(x, (2, 3), (4, 1)) | x.as_strided((3, 3), (1, 1)) | x.as_strided((2, 2), (1, 3), 5)
x[1].as_strided((2, 2), (1, 1)) | x[1].as_strided((2, 2), (1, 1), 0) | x.as_strided((4,), (0,), 2)
x.T.as_strided((2, 3), (1, 2)) | x[:, 1:3].as_strided((3,), (2,)) | x.as_strided((0, 2), (3, 1))
x.as_strided((), ()) | (x * 2).as_strided((3, 2, 2), (1, 4, 1), 1) | x.as_strided((12,), (1,), 0)
x[0].expand(2, 4).as_strided((3,), (1,)) | x.as_strided((2,), (1,)).as_strided((2, 2), (3, 0), 4)
x[:0].as_strided((2, 0), (1, 1), 3)
"""


def compare(expression, x):
    """Without numbers: they see elements outside the input as well, which get no gradient."""
    ours, theirs = function(expression, minigen), function(expression, torch)
    check(ours, theirs, x, numeric=False)
    check(lambda a: ours(a) ** 2, lambda a: theirs(a) ** 2, x, numeric=False)


@pytest.mark.parametrize("expression", listed(EXPRESSIONS))
def test_as_strided(expression):
    compare(expression, normal(3, 4))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(0, 3), max_size=3),
    strides=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    offset=st.integers(0, 5),
    form=st.sampled_from(["x", "x.T", "x[:, 1:]", "x[::2]", "x.clone()"]),
)
def test_any_geometry(sizes, strides, offset, form):
    strides = strides[: len(sizes)]
    compare(f"({form}).as_strided({sizes}, {strides}, {offset})", normal(6, 5))


def test_it_is_a_view_for_reading():
    x = minigen.arange(6.0).reshape(2, 3)
    view = x.as_strided((2, 2), (1, 1))
    x[0, 1] = 9
    assert view.tolist() == [[0.0, 9.0], [9.0, 2.0]]
    with pytest.raises(ValueError, match="read-only"):
        view.add_(1)


def test_numerically():
    same("x.as_strided((3, 3), (2, 1), 1)", normal(3, 4))


def test_storage_offset():
    for expression in ("x", "x[1]", "x[1:, 2:]", "x.T[2]", "x[0, 3]", "x[:0]", "x.clone()[2]"):
        a = normal(3, 4)
        ours = eval(expression, {"x": minigen.from_numpy(a)}).storage_offset()
        assert ours == eval(expression, {"x": torch.from_numpy(a)}).storage_offset(), expression


def test_memory_in_another_order():
    """A Fortran-ordered array is a memory of columns."""
    x = minigen.from_numpy(np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    assert x.as_strided((3,), (1,)).tolist() == [0.0, 3.0, 1.0]


@pytest.mark.parametrize(
    "expression",
    listed("""
    x.as_strided((13,), (1,)) | x.as_strided((2,), (-1,)) | x.as_strided((2, 2), (1,))
    x.as_strided((2,), (1,), -1) | x.as_strided((2,), (1,), 11) | x.as_strided((-1,), (1,))
    """),
)
def test_rejected(expression):
    both_reject(expression, normal(3, 4))
