"""Norms as `linalg` names them: of vectors, and of matrices."""

from __future__ import annotations

import math
from typing import Any

from minigen.dtypes import as_dtype
from minigen.errors import ShapeError, describe
from minigen.ops import norms
from minigen.ops.decompositions import svdvals
from minigen.ops.dims import numpy_names, wrap_dims
from minigen.ops.reduction import amax, amin, sum
from minigen.ops.shape import movedim, unsqueeze

__all__ = ["matrix_norm", "norm", "vector_norm"]


@numpy_names
def vector_norm(
    x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """(Σ |x|^ord)^(1/ord) over `dim`, one or several dimensions taken as one vector; None: all.

    ord = inf gives the largest |x|, -inf the smallest, 0 the number of elements that are not 0.
    dtype: cast x to it first.

    >>> import minigen
    >>> vector_norm(minigen.tensor([[3.0, 4.0], [0.0, 2.0]]), dim=1)
    tensor([5., 2.])
    """
    if isinstance(ord, str) or not isinstance(ord, int | float):
        raise TypeError(f"linalg.vector_norm: ord must be a number, not {ord!r}")
    dim = None if isinstance(dim, tuple | list) and not dim else dim
    return norms.norm(x, float(ord), dim, keepdim, dtype)


def _extreme(values: Any, ord: float, dim: int) -> Any:
    """The largest of the values for ord > 0, of which the largest of none is 0; else the least."""
    if ord > 0 and values.shape[dim] == 0:
        return sum(values, dim)
    return (amax if ord > 0 else amin)(values, dim)


@numpy_names
def matrix_norm(
    A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """A norm of the matrices in the two dimensions `dim`.

    ord: "fro"    the root of the sum of squares
         "nuc"    the sum of the singular values
         1, -1    the largest, smallest sum of absolute values of a column
         inf, -inf  the same of a row
         2, -2    the largest, smallest singular value

    >>> import minigen
    >>> A = minigen.tensor([[3.0, 0.0], [4.0, 0.0]])
    >>> matrix_norm(A), matrix_norm(A, 1), matrix_norm(A, "nuc")
    (tensor(5.), tensor(7.), tensor(5.))
    """
    name = "linalg.matrix_norm"
    if len(A.shape) < 2 or not isinstance(dim, tuple | list) or len(dim) != 2:
        raise ShapeError(f"{name}: needs a matrix and two dimensions, got {describe(A)}, dim={dim}")
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise ShapeError(f"{name}: ord must be 'fro', 'nuc', ±1, ±2 or ±inf, not {ord!r}")
    first, second = wrap_dims(dim, len(A.shape))
    if dtype is not None:
        A = A.to(as_dtype(dtype))
    if ord == "fro":
        return vector_norm(A, 2, (first, second), keepdim)
    if ord in ("nuc", 2, -2):
        values = svdvals(movedim(A, (first, second), (-2, -1)))
        result = sum(values, -1) if ord == "nuc" else _extreme(values, ord, -1)
    else:
        rows, columns = (first, second) if abs(ord) == 1 else (second, first)
        sums = vector_norm(A, 1, rows, keepdim=True).squeeze(rows)
        result = _extreme(sums, ord, columns - (columns > rows))
    if keepdim:
        for each in sorted((first, second)):
            result = unsqueeze(result, each)
    return result


@numpy_names
def norm(
    A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """`matrix_norm` of two dimensions, `vector_norm` of one or all.

    Without `ord` the 2-norm of all elements of `dim`.  With `ord` and without `dim`, A must be a
    vector or a matrix.

    >>> import minigen
    >>> norm(minigen.tensor([[3.0, 0.0], [4.0, 0.0]]), "nuc")
    tensor(5.)
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and len(A.shape) not in (1, 2):
        raise ShapeError(
            f"linalg.norm: with ord and without dim, A must be a vector or a matrix, got "
            f"{describe(A)}"
        )
    if isinstance(dim, tuple | list) and len(dim) == 1 and not isinstance(ord, str):
        dim = dim[0]
    if dim is None and len(A.shape) == 2:
        dim = (-2, -1)
    if isinstance(ord, str) or isinstance(dim, tuple | list):
        return matrix_norm(A, ord, dim, keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)
