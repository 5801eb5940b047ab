"""Strategies draw what they promise; a user's test with them takes three lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings

import minigen
from minigen.nn import functional as F
from minigen.testing import assert_gradients
from minigen.testing import strategies as st

quick = settings(max_examples=25, deadline=None)


@given(st.arrays(st.shapes()))
@quick
def test_a_users_test_in_three_lines(x):
    assert_gradients(lambda x: minigen.sin(x) * x, x)


@given(st.broadcastable_arrays(3))
@quick
def test_broadcast_arguments(arrays):
    assert_gradients(lambda x, y, z: x * minigen.tanh(y) + z, *arrays)


@given(st.arrays(st.shapes(min_dims=1), distinct=True))
@quick
def test_distinct_numbers_have_no_ties(x):
    assert len(np.unique(x)) == x.size
    assert np.diff(np.sort(x, axis=None)).min(initial=1.0) > 1e-3
    assert_gradients(lambda x: minigen.sort(x, -1)[0], x)


@given(st.arrays(away_from=[0.0, 1.0]))
@quick
def test_numbers_keep_away_from_kinks(x):
    assert (np.abs(x) >= 0.05).all()
    assert (np.abs(x - 1) >= 0.05).all()
    assert_gradients(lambda x: F.relu(x) + minigen.clamp(x, max=1.0), x)


@given(st.broadcastable_shapes(3, min_side=0))
@quick
def test_shapes_broadcast(shapes):
    np.broadcast_shapes(*shapes)


@pytest.mark.parametrize("layout", st.LAYOUTS)
def test_layouts(layout):
    values = np.arange(12.0).reshape(3, 4)
    array = st.laid_out(values, np.float32, layout)
    assert array.shape == (3, 4)
    assert array.dtype == np.float32
    if layout != "zero-stride":
        np.testing.assert_array_equal(array, values)
    signs = {
        "contiguous": array.flags.c_contiguous,
        "fortran": array.flags.f_contiguous,
        "transposed": array.base is not None and array.flags.f_contiguous,
        "strided": array.strides == (64, 8),
        "reversed": array.strides[-1] == -4,
        "zero-stride": array.strides[-1] == 0,
    }
    assert signs[layout]


@pytest.mark.parametrize(
    "wanted",
    [
        lambda x: x.ndim == 0,
        lambda x: x.ndim == 3,
        lambda x: 1 in x.shape,
        lambda x: x.ndim == 2 and not x.flags.c_contiguous and not x.flags.f_contiguous,
        lambda x: 0 in x.strides and x.size > 1,
    ],
)
def test_every_kind_is_drawn(wanted):
    options = settings(max_examples=500, derandomize=True, suppress_health_check=list(HealthCheck))
    assert wanted(find(st.arrays(), wanted, settings=options))


@given(st.indices(3, negative=True))
@quick
def test_indices_are_in_range(index):
    assert index.dtype == np.int64
    assert ((index >= -3) & (index < 3)).all()
