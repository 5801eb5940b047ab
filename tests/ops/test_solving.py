"""solve, inverse and determinant against torch: batches, empty matrices, singular ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from tests.expressions import both_reject, function, listed, normal, same
from tests.oracle import check, close

rng = np.random.default_rng(31)

SQUARE = [(1, 1), (2, 2), (4, 4), (0, 0), (3, 2, 2), (2, 1, 3, 3), (0, 3, 3), (2, 0, 0)]


def regular(*shape: int) -> np.ndarray:
    """Random matrices, far from singular, of positive determinant."""
    return normal(*shape) / (shape[-1] + 1) + 3 * np.eye(shape[-1])


@pytest.mark.parametrize("shape", SQUARE, ids=str)
@pytest.mark.parametrize(
    "expression",
    listed("""
    m.linalg.inv(x) | m.inverse(x) | x.inverse() | m.linalg.inv(x.mT) | m.linalg.det(x) | x.det()
    m.linalg.slogdet(x) | m.slogdet(-x) | x.logdet() | m.det(x.mT)
    """),
)
def test_square(expression, shape):
    same(expression, regular(*shape))


SOLVE = [
    ((3, 3), (3,)), ((3, 3), (3, 2)), ((1, 1), (1,)), ((0, 0), (0, 2)), ((0, 0), (0,)),
    ((2, 3, 3), (2, 3)), ((2, 3, 3), (2, 3, 1)), ((2, 3, 3), (3, 4)), ((3, 3), (2, 3, 4)),
    ((2, 3, 3), (3,)), ((2, 1, 3, 3), (5, 3, 1)), ((3, 3), (3, 0)), ((0, 3, 3), (3, 2)),
    ((3, 3, 3), (3, 3)), ((2, 3, 3, 3), (3, 3)), ((1, 3, 3), (2, 3, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SOLVE, ids=str)
def test_solve(a, b):
    same("m.linalg.solve(x, y)", regular(*a), normal(*b))


@pytest.mark.parametrize(
    ("a", "b"), [((3, 3), (2, 3)), ((2, 3, 3), (4, 3)), ((3, 3), (5, 1, 3)), ((3, 3), (3, 3))]
)
def test_solve_from_the_right(a, b):
    same("m.linalg.solve(x, y, left=False)", regular(*a), normal(*b))


@pytest.mark.parametrize("options", ["", ", left=False", ", unitriangular=True"])
@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize(("a", "b"), [((3, 3), (3, 3)), ((2, 3, 3), (3, 3)), ((1, 1), (4, 1, 1))])
def test_solve_triangular(a, b, upper, options):
    same(f"m.linalg.solve_triangular(x, y, upper={upper}{options})", regular(*a), normal(*b))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_solve_of_any_shapes(data):
    n = data.draw(st.integers(0, 3))
    full = data.draw(st.lists(st.integers(0, 2), max_size=2))
    batches = []
    for _ in range(2):
        kept = full[data.draw(st.integers(0, len(full))) :]
        batches.append([1 if data.draw(st.booleans()) else extent for extent in kept])
    k = data.draw(st.integers(0, 2))
    a, b = regular(*batches[0], n, n), normal(*batches[1], n, k)
    same("m.linalg.solve(x, y)", a, b)
    same("m.linalg.solve(x.mT, y) @ m.linalg.inv(x)[..., :1, :]" if k == n == 1 else "x * 1", a, b)


# ------------------------------------------------------------------------------ singular ones

SINGULAR = {
    "zero": np.zeros((1, 1)),
    "rank 2 of 3": np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]]),
    "exactly": np.array([[1.0, 2.0], [2.0, 4.0]]),
    "a zero row": np.array([[1.0, 2.0, 5.0], [0.0, 0.0, 0.0], [3.0, 1.0, 4.0]]),
}


def polynomial(x: torch.Tensor) -> torch.Tensor:
    """The determinant of one matrix as Leibniz' sum over permutations."""
    n = x.shape[-1]
    total = torch.zeros((), dtype=x.dtype)
    for order in itertools.permutations(range(n)):
        inversions = sum(a > b for i, a in enumerate(order) for b in order[i:])
        total = total + (-1) ** inversions * math.prod(x[i, j] for i, j in enumerate(order))
    return total


@pytest.mark.parametrize("name", SINGULAR)
def test_det_of_singular_matrices(name):
    """Its gradient, the cofactors, exists there; so does the second one at rank n - 1."""
    matrix = SINGULAR[name]
    assert minigen.linalg.det(minigen.from_numpy(matrix)).item() == 0
    check(minigen.linalg.det, polynomial, matrix)
    check(lambda x: minigen.linalg.det(x) ** 2, lambda x: polynomial(x) ** 2, matrix)
    batch = np.stack([matrix, np.eye(len(matrix)), matrix.T])
    check(minigen.linalg.det, lambda x: torch.stack([polynomial(each) for each in x]), batch)


def test_gradient_of_det_at_rank_two_below():
    check(minigen.linalg.det, polynomial, np.zeros((3, 3)), order=1)
    check(minigen.linalg.det, polynomial, np.ones((3, 3)), order=1)


def test_singular_matrices_are_named():
    batch = np.stack([np.eye(2), np.zeros((2, 2)), np.eye(2)])
    for expression in ("m.linalg.inv(x)", "m.linalg.solve(x, x)"):
        error = both_reject(expression, batch)
        assert isinstance(error, minigen.linalg.LinAlgError)
        assert "singular (batch entry 1)" in str(error)
    assert "batch" not in str(both_reject("m.linalg.inv(x)", batch[1]))


def test_log_of_a_determinant_that_is_zero_or_negative():
    for matrix in (np.zeros((2, 2)), np.diag([1.0, -2.0]), np.array([[np.nan]])):
        for expression in ("m.linalg.slogdet(x)[1]", "m.logdet(x)", "m.linalg.det(x)"):
            same(expression, matrix, order=0)
    x = minigen.zeros(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"slogdet.*singular"):
        minigen.slogdet(x).logabsdet.backward()


def test_the_sign_has_a_gradient_of_zero():
    same("m.linalg.slogdet(x).sign", regular(2, 3, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    a, b = regular(3, 3).astype(dtype), normal(3).astype(dtype)
    for expression in ("m.linalg.inv(x)", "m.linalg.det(x)", "m.linalg.slogdet(x)[1]"):
        ours, theirs = function(expression, minigen), function(expression, torch)
        close(ours(minigen.from_numpy(a)), theirs(torch.from_numpy(a)), 1e-5, expression)
    assert minigen.linalg.solve(minigen.from_numpy(a), minigen.from_numpy(b)).array.dtype == dtype


def test_nan_passes_through():
    same("m.linalg.inv(x)", np.full((2, 2), np.nan), order=0)


@pytest.mark.parametrize(
    "expression",
    listed("""
    m.linalg.inv(x[0]) | m.linalg.inv(x[:2]) | m.linalg.det(x[:2]) | m.linalg.slogdet(x[0])
    m.linalg.inv((x * 0 + 1).long()) | m.linalg.det(x.half()) | m.linalg.solve(x, x[:2])
    m.linalg.solve(x, x[0], left=False) | m.linalg.solve(x, x.float()) | m.linalg.solve(x[:2], x)
    m.linalg.solve(m.stack([x, x]), m.stack([x, x, x])) | m.linalg.solve_triangular(x, x)
    m.linalg.solve_triangular(x, x[0], upper=True) | m.logdet(x[:2])
    """),
)
def test_rejected(expression):
    both_reject(expression, regular(3, 3))
