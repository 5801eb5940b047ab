"""Systems of linear equations and inverses, batched over leading dimensions.

The gradients follow from dA⁻¹ = -A⁻¹ dA A⁻¹.  Source: Giles, "Collected matrix derivative results
for forward and reverse mode algorithmic differentiation" (Advances in Automatic Differentiation,
2008), section 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.errors import LinAlgError, ShapeError, describe
from minigen.ops.linalg import matmul
from minigen.ops.shape import adjoint, unsqueeze

__all__ = ["inv", "solve"]


def check_matrices(name: str, A: Any, square: bool = False) -> None:
    """Raise unless A is (..., m, n) of float32 or float64, with m = n if `square`."""
    shape = tuple(A.shape)
    if len(shape) < 2:
        raise ShapeError(f"{name}: expects matrices (..., m, n), got {describe(A)}")
    if square and shape[-1] != shape[-2]:
        raise ShapeError(f"{name}: expects square matrices (..., n, n), got {describe(A)}")
    if getattr(A, "array", A).dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: expects float32 or float64, got {describe(A)}; use x.float()")


def first_failing(array: Any, compute: Any) -> str:
    """`" (batch entry 3)"` for the first matrix that NumPy cannot do; "" for a single matrix."""
    for entry in np.ndindex(array.shape[:-2]):
        try:
            compute(array[entry])
        except np.linalg.LinAlgError:
            return f" (batch entry {', '.join(map(str, entry))})" if entry else ""
    return ""


# ----------------------------------------------------------------------------- inverse, solution


@differentiable
def invert(A: Any) -> Any:
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.inv: a matrix is singular{first_failing(A, np.linalg.inv)} and has "
            f"no inverse, given {describe(A)}; linalg.pinv always exists"
        ) from None


def _invert_gradient(g: Any, output: Any) -> Any:
    """-A⁻ᵀ G A⁻ᵀ."""
    transposed = adjoint(output)
    return -matmul(transposed, matmul(g, transposed))


invert.gradients(A=_invert_gradient)


def inv(A: Any) -> Any:
    """A⁻¹ of square matrices: (..., n, n) -> (..., n, n).

    `solve(A, B)` is faster and more accurate than `inv(A) @ B`.  Raises LinAlgError if a matrix is
    singular.

    >>> import minigen
    >>> inv(minigen.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    check_matrices("linalg.inv", A, square=True)
    return invert(A)


@differentiable
def solve_matrices(A: Any, B: Any) -> Any:
    """A⁻¹ B: (..., n, n), (..., n, k) -> (..., n, k)."""
    try:
        return np.linalg.solve(A, B)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.solve: a matrix is singular{first_failing(A, np.linalg.inv)}, so "
            f"that there is no single solution, given {describe(A)}"
        ) from None


@solve_matrices.joint_gradient("A", "B")
def _(g: Any, A: Any, output: Any) -> Any:
    """dB = A⁻ᵀ G, dA = -dB Xᵀ."""
    db = solve_matrices(adjoint(A), g)
    return -matmul(db, adjoint(output)), db


def _check_factors(name: str, A: Any, B: Any, left: bool) -> None:
    """Raise unless A X = B, or X A = B, has fitting shapes and one dtype."""
    check_matrices(name, A, square=True)
    if A.dtype != B.dtype:
        raise TypeError(f"{name}: A and B must have one dtype, got {describe(A)}, {describe(B)}")
    n, dim = A.shape[-1], -2 if left else -1
    if len(B.shape) < 2 or B.shape[dim] != n:
        wanted = f"(..., {n}, k)" if left else f"(..., k, {n})"
        raise ShapeError(
            f"{name}: B must be {wanted} for A of shape {tuple(A.shape)} and left={left}, got "
            f"{describe(B)}"
        )
    try:
        np.broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-2]))
    except ValueError:
        raise ShapeError(
            f"{name}: the leading dimensions of {describe(A)} and {describe(B)} do not broadcast"
        ) from None


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """The X of A X = B, or of X A = B if not `left`; leading dimensions broadcast.

    A: (..., n, n).  B: matrices (..., n, k), if not `left` (..., k, n); or vectors (n), or (..., n)
    with exactly the leading dimensions of A.  Returns X of the shape of B, broadcast.  Raises
    LinAlgError if a matrix is singular.

    >>> import minigen
    >>> A = minigen.tensor([[2.0, 1.0], [0.0, 4.0]])
    >>> solve(A, minigen.tensor([4.0, 8.0]))
    tensor([1., 2.])
    """
    vectors = len(B.shape) == 1 or (
        len(B.shape) == len(A.shape) - 1 and tuple(B.shape) == tuple(A.shape[:-1])
    )
    if vectors and not left:
        raise ShapeError(
            f"linalg.solve: B is a vector, {describe(B)}, which left=False does not allow; "
            "unsqueeze it to a matrix of one row"
        )
    right = unsqueeze(B, -1) if vectors else B
    _check_factors("linalg.solve", A, right, left)
    if not left:
        return adjoint(solve_matrices(adjoint(A), adjoint(right)))
    solution = solve_matrices(A, right)
    return solution.squeeze(-1) if vectors else solution
