"""What both kinds of spectral and of weight normalization compute."""

from __future__ import annotations

from typing import Any

from minigen.modes import no_grad
from minigen.nn import functional as F
from minigen.nn.convolution import ConvTranspose1d, ConvTranspose2d
from minigen.nn.module import Module
from minigen.ops.linalg import mv
from minigen.tensor import Tensor

__all__ = ["as_matrix", "default_dim", "iterate", "norm_except_dim", "weight_of"]


def weight_of(module: Module, name: str) -> Any:
    """The tensor by that name.  Raises ValueError if there is none."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"{type(module).__name__} has no parameter or buffer named {name!r}")
    return weight


def default_dim(module: Module) -> int:
    """Which dimension of a layer's weight counts its outputs."""
    return 1 if isinstance(module, ConvTranspose1d | ConvTranspose2d) else 0


def as_matrix(weight: Any, dim: int) -> Any:
    """The weight as a matrix whose rows belong to dimension `dim`."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.flatten(1)


@no_grad
def iterate(matrix: Any, u: Any, v: Any, steps: int, eps: float, left_first: bool) -> None:
    """Move u and v, in place, towards the left and right singular vectors of the largest value.

    u <- W v / ‖W v‖, v <- Wᵀ u / ‖Wᵀ u‖; in this order if `left_first`, otherwise v first.
    """
    for _ in range(steps):
        if left_first:
            u.copy_(F.normalize(mv(matrix, v), dim=0, eps=eps))
        v.copy_(F.normalize(mv(matrix.mT, u), dim=0, eps=eps))
        if not left_first:
            u.copy_(F.normalize(mv(matrix, v), dim=0, eps=eps))


def norm_except_dim(weight: Any, dim: int) -> Any:
    """‖w‖₂ over all dimensions but one, which is kept with the others of size 1; -1 keeps none."""
    if dim == -1:
        return weight.reshape(-1).norm()
    dim %= weight.ndim
    others = tuple(d for d in range(weight.ndim) if d != dim)
    return weight.norm(dim=others, keepdim=True) if others else weight.abs()
