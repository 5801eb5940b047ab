"""Activations as modules.  The mathematics stands in `minigen.ops.activation`.

All but GLU keep the shape of their input; `inplace=True` overwrites it.

>>> import minigen
>>> x = minigen.tensor([-1.0, 0.0, 2.0])
>>> ELU(alpha=0.5)(x), Hardtanh(-0.5, 0.5)(x)
(tensor([-0.3161,  0.0000,  2.0000]), tensor([-0.5000,  0.0000,  0.5000]))
>>> GELU(approximate="tanh")
GELU(approximate='tanh')
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigen.errors import ShapeError
from minigen.nn import functional as F
from minigen.nn import init as initial
from minigen.nn.inplace import apply
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter, factory
from minigen.ops.creation import empty

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SiLU",
    "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Threshold",
]  # fmt: skip


class _Activation(Module):
    """A function of one tensor.  `options` names the attributes that are its further arguments."""

    function: Callable
    options: tuple[str, ...] = ()
    inplace = False

    def _set(self, inplace: bool = False, **options: Any) -> None:
        Module.__init__(self)
        if inplace:
            self.inplace = True
        self.__dict__.update(options)

    def forward(self, input: Any) -> Any:
        options = (getattr(self, name) for name in self.options)
        return apply(type(self).function, input, self.inplace, *options)

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self.options]
        return ", ".join(shown + ["inplace=True"] * self.inplace)


class _InPlace(_Activation):
    """An activation without options; with `inplace` it also overwrites its input."""

    def __init__(self, inplace: bool = False) -> None:
        self._set(inplace)


class ReLU(_InPlace):
    """max(x, 0).

    >>> import minigen
    >>> ReLU()(minigen.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    function = staticmethod(F.relu)


class ReLU6(_InPlace):
    """min(max(x, 0), 6)."""

    function = staticmethod(F.relu6)


class SELU(_InPlace):
    """s · elu(x, a) with the s and a that keep mean 0 and variance 1 (arXiv:1706.02515)."""

    function = staticmethod(F.selu)


class SiLU(_InPlace):
    """x σ(x)."""

    function = staticmethod(F.silu)


class Mish(_InPlace):
    """x tanh(log(1 + eˣ))."""

    function = staticmethod(F.mish)


class Hardsigmoid(_InPlace):
    """min(max(x / 6 + 1/2, 0), 1)."""

    function = staticmethod(F.hardsigmoid)

    def extra_repr(self) -> str:
        return ""


class Hardswish(_InPlace):
    """x hardsigmoid(x)."""

    function = staticmethod(F.hardswish)

    def extra_repr(self) -> str:
        return ""


class LeakyReLU(_Activation):
    """x where x > 0, else negative_slope · x.

    >>> import minigen
    >>> LeakyReLU(0.2)(minigen.tensor([-1.0, 2.0]))
    tensor([-0.2000,  2.0000])
    """

    function = staticmethod(F.leaky_relu)
    options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self._set(inplace, negative_slope=negative_slope)


class ELU(_Activation):
    """x where x > 0, else alpha (eˣ - 1)."""

    function = staticmethod(F.elu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self._set(inplace, alpha=alpha)


class CELU(_Activation):
    """x where x > 0, else alpha (exp(x / alpha) - 1)."""

    function = staticmethod(F.celu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self._set(inplace, alpha=alpha)


class GELU(_Activation):
    """x Φ(x), with Φ the normal distribution; approximate: "none", or "tanh" as GPT-2 has it."""

    function = staticmethod(F.gelu)
    options = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        self._set(approximate=approximate)


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, which is x above beta x > threshold."""

    function = staticmethod(F.softplus)
    options = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self._set(beta=beta, threshold=threshold)


class Hardtanh(_Activation):
    """min(max(x, min_val), max_val).  Raises ValueError unless min_val < max_val."""

    function = staticmethod(F.hardtanh)
    options = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        if not max_val > min_val:
            raise ValueError(f"max_val ({max_val}) must be larger than min_val ({min_val})")
        self._set(inplace, min_val=min_val, max_val=max_val)


class Threshold(_Activation):
    """x where x > threshold, else value."""

    function = staticmethod(F.threshold)
    options = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self._set(inplace, threshold=threshold, value=value)


class _Shrink(_Activation):
    options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        self._set(lambd=lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Hardshrink(_Shrink):
    """x where |x| > lambd, else 0."""

    function = staticmethod(F.hardshrink)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd, as far as 0."""

    function = staticmethod(F.softshrink)


class RReLU(_Activation):
    """x where x > 0, else a x; in training a is drawn from U(lower, upper) for each element.

    In evaluation a is their mean.  Source: Xu et al. 2015, arXiv:1505.00853.
    """

    function = staticmethod(F.rrelu)
    options = ("lower", "upper", "training")

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        self._set(inplace, lower=lower, upper=upper)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + ", inplace=True" * self.inplace


class Sigmoid(_Activation):
    """σ(x) = 1 / (1 + e⁻ˣ)."""

    function = staticmethod(F.sigmoid)


class Tanh(_Activation):
    """tanh x."""

    function = staticmethod(F.tanh)


class LogSigmoid(_Activation):
    """log σ(x)."""

    function = staticmethod(F.logsigmoid)


class Softsign(_Activation):
    """x / (1 + |x|)."""

    function = staticmethod(F.softsign)


class Tanhshrink(_Activation):
    """x - tanh x."""

    function = staticmethod(F.tanhshrink)


class _AlongDim(_Activation):
    options = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self._set(dim=dim)


class Softmax(_AlongDim):
    """exp(x) / Σ exp(x) along `dim`.

    >>> import minigen
    >>> Softmax(dim=0)(minigen.zeros(4))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    function = staticmethod(F.softmax)


class LogSoftmax(_AlongDim):
    """x - log Σ exp(x) along `dim`."""

    function = staticmethod(F.log_softmax)


class Softmin(_AlongDim):
    """softmax(-x) along `dim`."""

    function = staticmethod(F.softmin)


class GLU(_AlongDim):
    """a σ(b), where a and b are the two halves of the input along `dim`."""

    function = staticmethod(F.glu)

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim)


class Softmax2d(_Activation):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Any) -> Any:
        if input.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: expected 3D or 4D input, got {tuple(input.shape)}")
        return F.softmax(input, -3)


class PReLU(Module):
    """x where x > 0, else weight · x: a learned slope, one for all channels or one for each.

    Channels are dimension 1.  Source: He et al. 2015, arXiv:1502.01852.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty(num_parameters, **factory(device, dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every slope `init`."""
        initial.constant_(self.weight, self.init)

    def forward(self, input: Any) -> Any:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
