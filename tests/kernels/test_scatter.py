"""add_rows: sums into rows that are named more than once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = ["numpy", "numba"]
both = pytest.mark.parametrize("dtype", UNIT)
every_rung = pytest.mark.parametrize("rung", RUNGS)


@both
@every_rung
@settings(deadline=None)  # the first call compiles
@given(
    n=st.integers(0, 60), width=st.sampled_from([0, 1, 2, 7, 32, 33, 64]),
    count=st.integers(1, 9), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_add_rows(rung, dtype, n, width, count, seed) -> None:
    rng = np.random.default_rng(seed)
    values, rows = rng.standard_normal((n, width)).astype(dtype), rng.integers(-count, count, n)
    add = kernels.get("add_rows", rung)
    exact, size = (
        kernels.get("add_rows", "reference")(v, rows, count) for v in (values, np.abs(values))
    )
    for given_values in (values, np.asfortranarray(values), values[::-1].copy()[::-1]):
        table = add(given_values, np.repeat(rows, 2)[::2], count)
        assert table.dtype == dtype
        assert table.shape == (count, width)
        assert (np.abs(table - exact) <= (n + 1) * UNIT[dtype] * size).all()
        np.testing.assert_array_equal(table, add(given_values, rows, count))  # repeats bit by bit


def test_rows_are_added_in_their_order() -> None:
    values = np.array([[1e8], [1.0], [-1e8]], np.float32)
    rows = np.zeros(3, np.int64)
    table = kernels.get("add_rows", "numba")
    assert table(values, rows, 1) == 0  # 1e8 + 1 is 1e8
    assert table(values[[0, 2, 1]], rows, 1) == 1


@every_rung
def test_add_rows_against_torch(rung, rng) -> None:
    values, rows = rng.standard_normal((500, 40)), rng.integers(0, 20, 500)
    theirs = torch.zeros(20, 40, dtype=torch.float64)
    theirs.index_add_(0, torch.from_numpy(rows), torch.from_numpy(values))
    np.testing.assert_allclose(
        kernels.get("add_rows", rung)(values, rows, 20), theirs.numpy(), rtol=1e-11, atol=1e-12
    )


@every_rung
@pytest.mark.parametrize("wrong", [-4, 3, 2**40])
def test_a_row_outside_the_table(rung, wrong) -> None:
    with pytest.raises(IndexError, match=f"{wrong} at 1 is no row of a table of 3"):
        kernels.get("add_rows", rung)(np.ones((2, 5)), np.array([0, wrong]), 3)


@every_rung
def test_as_many_rows_as_values(rung) -> None:
    with pytest.raises(ValueError, match="rows for values"):
        kernels.get("add_rows", rung)(np.ones((2, 5)), np.array([0]), 3)


@every_rung
def test_nan_stays_in_its_row(rung) -> None:
    values = np.ones((3, 40), np.float32)
    values[1, 7] = np.nan
    table = kernels.get("add_rows", rung)(values, np.array([2, 0, 2]), 4)
    assert np.isnan(table).sum() == 1
    assert np.isnan(table[0, 7])
