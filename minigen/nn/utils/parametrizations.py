"""Weights under a constraint: of spectral norm 1, of a learned length, orthogonal."""

from __future__ import annotations

from typing import Any

from minigen.nn import functional as F
from minigen.nn.module import Module
from minigen.nn.utils.orthogonal import Orthogonal
from minigen.nn.utils.parametrize import register_parametrization
from minigen.nn.utils.power_iteration import (
    as_matrix,
    default_dim,
    iterate,
    norm_except_dim,
    weight_of,
)
from minigen.ops.linalg import dot, mv
from minigen.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _SpectralNorm(Module):
    """W / σ, with the singular vectors of its largest singular value in the buffers `_u`, `_v`."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Any, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        ndim = weight.ndim
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"spectral_norm: dim {dim} is out of range for a weight of {ndim} dimensions"
            )
        if n_power_iterations <= 0:
            raise ValueError(f"n_power_iterations must be positive, got {n_power_iterations}")
        self.dim, self.n_power_iterations, self.eps = dim % ndim, n_power_iterations, eps
        if ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            u, v = (weight.new_zeros(n).normal_() for n in matrix.shape)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            iterate(matrix, self._u, self._v, 15, eps, left_first=True)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:  # its norm is its only singular value
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            iterate(matrix, self._u, self._v, self.n_power_iterations, self.eps, left_first=True)
        u, v = self._u.clone(), self._v.clone()  # the next call may change them before backward
        return weight / dot(u, mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value σ, so that the layer is 1-Lipschitz.

    σ = uᵀ W v, with u and v from 15 steps of the power method at first and `n_power_iterations` in
    each call in training mode.  W is the weight as a matrix with a row for each index of dimension
    `dim` (0, or 1 for transposed convolutions, if None).  Returns the module.
    Raises ValueError if there is no such tensor, IndexError for a dimension it does not have.
    Source: Miyato et al. 2018, arXiv:1802.05957, algorithm 1.

    >>> from minigen import nn
    >>> layer = spectral_norm(nn.Linear(3, 2))
    >>> list(layer.state_dict())[:3]
    ['bias', 'parametrizations.weight.original', 'parametrizations.weight.0._u']
    """
    weight = weight_of(module, name)
    dim = default_dim(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


class _WeightNorm(Module):
    """g v / ‖v‖, of two originals."""

    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn the length and the direction of a weight apart: w = g v / ‖v‖.

    There is a length g for each index of dimension `dim`, or one for all if None.  Learned are
    `original0`, which is g, and `original1`, which is v.  Returns the module.
    Raises ValueError if there is no such tensor.
    Source: Salimans & Kingma 2016, arXiv:1602.07868, eq. 2.

    >>> from minigen import nn
    >>> layer = weight_norm(nn.Linear(3, 2))
    >>> [(name[-9:], tuple(p.shape)) for name, p in layer.named_parameters()][1:]
    [('original0', (2, 1)), ('original1', (2, 3))]
    """
    weight_of(module, name)
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Let a matrix (or a batch of them) have orthonormal columns, or rows if there are fewer.

    orthogonal_map: "matrix_exp" (Q = exp(A), the default for square matrices), "cayley"
        (Q = (I + A/2)(I - A/2)⁻¹), both with A skew-symmetric, or "householder" (a product of
        reflections, the default otherwise).
    use_trivialization: go on from the matrix last assigned, Q = B exp(A), which makes assigning
        possible for all maps; B is the buffer `base` (Lezcano-Casado 2019, arXiv:1909.09501).

    Returns the module.  Raises ValueError if there is no such tensor, for one of fewer than 2
    dimensions, and for a map of another name.
    Source: Lezcano-Casado & Martínez-Rubio 2019, arXiv:1901.08428.

    >>> from minigen import nn
    >>> layer = orthogonal(nn.Linear(4, 2))
    >>> (layer.weight @ layer.weight.mT).round(decimals=3).abs().detach()
    tensor([[1., 0.],
            [0., 1.]])
    """
    weight = weight_of(module, name)
    if weight.ndim < 2:
        raise ValueError(
            f"orthogonal: expected a matrix or a batch of them, got shape {tuple(weight.shape)}"
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    made = Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
