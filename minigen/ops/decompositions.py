"""Factorizations of matrices, batched over leading dimensions: Cholesky, QR, SVD, eigenvalues.

Each is computed once.  An ordinary backward uses the factors that the forward pass found; where
the gradient itself has to be differentiated, its rule factorizes the input again, as tensors, so
that the rule is a differentiable function of the input alone.

What a factorization leaves open (the signs of singular vectors, say) must not matter to the loss:
gradients through the vectors exist only if the singular or eigenvalues are distinct, and are those
of functions that do not depend on the choice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import Variable, differentiable
from minigen.errors import LinAlgError, ShapeError, describe
from minigen.ops.cumulative import diagonal_mask
from minigen.ops.joining import cat
from minigen.ops.linalg import matmul
from minigen.ops.masking import fill_where
from minigen.ops.rearrange import tril
from minigen.ops.shape import adjoint, unsqueeze
from minigen.ops.solving import check_matrices, first_failing, solve_matrices

__all__ = ["cholesky", "eigh", "eigvalsh", "qr", "svd", "svdvals"]


class QR(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


class SVD(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


class Eigh(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


def _array(x: Any) -> Any:
    return getattr(x, "array", x)


# ---------------------------------------------------------------------------------- Cholesky


@differentiable
def is_positive_definite(input: Any) -> Any:
    """Whether Cholesky's factorisation exists: (..., n, n) -> (...) of bool.

    Only the lower triangle is read.
    """
    answers = np.ones_like(input, bool, shape=input.shape[:-2])
    try:
        np.linalg.cholesky(input)
    except np.linalg.LinAlgError:  # at least one of them fails: which?
        for index in np.ndindex(*answers.shape):
            try:
                np.linalg.cholesky(input[index])
            except np.linalg.LinAlgError:
                answers[index] = False
    return answers


@differentiable
def _cholesky(A: Any) -> Any:
    try:
        lower = np.linalg.cholesky(A)
        if not np.isfinite(lower).all():
            raise np.linalg.LinAlgError  # NumPy lets NaN pass
        return lower
    except np.linalg.LinAlgError:
        where = first_failing(A, np.linalg.cholesky)
        raise LinAlgError(
            f"linalg.cholesky: a matrix is not positive definite{where}, given {describe(A)}; "
            "add a small multiple of the identity if it should be"
        ) from None


def _cholesky_gradient(g: Any, output: Any) -> Any:
    """L⁻ᵀ S L⁻¹ with S the symmetric part of Φ(Lᵀ G), Φ the lower triangle, diagonal halved.

    Source: Murray 2016, arXiv:1602.07527, section 3.
    """
    product = matmul(adjoint(output), g)
    half = (tril(product) + tril(product, -1)) / 2
    symmetric = (half + adjoint(half)) / 2
    upper = adjoint(output)
    return adjoint(solve_matrices(upper, adjoint(solve_matrices(upper, symmetric))))


_cholesky.gradients(A=_cholesky_gradient)


def cholesky(A: Any, *, upper: bool = False) -> Any:
    """The lower triangular L of A = L Lᵀ, or if `upper` the U = Lᵀ of A = Uᵀ U.

    (..., n, n) -> (..., n, n).  Only that triangle of A is read, the matrix being symmetric; the
    gradient is symmetric.  Raises LinAlgError if a matrix is not positive definite.

    >>> import minigen
    >>> cholesky(minigen.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    check_matrices("linalg.cholesky", A, square=True)
    return adjoint(_cholesky(adjoint(A))) if upper else _cholesky(A)


# ---------------------------------------------------------------------------------------- QR


@differentiable(many=True)
def _qr(A: Any, mode: str, factors: tuple) -> Any:
    return tuple(factor.copy() for factor in factors)


def _qr_gradient(g: Any, A: Any, mode: str, factors: tuple) -> Any:
    """[G_Q + Q S] R⁻ᵀ with S symmetric, its lower triangle that of R G_Rᵀ - G_Qᵀ Q.

    Source: Walter, Lehmann & Lamour, "On evaluating higher-order derivatives of the QR
    decomposition of tall matrices with full column rank in forward and reverse mode algorithmic
    differentiation" (Optimization Methods and Software 27, 2012).
    """
    q, r = factors
    if mode == "r":
        raise ShapeError("mode 'r' computes no Q, which the gradient needs; use 'reduced'")
    if q.shape[-1] > A.shape[-1]:
        raise ShapeError(
            "with mode 'complete' and more rows than columns, the last columns of Q are an "
            "arbitrary choice and have no gradient; use 'reduced'"
        )
    if isinstance(A, Variable):
        q, r = qr(A, mode)
    gq, gr = g
    t = 0 if gr is None else matmul(r, adjoint(gr))
    t = tril(t if gq is None else t - matmul(adjoint(gq), q))
    total = matmul(q, t + adjoint(tril(t, -1)))
    total = total if gq is None else total + gq
    return adjoint(solve_matrices(r, adjoint(total)))


_qr.gradients(A=_qr_gradient)


def qr(A: Any, mode: str = "reduced") -> QR:
    """A = Q R, Q with orthonormal columns, R upper triangular.  A: (..., m, n), k = min(m, n).

    mode: "reduced"   Q (..., m, k), R (..., k, n)
          "complete"  Q (..., m, m), R (..., m, n); no gradient for m > n
          "r"         Q empty, R as reduced; no gradient
    The gradient needs the first k columns to be independent.  A backward that does not exist raises
    RuntimeError.

    >>> import minigen
    >>> q, r = qr(minigen.tensor([[0.0, 3.0], [2.0, 1.0]]))
    >>> q @ r
    tensor([[0., 3.],
            [2., 1.]])
    """
    check_matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ShapeError(f"linalg.qr: mode must be 'reduced', 'complete' or 'r', not {mode!r}")
    m, n = A.shape[-2:]
    factors: tuple
    if m < n and mode != "r":  # A = [X Y], X square: X = Q U and R = [U Qᵀ Y]
        q, u = qr(A[..., :m], mode)
        return QR(q, cat([u, matmul(adjoint(q), A[..., m:])], -1))
    if mode == "r":
        r = np.linalg.qr(_array(A), "r")
        factors = (np.empty_like(r, shape=0), r)
    else:
        factors = tuple(np.linalg.qr(_array(A), "complete" if mode == "complete" else "reduced"))
    return QR(*_qr(A, mode, factors))


# --------------------------------------------------------------------------------------- SVD


@differentiable(many=True)
def _svd(A: Any, full_matrices: bool, factors: tuple) -> Any:
    return tuple(factor.copy() for factor in factors)


def _skew_over(x: Any, gaps: Any) -> Any:
    """(X - Xᵀ) / E."""
    return (x - adjoint(x)) / gaps


def _svd_gradient(g: Any, A: Any, full_matrices: bool, factors: tuple) -> Any:
    """U [skew(Uᵀ G_U)/E S + S skew(Vᵀ G_V)/E + diag G_S] Vᵀ, and what leaves the spans of U and V.

    E_ij = s_j² - s_i² off the diagonal, skew(X) = X - Xᵀ.
    Source: Townsend, "Differentiating the singular value decomposition" (2016).
    """
    u, s, vh = svd(A, full_matrices) if isinstance(A, Variable) else factors
    gu, gs, gvh = g
    k = s.shape[-1]
    if full_matrices:  # the vectors beyond the first k are an arbitrary basis of the rest
        u, vh = u[..., :k], vh[..., :k, :]
        gu = None if gu is None else gu[..., :k]
        gvh = None if gvh is None else gvh[..., :k, :]
    row, column = unsqueeze(s, -2), unsqueeze(s, -1)
    gaps = fill_where((row - column) * (row + column), diagonal_mask(s, k), 1)
    total = 0 if gs is None else matmul(u * unsqueeze(gs, -2), vh)
    if gu is not None:
        inside = matmul(adjoint(u), gu)
        total = total + matmul(matmul(u, _skew_over(inside, gaps) * row), vh)
        if A.shape[-2] > k:
            total = total + matmul((gu - matmul(u, inside)) / row, vh)
    if gvh is not None:
        inside = matmul(vh, adjoint(gvh))
        total = total + matmul(u, matmul(column * _skew_over(inside, gaps), vh))
        if A.shape[-1] > k:
            total = total + matmul(u, (gvh - matmul(adjoint(inside), vh)) / column)
    return total


_svd.gradients(A=_svd_gradient)


def _check_finite(name: str, array: Any) -> None:
    if not np.isfinite(array).all():
        raise LinAlgError(f"{name}: the input {describe(array)} contains NaN or infinity")


def svd(A: Any, full_matrices: bool = True) -> SVD:
    """A = U diag(S) Vh, U and Vh orthogonal, S >= 0 in descending order.  k = min(m, n).

    (..., m, n) -> U (..., m, m), S (..., k), Vh (..., n, n); with full_matrices=False
    U (..., m, k), Vh (..., k, n).  Gradients through U and Vh need distinct singular values, and
    ignore the vectors beyond the first k.  Raises LinAlgError for NaN and infinities.

    >>> import minigen
    >>> u, s, vh = svd(minigen.tensor([[0.0, 2.0], [1.0, 0.0]]))
    >>> s, (u * s) @ vh
    (tensor([2., 1.]), tensor([[0., 2.],
            [1., 0.]]))
    """
    check_matrices("linalg.svd", A)
    array = _array(A)
    _check_finite("linalg.svd", array)
    return SVD(*_svd(A, full_matrices, tuple(np.linalg.svd(array, full_matrices))))


@differentiable
def _svdvals(A: Any) -> Any:
    return np.linalg.svd(A, compute_uv=False)


def _svdvals_gradient(g: Any, A: Any) -> Any:
    u, _, vh = svd(A, full_matrices=False)
    return matmul(u * unsqueeze(g, -2), vh)


_svdvals.gradients(A=_svdvals_gradient)


def svdvals(A: Any) -> Any:
    """The singular values, in descending order: (..., m, n) -> (..., min(m, n)).

    >>> import minigen
    >>> svdvals(minigen.tensor([[0.0, -2.0], [1.0, 0.0]]))
    tensor([2., 1.])
    """
    check_matrices("linalg.svdvals", A)
    _check_finite("linalg.svdvals", _array(A))
    return _svdvals(A)


# ------------------------------------------------------------------------------- eigenvalues


@differentiable(many=True)
def _eigh(A: Any, UPLO: str, factors: tuple) -> Any:
    return tuple(factor.copy() for factor in factors)


def _eigh_gradient(g: Any, A: Any, UPLO: str, factors: tuple) -> Any:
    """V [diag G_L + skew(Vᵀ G_V) / 2E] Vᵀ with E_ij = l_j - l_i off the diagonal.

    V moves on the orthogonal matrices, dV = V Ω with Ω skew-symmetric: the rest of G_V is unseen.

    Source: Giles (cited in `minigen.ops.solving`), section 3, for orthogonal V.
    """
    values, vectors = eigh(A, UPLO) if isinstance(A, Variable) else factors
    gl, gv = g
    total = 0 if gl is None else matmul(vectors * unsqueeze(gl, -2), adjoint(vectors))
    if gv is None:
        return total
    gaps = unsqueeze(values, -2) - unsqueeze(values, -1)
    gaps = fill_where(gaps, diagonal_mask(values, values.shape[-1]), 1)
    inner = _skew_over(matmul(adjoint(vectors), gv), gaps * 2)
    return total + matmul(vectors, matmul(inner, adjoint(vectors)))


_eigh.gradients(A=_eigh_gradient)


def _triangle(name: str, A: Any, UPLO: str) -> Any:
    check_matrices(name, A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise ShapeError(f"{name}: UPLO must be 'L' or 'U', not {UPLO!r}")
    return UPLO.upper()


def eigh(A: Any, UPLO: str = "L") -> Eigh:
    """A = V diag(l) Vᵀ of symmetric matrices, the eigenvalues l in ascending order.

    (..., n, n) -> eigenvalues (..., n), eigenvectors (..., n, n), as columns.  UPLO: which triangle
    is read.  Gradients through the vectors need distinct eigenvalues.

    >>> import minigen
    >>> values, vectors = eigh(minigen.tensor([[2.0, 1.0], [1.0, 2.0]]))
    >>> values, vectors.abs()
    (tensor([1., 3.]), tensor([[0.7071, 0.7071],
            [0.7071, 0.7071]]))
    """
    triangle = _triangle("linalg.eigh", A, UPLO)
    return Eigh(*_eigh(A, triangle, tuple(np.linalg.eigh(_array(A), triangle))))


@differentiable
def _eigvalsh(A: Any, UPLO: Any) -> Any:
    return np.linalg.eigvalsh(A, UPLO)


def _eigvalsh_gradient(g: Any, A: Any, UPLO: str) -> Any:
    _, vectors = eigh(A, UPLO)
    return matmul(vectors * unsqueeze(g, -2), adjoint(vectors))


_eigvalsh.gradients(A=_eigvalsh_gradient)


def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices, in ascending order: (..., n, n) -> (..., n).

    >>> import minigen
    >>> eigvalsh(minigen.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 3.])
    """
    return _eigvalsh(A, _triangle("linalg.eigvalsh", A, UPLO))
