"""Triangular systems and erfinv against torch; what is positive definite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.ops.decompositions import is_positive_definite
from minigen.ops.inverse_erf import erfinv
from minigen.ops.triangular import solve_triangular
from tests.expressions import normal
from tests.oracle import check

BATCHES = [(), (1,), (3,), (2, 1), (0,), (2, 3)]
# the square makes the cotangent depend on the inputs
BOTH = [lambda y: y, lambda y: y * y]


def test_what_is_not_positive_definite():
    good = np.eye(2)
    batch = minigen.from_numpy(np.stack([good, -good, good, np.ones((2, 2)) - 2 * good]))
    assert is_positive_definite(batch).tolist() == [True, False, True, False]


def _well_conditioned(*shape: int) -> np.ndarray:
    n = shape[-1]
    return np.asarray(normal(*shape) / max(n, 1) + 2 * np.eye(n))


@pytest.mark.parametrize("after", BOTH)
@pytest.mark.parametrize("unitriangular", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 3), (3, 2)), ((1, 1), (1, 1)), ((0, 0), (0, 2)), ((3, 3), (3, 0)), ((2, 3, 3), (3, 4)),
     ((3, 3), (2, 3, 1)), ((4, 1, 3, 3), (2, 3, 2)), ((0, 3, 3), (3, 2)), ((40, 40), (40, 3)),
     ((2, 70, 70), (2, 70, 2))],
)  # fmt: skip
def test_solve_triangular(a, b, upper, left, unitriangular, after):
    """The whole matrix is passed: the other triangle must neither be read nor get a gradient."""
    options = {"upper": upper, "left": left, "unitriangular": unitriangular}
    right = b if left else (*b[:-2], b[-1], b[-2])
    check(
        lambda x, y: after(solve_triangular(x, y, **options)),
        lambda x, y: after(torch.linalg.solve_triangular(x, y, **options)),
        _well_conditioned(*a),
        normal(*right),
    )


def test_a_zero_on_the_diagonal_is_infinite_as_in_torch():
    a, b = np.diag([1.0, 0.0]), np.ones((2, 1))
    check(
        lambda x, y: solve_triangular(x, y, upper=False),
        lambda x, y: torch.linalg.solve_triangular(x, y, upper=False),
        a,
        b,
        order=0,
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 2), (2,)), ((2, 2), (3, 1)), ((2, 3), (2, 1)), ((2,), (2, 1))],
)
def test_systems_that_do_not_fit(a, b):
    with pytest.raises(RuntimeError, match=r"solve_triangular: .*float64 \("):
        solve_triangular(minigen.from_numpy(normal(*a)), minigen.from_numpy(normal(*b)), upper=True)
    with pytest.raises(RuntimeError):
        torch.linalg.solve_triangular(torch.zeros(a), torch.zeros(b), upper=True)


def test_one_dtype():
    with pytest.raises(RuntimeError, match="one dtype"):
        solve_triangular(minigen.eye(2), minigen.ones(2, 1).double(), upper=False)


# -------------------------------------------------------------------------------------- erfinv


def test_erfinv_everywhere():
    tail = 1 - np.logspace(-16, -1, 200)
    y = np.concatenate(
        [np.linspace(-1, 1, 401), tail, -tail, np.logspace(-300, -1, 100), [np.nan, 1.5, -2.0]]
    )
    ours, theirs = erfinv(minigen.from_numpy(y)).numpy(), torch.erfinv(torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=3e-15, atol=0)
    single = erfinv(minigen.tensor([0.5, 1.0, -1.0, 2.0])).numpy()
    np.testing.assert_allclose(single, torch.erfinv(torch.tensor([0.5, 1, -1, 2])), rtol=1e-6)
    assert single.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.999, 0.999), max_size=5))
def test_erfinv_gradients(values):
    x = np.asarray(values, np.float64)
    check(minigen.Tensor.erfinv, torch.erfinv, x)
    check(lambda x: erfinv(x) ** 2, lambda x: torch.erfinv(x) ** 2, x, numeric=False)
