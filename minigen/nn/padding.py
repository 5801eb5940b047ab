"""Layers that put more elements around their input."""

from __future__ import annotations

from typing import Any

from minigen.nn import functional as F
from minigen.nn.module import Module

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d",
    "ConstantPad3d", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d",
    "ReplicationPad2d", "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _Pad(Module):
    """padding: one width, or (before, after) of the last dimension, of the one before it, ..."""

    dims: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        several = isinstance(padding, tuple | list)
        self.padding = tuple(padding) if several else (padding,) * (2 * self.dims)

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """`value` around (N, C, L): one width, or (left, right)."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """`value` around (N, C, H, W): one width, or (left, right, top, bottom)."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """`value` around (N, C, D, H, W): one width, or (left, right, top, bottom, front, back)."""

    dims = 3


class ZeroPad1d(ConstantPad1d):
    """Zeros around (N, C, L): one width, or (left, right)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Zeros around (N, C, H, W): one width, or (left, right, top, bottom).

    >>> import minigen
    >>> ZeroPad2d((1, 0, 0, 0))(minigen.ones(1, 1, 1, 2))
    tensor([[[[0., 1., 1.]]]])
    """

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Zeros around (N, C, D, H, W): one width, or (left, right, top, bottom, front, back)."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ReflectionPad(_Pad):
    mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """(N, C, L) mirrored at its outermost elements: one width, or (left, right)."""

    dims = 1


class ReflectionPad2d(_ReflectionPad):
    """(N, C, H, W) mirrored at its outermost elements: one width, or (left, right, top, bottom)."""

    dims = 2


class ReflectionPad3d(_ReflectionPad):
    """(N, C, D, H, W) mirrored at its outermost elements: one width, or six of them."""

    dims = 3


class _ReplicationPad(_Pad):
    mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """(N, C, L) with its outermost elements repeated: one width, or (left, right)."""

    dims = 1


class ReplicationPad2d(_ReplicationPad):
    """(N, C, H, W), its outermost elements repeated: one width, or (left, right, top, bottom)."""

    dims = 2


class ReplicationPad3d(_ReplicationPad):
    """(N, C, D, H, W), its outermost elements repeated: one width, or six of them."""

    dims = 3


class _CircularPad(_Pad):
    mode = "circular"


class CircularPad1d(_CircularPad):
    """(N, C, L) continued from its other end: one width, or (left, right)."""

    dims = 1


class CircularPad2d(_CircularPad):
    """(N, C, H, W) continued from its other end: one width, or (left, right, top, bottom)."""

    dims = 2


class CircularPad3d(_CircularPad):
    """(N, C, D, H, W) continued from its other end: one width, or six of them."""

    dims = 3
