"""Spectral and weight normalization by a hook that computes the weight before each call.

The older form, with the keys `weight_orig`, `weight_u`, `weight_v` or `weight_g`, `weight_v`; see
`minigen.nn.utils.parametrizations` for the newer one.
"""

from __future__ import annotations

from typing import Any

from minigen.modes import no_grad
from minigen.nn import functional as F
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter
from minigen.nn.utils.power_iteration import (
    as_matrix,
    default_dim,
    iterate,
    norm_except_dim,
    weight_of,
)
from minigen.ops.linalg import dot, mv

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


class _Reweighting:
    """A forward pre-hook that sets `name` of its module to `compute(module)`."""

    name: str

    def compute(self, module: Module, update: bool) -> Any:
        raise NotImplementedError

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute(module, module.training))

    def attach(self, module: Module, parts: dict[str, Parameter]) -> None:
        """Put learned parts, by the endings of their names, in place of the weight."""
        if _position(type(self), module, self.name) is not None:
            raise RuntimeError(
                f"{type(module).__name__}.{self.name} already is under {_title(type(self))}"
            )
        del module._parameters[self.name]
        for ending, part in parts.items():
            module.register_parameter(f"{self.name}_{ending}", part)

    def detach(self, module: Module, endings: tuple[str, ...]) -> None:
        """Make a parameter of the present weight, and forget its parts."""
        with no_grad():
            weight = self.compute(module, False)
        delattr(module, self.name)
        for ending in endings:
            delattr(module, f"{self.name}_{ending}")
        module.register_parameter(self.name, Parameter(weight.detach()))


def _title(kind: type) -> str:
    return kind.__name__.strip("_")


def _position(kind: type, module: Module, name: str) -> Any:
    """The key of the module's hook of that kind for that name, or None."""
    for key, (hook, _) in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:  # type: ignore[attr-defined]
            return key
    return None


def _remove(kind: type, module: Module, name: str, endings: tuple[str, ...]) -> Module:
    key = _position(kind, module, name)
    if key is None:
        raise ValueError(f"{_title(kind)} of {name!r} not found in {type(module).__name__}")
    hook, _ = module._forward_pre_hooks.pop(key)
    hook.detach(module, endings)
    return module


class _SpectralNorm(_Reweighting):
    def __init__(self, name: str, steps: int, dim: int, eps: float) -> None:
        if steps <= 0:
            raise ValueError(f"n_power_iterations must be positive, got {steps}")
        self.name, self.steps, self.dim, self.eps = name, steps, dim, eps

    def compute(self, module: Module, update: bool) -> Any:
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if update:
            iterate(matrix, u, v, self.steps, self.eps, left_first=False)
            u, v = u.clone(), v.clone()  # the next call changes them, before backward perhaps
        return weight / dot(u, mv(matrix, v))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value σ, so that the layer is 1-Lipschitz.

    σ = uᵀ W v, with u and v moved by `n_power_iterations` steps of the power method in each call in
    training mode.  W is the weight as a matrix with a row for each index of dimension `dim` (0, or
    1 for transposed convolutions, if None).
    Learned is `weight_orig`; `weight_u` and `weight_v` are buffers.  Returns the module.
    Raises ValueError if there is no such tensor, RuntimeError if it already is under this norm.
    Source: Miyato et al. 2018, arXiv:1802.05957, algorithm 1.

    >>> from minigen import nn
    >>> layer = spectral_norm(nn.Linear(3, 2))
    >>> list(layer.state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = weight_of(module, name)
    dim = default_dim(module) if dim is None else dim
    hook = _SpectralNorm(name, n_power_iterations, dim, eps)
    hook.attach(module, {"orig": weight})
    with no_grad():
        rows, columns = as_matrix(weight, dim).shape
        u, v = (weight.new_zeros(n).normal_() for n in (rows, columns))
    module.register_buffer(name + "_u", F.normalize(u, dim=0, eps=eps))
    module.register_buffer(name + "_v", F.normalize(v, dim=0, eps=eps))
    setattr(module, name, weight.data)  # until the first call
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make an ordinary parameter of the normalized weight.  Raises ValueError if there is none."""
    return _remove(_SpectralNorm, module, name, ("orig", "u", "v"))


class _WeightNorm(_Reweighting):
    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute(self, module: Module, update: bool) -> Any:
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / norm_except_dim(v, self.dim))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn the length and the direction of a weight apart: w = g v / ‖v‖.

    There is a length g for each index of dimension `dim`, or one for all if None.  Learned are
    `weight_g` and `weight_v`.  Returns the module.
    Raises ValueError if there is no such tensor, RuntimeError if it already is under this norm.
    Source: Salimans & Kingma 2016, arXiv:1602.07868, eq. 2.

    >>> from minigen import nn
    >>> layer = weight_norm(nn.Linear(3, 2))
    >>> [(name, tuple(p.shape)) for name, p in layer.named_parameters()]
    [('bias', (2,)), ('weight_g', (2, 1)), ('weight_v', (2, 3))]
    """
    weight = weight_of(module, name)
    hook = _WeightNorm(name, dim)
    g = norm_except_dim(weight.detach(), hook.dim)
    hook.attach(module, {"g": Parameter(g), "v": Parameter(weight.data)})
    setattr(module, name, hook.compute(module, False))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make an ordinary parameter of the weight.  Raises ValueError if there is no weight norm."""
    return _remove(_WeightNorm, module, name, ("g", "v"))
