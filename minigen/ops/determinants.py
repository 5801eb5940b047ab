"""Determinants of square matrices, batched over leading dimensions.

The gradients follow from d det A = det A tr(A⁻¹ dA).  Source: Giles, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation" (Advances in Automatic
Differentiation, 2008), section 2; for singular matrices Higham, "What is the adjugate
of a matrix?" (2020).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import as_array, quiet
from minigen.ops.comparison import where
from minigen.ops.cumulative import diagonal_mask, product_of_others
from minigen.ops.decompositions import svd
from minigen.ops.linalg import matmul
from minigen.ops.masking import fill_where
from minigen.ops.shape import adjoint, unsqueeze
from minigen.ops.solving import check_matrices, invert
from minigen.tensor import method

__all__ = ["det", "logdet", "slogdet"]


class SignAndLog(NamedTuple):
    """What `slogdet` returns: det A = sign exp(logabsdet)."""

    sign: Any
    logabsdet: Any


@differentiable
def _det(A: Any) -> Any:
    with quiet():
        return np.linalg.det(A)


def _over_matrices(numbers: Any) -> Any:
    """(...) -> (..., 1, 1)."""
    return unsqueeze(unsqueeze(numbers, -1), -1)


def _singular_cofactors(A: Any) -> Any:
    """det(U) det(V) U diag(Π_{j != i} s_j) Vᵀ with A = U diag(s) Vᵀ, which needs no inverse."""
    u, s, vh = svd(A, full_matrices=False)
    parts = (getattr(x, "array", x) for x in (u, vh))
    sign = np.prod([np.sign(np.linalg.det(x)) for x in parts], 0)[..., None, None]  # ±1: constant
    return matmul(u * unsqueeze(product_of_others(s), -2), vh) * sign


def _det_gradient(g: Any, A: Any, output: Any) -> Any:
    """G times the cofactors of A: det A · A⁻ᵀ, and what that tends to where A is singular."""
    singular = _over_matrices(getattr(output, "array", output) == 0)
    if not singular.any():
        return _over_matrices(g * output) * adjoint(invert(A))
    identity = diagonal_mask(A, A.shape[-1])
    # each of the two formulas gets, in place of the matrices of the other, one that is harmless
    regular = fill_where(A, singular, identity)
    distinct = identity * np.arange(1, A.shape[-1] + 1)
    irregular = fill_where(A, ~singular, distinct)
    return _over_matrices(g) * (
        fill_where(_over_matrices(output) * adjoint(invert(regular)), singular, 0)
        + fill_where(_singular_cofactors(irregular), ~singular, 0)
    )


_det.gradients(A=_det_gradient)


@method("det")
def det(A: Any) -> Any:
    """The determinant of square matrices: (..., n, n) -> (...).  It is 1 for n = 0.

    The gradient, the matrix of cofactors, exists for singular matrices, too; second derivatives
    there need the other singular values to be distinct.

    >>> import minigen
    >>> det(minigen.tensor([[2.0, 1.0], [1.0, 3.0]]))
    tensor(5.)
    """
    check_matrices("linalg.det", A, square=True)
    return _det(A)


@differentiable(many=True)
def _slogdet(A: Any) -> Any:
    with quiet():
        return tuple(as_array(part) for part in np.linalg.slogdet(A))


def _slogdet_gradient(g: Any, A: Any) -> Any:
    """G A⁻ᵀ; the sign is piecewise constant."""
    return None if g[1] is None else _over_matrices(g[1]) * adjoint(invert(A))


_slogdet.gradients(A=_slogdet_gradient)


@method("slogdet")
def slogdet(A: Any) -> SignAndLog:
    """Sign and logarithm of the absolute value of the determinant: no overflow for any n.

    (..., n, n) -> (sign, logabsdet) of shape (...); a singular matrix has (0, -inf), and no
    gradient: backward raises RuntimeError then.

    >>> import minigen
    >>> slogdet(minigen.tensor([[0.0, 1.0], [1.0, 0.0]]))
    SignAndLog(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    check_matrices("linalg.slogdet", A, square=True)
    return SignAndLog(*_slogdet(A))


@method("logdet")
def logdet(input: Any) -> Any:
    """log det A of square matrices: -inf where det A = 0, NaN where it is negative.

    >>> import minigen
    >>> logdet(minigen.eye(2) * 3)
    tensor(2.1972)
    """
    check_matrices("logdet", input, square=True)
    sign, logabsdet = _slogdet(input)
    return where(sign < 0, float("nan"), logabsdet)
