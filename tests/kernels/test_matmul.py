"""Every rung of matmul against the float64 reference, inside its a-priori error bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = [rung.name for rung in kernels.rungs("matmul") if rung.name != "reference"]
REFERENCE = kernels.get("matmul", "reference")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Kernels that ask for scratch memory by np.empty are compiled before that is poisoned."""
    for rung in RUNGS:
        for dtype in UNIT:
            kernels.get("matmul", rung)(np.ones((1, 1), dtype), np.ones((1, 1), dtype))


SHAPES = [
    ((1, 1), (1, 1)),
    ((2, 3), (3, 5)),
    ((4, 8), (8, 3)),
    ((5, 17), (17, 33)),
    ((33, 64), (64, 65)),
    ((64, 65), (65, 48)),
    ((65, 33), (33, 97)),
    ((7, 200), (200, 49)),
    ((2, 3, 5, 7), (7, 4)),
    ((4, 1, 5, 6), (3, 6, 7)),
    ((3, 5, 6), (3, 6, 2)),
    ((5,), (5,)),
    ((3, 4, 5), (5,)),
    ((5,), (2, 5, 3)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 3), (3, 0)),
    ((0, 2, 3), (3, 4)),
    ((2, 3, 4), (2, 4, 0)),
]


def check(rung: str, a: np.ndarray, b: np.ndarray) -> None:
    """|c - ab| <= (k + 1) u |a||b|, and shape, dtype and layout as promised."""
    before = a.copy(), b.copy()
    c = kernels.get("matmul", rung)(a, b)
    exact = REFERENCE(a, b)
    bound = (a.shape[-1] + 1) * UNIT[str(a.dtype)] * REFERENCE(np.abs(a), np.abs(b))
    assert isinstance(c, np.ndarray)
    assert c.dtype == a.dtype
    assert c.shape == exact.shape == np.matmul(a, b).shape
    assert c.flags.c_contiguous
    assert (np.abs(c - exact) <= bound).all()
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_ragged_sizes(rung, dtype, a, b, rng, poisoned) -> None:
    check(rung, rng.standard_normal(a).astype(dtype), rng.standard_normal(b).astype(dtype))


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
def test_any_strides(rung, dtype, rng, poisoned) -> None:
    wide = rng.standard_normal((6, 34, 40)).astype(dtype)
    fortran = np.asfortranarray(wide[0])
    repeated = np.broadcast_to(wide[:1, :5], (6, 5, 40))  # zero stride, read-only
    backwards = wide[:, ::-1, ::2]
    check(rung, fortran, fortran.T)
    check(rung, fortran.T, fortran)
    check(rung, repeated, wide.swapaxes(1, 2))
    check(rung, backwards, backwards.swapaxes(1, 2))
    check(rung, wide.transpose(1, 0, 2), wide.transpose(1, 2, 0))
    check(rung, wide[0], np.broadcast_to(wide[0, 0, :1], (40, 3)))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RUNGS),
    st.sampled_from(sorted(UNIT)),
    st.tuples(*[st.integers(0, 70)] * 3),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_any_size(rung, dtype, mkn, batch, seed) -> None:
    rng = np.random.default_rng(seed)
    m, k, n = mkn
    a, b = rng.standard_normal((batch, m, k)), rng.standard_normal((k, n))
    check(rung, a.astype(dtype), b.astype(dtype))


@pytest.mark.parametrize("rung", RUNGS)
def test_nan_and_infinity_come_through(rung) -> None:
    a = np.array([[1, np.nan], [np.inf, 1], [np.inf, -np.inf], [0, 2]], np.float32)
    with np.errstate(invalid="ignore"):
        c = kernels.get("matmul", rung)(a, np.ones((2, 3), np.float32))
    assert np.isnan(c[[0, 2]]).all()
    assert np.isposinf(c[1]).all()
    assert (c[3] == 2).all()


def test_integers_are_multiplied_exactly_by_numpy() -> None:
    a = np.array([[2**40, 1]])
    function = kernels.select("matmul", a, a.T)
    assert function is kernels.get("matmul", "numpy")
    assert function(a, a.T)[0, 0] == 2**80 % 2**64 + 1


def test_the_reference_is_the_definition(rng) -> None:
    a, b = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal((4, 2))
    by_hand = [
        [sum(float(a[i, k]) * b[k, j] for k in range(4)) for j in range(2)] for i in range(3)
    ]
    assert REFERENCE(a, b).dtype == np.float64
    np.testing.assert_allclose(REFERENCE(a, b), by_hand, rtol=1e-14)


@pytest.mark.parametrize("rung", RUNGS)
def test_shapes_that_do_not_fit(rung) -> None:
    with pytest.raises(ValueError):
        kernels.get("matmul", rung)(np.ones((2, 3)), np.ones((4, 2)))
