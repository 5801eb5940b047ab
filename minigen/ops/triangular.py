"""Cholesky's factorisation, and systems of equations with a triangular matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import quiet
from minigen.errors import ShapeError, describe
from minigen.ops.linalg import matmul
from minigen.ops.rearrange import tril, triu
from minigen.ops.shape import adjoint

__all__ = ["cholesky", "solve_triangular"]


def _check_square(name: str, matrix: Any) -> None:
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize < 4:
        raise TypeError(f"{name}: expects float32 or float64 matrices, got {describe(matrix)}")
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ShapeError(f"{name}: expects square matrices (..., n, n), got {describe(matrix)}")


# ----------------------------------------------------------------------------------- Cholesky


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
def _cholesky(input: Any) -> Any:
    _check_square("cholesky", input)
    if not input.size:
        return input.copy()
    try:
        return np.linalg.cholesky(input)
    except np.linalg.LinAlgError:
        wrong = np.argwhere(~is_positive_definite(input))[0].tolist()
        which = f"the matrix at {wrong} of the batch" if wrong else "the matrix"
        raise ShapeError(
            f"cholesky: {which} is not positive definite (given {describe(input)}); for a "
            "covariance that is singular only by rounding, add a small multiple of the identity"
        ) from None


def _cholesky_gradient(g: Any, output: Any) -> Any:
    """Ā = ½ (P + Pᵀ), P = L⁻ᵀ Φ(Lᵀ L̄) L⁻¹; Φ takes the lower triangle and halves its diagonal.

    Source: Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527, section 3.3.
    """
    product = matmul(adjoint(output), g)
    half = (tril(product) + tril(product, -1)) * 0.5
    upper = adjoint(output)
    left = solve_triangular(upper, half, upper=True)  # L⁻ᵀ Φ
    both = solve_triangular(output, left, upper=False, left=False)  # ... L⁻¹
    return (both + adjoint(both)) * 0.5


_cholesky.gradients(input=_cholesky_gradient)


def cholesky(input: Any, *, upper: bool = False) -> Any:
    """L, lower triangular with a positive diagonal, such that A = L Lᵀ: (..., n, n) -> (..., n, n).

    upper: Lᵀ instead.  A must be symmetric and positive definite; only its lower triangle (with
    `upper` its upper) is read, and the gradient is that of a symmetric matrix.  Raises RuntimeError
    if A is not positive definite.

    >>> import minigen
    >>> cholesky(minigen.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    return adjoint(_cholesky(adjoint(input))) if upper else _cholesky(input)


# -------------------------------------------------------------------------- triangular systems

_BLOCK = 32  # rows solved one after the other, between products of whole matrices


def _forward_substitution(lower: Any, right: Any, unitriangular: bool) -> Any:
    """xᵢ = (bᵢ - Σ lᵢⱼ xⱼ over j < i) / lᵢᵢ row by row, for all columns and matrices together.

    What the rows before a block contribute is subtracted from it by one product of matrices.
    Source: Golub & Van Loan, Matrix Computations, 4th edition, section 3.1.4.
    """
    n = lower.shape[-1]
    batch = np.broadcast_shapes(lower.shape[:-2], right.shape[:-2])
    x = np.broadcast_to(right, (*batch, *right.shape[-2:])).copy()
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        if start:
            x[..., start:stop, :] -= lower[..., start:stop, :start] @ x[..., :start, :]
        for i in range(start, stop):
            row = x[..., i : i + 1, :]
            if i > start:
                row -= lower[..., i : i + 1, start:i] @ x[..., start:i, :]
            if not unitriangular:
                row /= lower[..., i : i + 1, i : i + 1]
    return x


@differentiable
def _solve_triangular(A: Any, B: Any, upper: bool, unitriangular: bool) -> Any:
    _check_square("solve_triangular", A)
    if B.ndim < 2 or B.shape[-2] != A.shape[-1] or B.dtype != A.dtype:
        raise ShapeError(
            f"solve_triangular: A {describe(A)} and B {describe(B)} do not fit: they need one "
            "dtype, and as many rows of A as B has (with left=False, as B has columns); make a "
            "matrix of a vector b by b.unsqueeze(-1)"
        )
    with quiet():  # a zero on the diagonal gives infinities, as in LAPACK
        if not upper:
            return _forward_substitution(A, B, unitriangular)
        lower = A[..., ::-1, ::-1]  # the last unknown first
        return _forward_substitution(lower, B[..., ::-1, :], unitriangular)[..., ::-1, :].copy()


@_solve_triangular.joint_gradient("A", "B")
def _(g: Any, A: Any, output: Any, upper: bool, unitriangular: bool) -> Any:
    """B̄ = A⁻ᵀ X̄ and Ā = -B̄ Xᵀ, of which only the triangle that was read counts."""
    right = _solve_triangular(adjoint(A), g, not upper, unitriangular)
    whole = -matmul(right, adjoint(output))
    inner = 1 if unitriangular else 0
    return (triu(whole, inner) if upper else tril(whole, -inner)), right


def solve_triangular(
    A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """X with A X = B: (..., n, n), (..., n, k) -> (..., n, k), leading dimensions broadcast.

    upper: A is upper triangular, else lower; its other triangle is not read.
    left: False for X A = B, with B (..., k, n).
    unitriangular: take A's diagonal for ones without reading it.
    A zero on the diagonal gives infinities or NaN.

    >>> import minigen
    >>> A = minigen.tensor([[2.0, 0.0], [1.0, 4.0]])
    >>> solve_triangular(A, minigen.tensor([[2.0], [5.0]]), upper=False)
    tensor([[1.],
            [1.]])
    """
    if left:
        return _solve_triangular(A, B, upper, unitriangular)
    return adjoint(_solve_triangular(adjoint(A), adjoint(B), not upper, unitriangular))
