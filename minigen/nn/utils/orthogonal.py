"""Maps from all matrices to orthogonal ones, for `parametrizations.orthogonal`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.autograd import wrap
from minigen.modes import no_grad
from minigen.nn.module import Module
from minigen.ops.creation import zeros
from minigen.ops.joining import cat
from minigen.ops.random import randn
from minigen.ops.ranges import eye
from minigen.ops.solving import solve_matrices
from minigen.tensor import Tensor

__all__ = ["Orthogonal"]

_MAPS = ("matrix_exp", "cayley", "householder")


class Orthogonal(Module):
    """X -> an orthogonal matrix, of the shape of X; see `parametrizations.orthogonal`."""

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        if orthogonal_map not in _MAPS:
            raise ValueError(
                f"orthogonal_map has to be one of {', '.join(_MAPS)}; got {orthogonal_map!r}"
            )
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        transposed = X.shape[-2] < X.shape[-1]
        if transposed:
            X = X.mT
        n, k = X.shape[-2:]
        if self.orthogonal_map == "householder":
            A = X.tril(-1)
            signs = X.detach().diagonal(dim1=-2, dim2=-1).trunc()  # they are not learned
            Q = _product_of_reflections(A) * signs.unsqueeze(-2)
        else:
            X = X.tril()
            if n != k:
                X = cat([X, zeros(*X.shape[:-1], n - k, dtype=X.dtype, device=X.device)], dim=-1)
            A = X - X.mT
            if self.orthogonal_map == "matrix_exp":
                Q = _matrix_exp(A)
            else:
                identity = eye(n, dtype=A.dtype, device=A.device)
                Q = solve_matrices(identity - A / 2, identity + A / 2)
            Q = Q[..., :k]
        if "base" in self._buffers:
            Q = self.base @ Q
        return Q.mT if transposed else Q

    def right_inverse(self, value: Any) -> Any:
        """The X that is mapped to `value`, or to the orthogonal matrix of its QR decomposition."""
        if value.shape != self.shape:
            raise ValueError(
                f"orthogonal: expected a tensor of shape {tuple(self.shape)}, got "
                f"{tuple(value.shape)}"
            )
        with no_grad():
            transposed = value.shape[-2] < value.shape[-1]
            Q = value.mT if transposed else value
            n, k = Q.shape[-2:]
            if "base" in self._buffers:
                if n != k:
                    others = randn(*Q.shape[:-1], n - k, dtype=Q.dtype, device=Q.device)
                    Q = cat([Q, others], dim=-1)
                self.base = Q.clone() if n == k and _is_orthogonal(Q) else _orthogonalized(Q)
                start = np.zeros_like(value.array)
                diagonal = np.arange(k)
                start[..., diagonal, diagonal] = -1  # the identity, for every map
                return wrap(start)
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    f"a weight under {self.orthogonal_map!r} can only be assigned to with "
                    "use_trivialization=True"
                )
            X = _reflections(Q)
            return X.mT if transposed else X


def _is_orthogonal(Q: Any) -> bool:
    """QᵀQ = I, to some rounding errors."""
    tolerance = 10.0 * Q.shape[-2] * float(np.finfo(Q.array.dtype).eps)
    return bool(np.allclose((Q.mT @ Q).array, np.eye(Q.shape[-1]), rtol=1e-5, atol=tolerance))


def _orthogonalized(A: Any) -> Tensor:
    """The Q of A = QR with a positive diagonal of R."""
    q, r = np.linalg.qr(A.array)
    signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
    return wrap(q * signs[..., None, :])


def _reflections(Q: Any) -> Tensor:
    """The reflections whose product Q is, below a diagonal of signs (LAPACK's geqrf)."""
    packed, tau = np.linalg.qr(Q.array, mode="raw")
    X = np.ascontiguousarray(np.swapaxes(packed, -2, -1))
    diagonal = np.arange(tau.shape[-1])
    signs = np.sign(X[..., diagonal, diagonal])
    X[..., diagonal, diagonal] = np.where(tau == 0, -signs, signs)  # 0: no reflection was needed
    return wrap(X)


def _product_of_reflections(A: Any) -> Any:
    """The first k columns of H₁ ⋯ H_k, H_i = I - 2 v vᵀ / vᵀv with v = e_i + column i of A.

    A: (..., n, k), zero on and above the diagonal.
    """
    n, k = A.shape[-2:]
    units = eye(n, k, dtype=A.dtype, device=A.device)
    Q = units
    for i in reversed(range(k)):
        v = A[..., i : i + 1] + units[:, i : i + 1]
        Q = Q - (2 / (v * v).sum(dim=-2, keepdim=True)) * (v @ (v.mT @ Q))
    return Q


def _matrix_exp(A: Any) -> Any:
    """exp(A) = (exp(A / 2ˢ))^(2ˢ), with s such that 18 terms of the series are enough.

    Source: Higham 2008, "Functions of Matrices", section 10.3 (scaling and squaring).
    """
    size = float(np.abs(A.detach().array).sum(axis=-2).max(initial=0))
    squarings = max(0, math.ceil(math.log2(size)) + 1) if 0 < size < math.inf else 0
    A = A / 2**squarings
    identity = eye(A.shape[-1], dtype=A.dtype, device=A.device)
    result = identity
    for term in range(18, 0, -1):  # Horner's scheme
        result = identity + (A @ result) / term
    for _ in range(squarings):
        result = result @ result
    return result
