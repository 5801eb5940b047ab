"""Cholesky, QR, SVD, eigenvalues, rank and pseudoinverse against torch.

Signs of vectors, and bases of what is degenerate, are free: outputs that depend on them are
compared by way of functions that do not.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from tests.expressions import both_reject, listed, normal, same
from tests.oracle import check, close

SQUARE = [(1, 1), (2, 2), (4, 4), (0, 0), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2), (2, 0, 0)]
SHAPES = [
    (1, 1), (3, 3), (4, 2), (2, 4), (1, 3), (3, 1), (2, 4, 3), (2, 3, 4), (2, 1, 3, 2), (0, 2),
    (2, 0), (0, 0), (0, 2, 3), (2, 0, 2), (2, 2, 0),
]  # fmt: skip


@pytest.mark.parametrize("shape", SQUARE, ids=str)
@pytest.mark.parametrize("options", ["", ", upper=True"])
def test_cholesky(shape, options):
    same(f"m.linalg.cholesky(x @ x.mT + m.eye(x.shape[-1]).double(){options})", normal(*shape))


def test_cholesky_reads_one_triangle_and_has_a_symmetric_gradient():
    a = normal(3, 3) + 9 * np.eye(3)
    for options in ("", ", upper=True"):
        x, y = minigen.from_numpy(a).requires_grad_(), torch.from_numpy(a.copy()).requires_grad_()
        ours = eval(f"minigen.linalg.cholesky(x{options})")
        theirs = eval(f"torch.linalg.cholesky(y{options})")
        close(ours, theirs, 1e-12, "value")
        (ours * ours.exp()).sum().backward()
        (theirs * theirs.exp()).sum().backward()
        close(x.grad, y.grad, 1e-12, "gradient")


def test_cholesky_of_an_indefinite_matrix():
    batch = np.stack([np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]])])
    error = both_reject("m.linalg.cholesky(x)", batch)
    assert isinstance(error, minigen.linalg.LinAlgError)
    assert "not positive definite (batch entry 1)" in str(error)
    both_reject("m.linalg.cholesky(x)", np.full((2, 2), np.nan))


# ---------------------------------------------------------------------------------------- QR


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_qr(shape):
    """Householder's reflections fix the signs, so all of Q and R can be compared."""
    same("m.linalg.qr(x)", normal(*shape))
    same("m.linalg.qr(x)[0]", normal(*shape))
    same("m.linalg.qr(x).R", normal(*shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", ["complete", "r"])
def test_modes_of_qr(shape, mode):
    differentiable = mode == "complete" and shape[-2] <= shape[-1]
    same(f"m.linalg.qr(x, mode={mode!r})", normal(*shape), order=2 if differentiable else 0)


def test_modes_of_qr_without_a_gradient():
    for mode, reason in (("complete", "arbitrary choice"), ("r", "computes no Q")):
        x = minigen.from_numpy(normal(3, 2)).requires_grad_()
        with pytest.raises(RuntimeError, match=reason):
            minigen.linalg.qr(x, mode).R.sum().backward()


# --------------------------------------------------------------------------------------- SVD

INVARIANT = """
m.linalg.svd(x, full_matrices=False).S | m.linalg.svdvals(x) | m.svd(x).S | x.svd()[1]
(lambda u, s, vh: (u * s.exp().unsqueeze(-2)) @ vh)(*m.linalg.svd(x, full_matrices=False))
(lambda u, s, vh: (u * s.unsqueeze(-2)) @ u.mT)(*m.linalg.svd(x, full_matrices=False))
(lambda u, s, vh: (vh.mT * s.unsqueeze(-2).sin()) @ vh)(*m.linalg.svd(x, full_matrices=False))
(lambda u, s, vh: u[..., :1] @ vh[..., :1, :])(*m.linalg.svd(x, full_matrices=False))
(lambda u, s, vh: u[..., :1] @ u[..., :1].mT)(*m.linalg.svd(x))
(lambda u, s, vh: vh[..., :1, :] ** 2)(*m.linalg.svd(x))
(lambda u, s, v: (u * s.unsqueeze(-2).exp()) @ v.mT)(*m.svd(x))
"""


@pytest.mark.parametrize("shape", [(3, 3), (1, 1), (4, 2), (2, 4), (1, 3), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("expression", listed(INVARIANT))
def test_svd(expression, shape):
    same(expression, normal(*shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("full", [True, False])
def test_shapes_and_orthogonality_of_svd(shape, full):
    a = normal(*shape)
    ours = minigen.linalg.svd(minigen.from_numpy(a), full)
    theirs = torch.linalg.svd(torch.from_numpy(a), full)
    for one, other in zip(ours, theirs):
        assert tuple(one.shape) == tuple(other.shape)
    close(ours.S, theirs.S, 1e-12, "S")
    same("m.linalg.svdvals(x)", a)
    for vectors in (ours.U, ours.Vh.mT):
        gram = vectors.mT @ vectors
        np.testing.assert_allclose(
            gram.array, np.broadcast_to(np.eye(gram.shape[-1]), gram.shape), atol=1e-12
        )


def test_singular_values_that_are_equal_have_a_gradient():
    """As subgradients, those of torch: the values have kinks there."""
    for f, g in (
        (minigen.linalg.svdvals, torch.linalg.svdvals),
        (lambda x: minigen.linalg.svd(x).S, lambda x: torch.linalg.svd(x).S),
    ):
        check(f, g, np.eye(3), order=1, numeric=False)


def test_svd_of_what_is_not_finite():
    for bad in (np.nan, np.inf):
        x = minigen.tensor([[1.0, bad], [2.0, 3.0]])
        for name in ("svd", "svdvals", "pinv"):
            with pytest.raises(minigen.linalg.LinAlgError, match="NaN or infinity"):
                getattr(minigen.linalg, name)(x)


# ------------------------------------------------------------------------------- eigenvalues

SYMMETRIC = """
m.linalg.eigvalsh(x + x.mT) | m.linalg.eigh(x + x.mT).eigenvalues | m.linalg.eigh(x @ x.mT)[0]
(lambda l, v: (v * l.sin().unsqueeze(-2)) @ v.mT)(*m.linalg.eigh(x + x.mT))
(lambda l, v: v[..., :1] @ v[..., :1].mT)(*m.linalg.eigh(x + x.mT))
(lambda l, v: v ** 2)(*m.linalg.eigh(x + x.mT, UPLO="U"))
"""


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 3, 3), (2, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("expression", listed(SYMMETRIC))
def test_eigh(expression, shape):
    same(expression, normal(*shape))


@pytest.mark.parametrize("shape", SQUARE, ids=str)
@pytest.mark.parametrize("uplo", ["L", "U", "l"])
def test_one_triangle_is_read(shape, uplo):
    a = normal(*shape)
    same(f"m.linalg.eigvalsh(x, {uplo!r})", a, order=0)
    ours = minigen.linalg.eigh(minigen.from_numpy(a), uplo)
    theirs = torch.linalg.eigh(torch.from_numpy(a), uplo)
    close(ours.eigenvalues, theirs.eigenvalues, 1e-12, "values")
    close(ours.eigenvectors**2, theirs.eigenvectors**2, 1e-10, "vectors")


def test_the_gradient_with_respect_to_a_matrix_that_is_not_symmetric():
    a, c = normal(3, 3), normal(3, 3)
    x, y = minigen.from_numpy(a).requires_grad_(), torch.from_numpy(a.copy()).requires_grad_()
    (minigen.linalg.eigh(x).eigenvectors ** 2 * minigen.from_numpy(c)).sum().backward()
    (torch.linalg.eigh(y).eigenvectors ** 2 * torch.from_numpy(c)).sum().backward()
    close(x.grad, y.grad, 1e-10, "gradient")


def test_eigenvalues_that_are_equal_have_a_gradient():
    same("m.linalg.eigh(x).eigenvalues", np.eye(3), order=0)
    x = minigen.eye(3).requires_grad_()
    minigen.linalg.eigh(x).eigenvalues.sum().backward()
    np.testing.assert_allclose(x.grad.array, np.eye(3), atol=1e-6)


def test_factors_changed_in_place_do_not_reach_the_gradient():
    """The graph keeps factors of its own."""
    a, found = normal(3, 3), []
    for spoil in (False, True):
        x = minigen.from_numpy(a).requires_grad_()
        values, vectors = minigen.linalg.eigh(x + x.mT)
        u, s, _ = minigen.linalg.svd(x)
        q, r = minigen.linalg.qr(x)
        loss = values[0] + s.sum() + r.sum()
        if spoil:
            for factor in (values, vectors, u, s, q, r):
                factor.detach().zero_()
        loss.backward()
        found.append(x.grad.array)
    np.testing.assert_array_equal(*found)


# ----------------------------------------------------------------------- rank, pseudoinverse


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pinv(shape):
    same("m.linalg.pinv(x)", normal(*shape))
    same("m.pinverse(x)", normal(*shape), order=0)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3)])
def test_pinv_at_lower_rank(shape):
    """The derivative along directions that keep the rank: through factors of two columns."""
    same("m.linalg.pinv(x @ y)", normal(shape[0], 2), normal(2, shape[1]))


LOW = np.diag([3.0, 2.0, 1e-3, 1e-20])


@pytest.mark.parametrize(
    "options",
    listed("""
    atol=0.01 | rtol=0.01 | atol=2.5, rtol=0.1 | rtol=0.9 | atol=m.tensor(0.01) | hermitian=True
    hermitian=True, atol=2.0 | atol=0.0 | rtol=0.0 | atol=0.0, rtol=0.0
    """),
)
def test_tolerances(options):
    same(f"m.linalg.matrix_rank(x, {options})", LOW, order=0)
    same(f"m.linalg.matrix_rank(m.stack([x, -x]), {options})", LOW, order=0)
    same(f"m.linalg.pinv(x, {options})", LOW, order=0)
    same(f"m.linalg.pinv(m.stack([x, -x]), {options})", LOW, order=0)


def test_rank():
    for expression in listed("""
        m.linalg.matrix_rank(x) | m.linalg.matrix_rank(x[:2]) | m.linalg.matrix_rank(x, 2.5)
        m.linalg.matrix_rank(x[:0]) | m.linalg.matrix_rank(x[None][:0]) | m.linalg.pinv(x, 0.9)
        m.linalg.matrix_rank(m.stack([x, -x]), atol=m.tensor([0.01, 2.5]).double())
        m.linalg.matrix_rank(x * 0) | m.linalg.pinv(x * 0)
    """):
        same(expression, LOW, order=0)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(0, 3), min_size=2, max_size=4),
    form=st.sampled_from(["x", "x.mT", "x.flip(0)", "x[..., ::2]"]),
)
def test_decompositions_of_any_shape(shape, form):
    x = normal(*shape)
    same(f"m.linalg.svdvals({form})", x)
    same(f"m.linalg.qr({form})", x)
    same(f"m.linalg.pinv({form})", x)


@pytest.mark.parametrize(
    "expression",
    listed("""
    m.linalg.qr(x[0]) | m.linalg.qr(x, "full") | m.linalg.svd(x[0]) | m.linalg.eigh(x[:2])
    m.linalg.eigh(x, "X") | m.linalg.cholesky(x[:2]) | m.linalg.svd(x.half())
    m.linalg.qr(x.long())
    m.linalg.pinv(x[0]) | m.linalg.matrix_rank(x.long()) | m.linalg.eigvalsh(x.long())
    m.linalg.pinv(x[:2], hermitian=True)
    """),
)
def test_rejected(expression):
    both_reject(expression, normal(3, 3))


def test_the_older_names():
    a = normal(3, 3) @ np.diag([3.0, 2.0, 1.0])
    x, y = minigen.from_numpy(a), torch.from_numpy(a)
    with pytest.warns(UserWarning, match="deprecated"):
        q, r = minigen.qr(x[:, :2], some=False)
    assert (tuple(q.shape), tuple(r.shape)) == ((3, 3), (3, 2))
    with pytest.warns(UserWarning, match="deprecated"):
        lower = minigen.cholesky(x @ x.mT)
    close(lower, torch.linalg.cholesky(y @ y.mT), 1e-12, "cholesky")
    for options in ({"some": False}, {"compute_uv": False}):
        for one, other in zip(x[:2].svd(**options), y[:2].svd(**options)):
            close(one.abs(), other.abs(), 1e-10, str(options))
