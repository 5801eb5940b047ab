"""Systems of equations with a triangular matrix, by substitution."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import quiet
from minigen.errors import ShapeError, describe
from minigen.ops.linalg import matmul
from minigen.ops.rearrange import tril, triu
from minigen.ops.shape import adjoint

__all__ = ["solve_triangular"]


def _check_square(name: str, matrix: Any) -> None:
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize < 4:
        raise TypeError(f"{name}: expects float32 or float64 matrices, got {describe(matrix)}")
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ShapeError(f"{name}: expects square matrices (..., n, n), got {describe(matrix)}")


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
