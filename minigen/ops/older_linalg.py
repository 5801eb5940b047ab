"""Matrix functions under the names that PyTorch gave them before it had `linalg`."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from minigen.ops import decompositions
from minigen.ops.decompositions import QR
from minigen.ops.shape import adjoint
from minigen.ops.solving import inv
from minigen.tensor import method

__all__ = ["cholesky", "inverse", "qr", "svd"]


class SVD(NamedTuple):
    """What `svd` returns: V itself, where `linalg.svd` has its transpose."""

    U: Any
    S: Any
    V: Any


@method("inverse")
def inverse(input: Any) -> Any:
    """`linalg.inv`.

    >>> import minigen
    >>> inverse(minigen.tensor([[4.0]]))
    tensor([[0.2500]])
    """
    return inv(input)


def _deprecated(name: str) -> None:
    warnings.warn(f"{name} is deprecated; use linalg.{name}", stacklevel=3)


@method("cholesky")
def cholesky(input: Any, upper: bool = False) -> Any:
    """`linalg.cholesky`, with a warning that this name of it is deprecated."""
    _deprecated("cholesky")
    return decompositions.cholesky(input, upper=upper)


@method("qr")
def qr(input: Any, some: bool = True) -> QR:
    """`linalg.qr`, reduced if `some`, else complete; warns that this name is deprecated."""
    _deprecated("qr")
    return decompositions.qr(input, "reduced" if some else "complete")


@method("svd")
def svd(input: Any, some: bool = True, compute_uv: bool = True) -> SVD:
    """A = U diag(S) Vᵀ, returning V, not its transpose; U and V are reduced if `some`.

    compute_uv=False fills U and V with zeros.  `linalg.svd` is the newer form.

    >>> import minigen
    >>> u, s, v = svd(minigen.tensor([[0.0, 2.0], [1.0, 0.0]]))
    >>> (u * s) @ v.mT
    tensor([[0., 2.],
            [1., 0.]])
    """
    if compute_uv:
        u, s, vh = decompositions.svd(input, full_matrices=not some)
        return SVD(u, s, adjoint(vh))
    m, n = input.shape[-2:]
    lead = tuple(input.shape[:-2])
    values = decompositions.svdvals(input)
    return SVD(input.new_zeros(*lead, m, m), values, input.new_zeros(*lead, n, n))
