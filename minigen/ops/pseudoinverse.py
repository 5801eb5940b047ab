"""What a matrix does up to a tolerance: its rank, and the inverse of the part that has one.

A singular value counts as zero if it is at most max(atol, rtol · s_max).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable, wrap
from minigen.backend import as_array
from minigen.errors import ShapeError
from minigen.ops.decompositions import eigvalsh, svdvals
from minigen.ops.linalg import matmul
from minigen.ops.shape import adjoint
from minigen.ops.solving import check_matrices
from minigen.tensor import method

__all__ = ["matrix_rank", "pinv", "pinverse"]


def _tolerance(array: Any, largest: Any, atol: Any, rtol: Any) -> Any:
    """max(atol, rtol · s_max) for each matrix; rtol is max(m, n) · ε if none of them is given."""
    atol, rtol = (getattr(value, "array", value) for value in (atol, rtol))
    if rtol is None:
        given = atol is not None and np.all(np.asarray(atol) > 0)
        rtol = 0.0 if given else max(array.shape[-2:]) * np.finfo(array.dtype).eps
    return np.maximum(0.0 if atol is None else atol, rtol * largest)


def _magnitudes(A: Any, hermitian: bool) -> Any:
    return np.abs(eigvalsh(A).array) if hermitian else svdvals(A).array


def _largest(magnitudes: Any) -> Any:
    """The largest of each matrix, 0 where there are none."""
    return magnitudes.max(-1) if magnitudes.shape[-1] else magnitudes.sum(-1)


def matrix_rank(
    A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Any:
    """How many singular values count: (..., m, n) -> int64 (...).

    atol, rtol: absolute and relative tolerance, numbers or tensors (...); without any, rtol is
    max(m, n) times the rounding unit.  tol: the same as atol, with rtol = 0.  hermitian: A is
    symmetric; its lower triangle is read.

    >>> import minigen
    >>> matrix_rank(minigen.ones(3, 3))
    tensor(1)
    """
    check_matrices("linalg.matrix_rank", A, square=hermitian)
    if tol is not None:
        if atol is not None or rtol is not None:
            raise ShapeError("linalg.matrix_rank: give either tol, or atol and rtol")
        atol, rtol = tol, 0.0
    found = _magnitudes(A.detach(), hermitian)
    limit = as_array(_tolerance(A.array, _largest(found), atol, rtol))
    return wrap(as_array((found > limit[..., None]).sum(-1, dtype=np.int64)))


@differentiable
def _pinv(A: Any, limit: Any, hermitian: bool) -> Any:
    """V diag(1/s, or 0 where s <= limit) Uᵀ; limit (...)."""
    if hermitian:
        values, vectors = np.linalg.eigh(A)
        left, right = vectors, np.swapaxes(vectors, -1, -2)
    else:
        u, values, vh = np.linalg.svd(A, full_matrices=False)
        left, right = np.swapaxes(vh, -1, -2), np.swapaxes(u, -1, -2)
    counts = np.abs(values) > limit[..., None]
    factors = np.where(counts, 1 / np.where(counts, values, 1), 0).astype(values.dtype)
    return matmul(left * factors[..., None, :], right)


def _pinv_gradient(g: Any, A: Any, output: Any) -> Any:
    """-Pᵀ G Pᵀ + (I - A P) Gᵀ P Pᵀ + Pᵀ P Gᵀ (I - P A), for matrices near A of the same rank.

    Source: Golub & Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares
    problems whose variables separate" (SIAM J. Numer. Anal. 10, 1973), section 4.
    """
    p, pt, gt = output, adjoint(output), adjoint(g)
    left, right = matmul(matmul(gt, p), pt), matmul(matmul(pt, p), gt)
    return (
        -matmul(matmul(pt, g), pt)
        + (left - matmul(A, matmul(p, left)))
        + (right - matmul(matmul(right, p), A))
    )


_pinv.gradients(A=_pinv_gradient)


def pinv(
    A: Any, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Any:
    """Moore and Penrose's inverse: (..., m, n) -> (..., n, m).

    atol, rtol, hermitian: as in `matrix_rank`; rcond is an older name of rtol.  The gradient takes
    the rank as given.  Raises LinAlgError for NaN and infinities.

    >>> import minigen
    >>> pinv(minigen.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    check_matrices("linalg.pinv", A, square=hermitian)
    if rcond is not None:
        if atol is not None or rtol is not None:
            raise ShapeError("linalg.pinv: give either rcond, or atol and rtol")
        rtol = rcond
    largest = _largest(_magnitudes(A.detach(), hermitian))
    return _pinv(A, as_array(_tolerance(A.array, largest, atol, rtol)), hermitian)


@method("pinverse")
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """`linalg.pinv` with the relative tolerance `rcond`."""
    return pinv(input, rcond)
