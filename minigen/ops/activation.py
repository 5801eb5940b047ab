"""Activation functions of each element: the smooth ones here, `relu` and its kin in `rectifiers`,
sigmoid and tanh in `functions`; and the softmax family of `softmax`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.backend import log1p_array, silent
from minigen.errors import ShapeError
from minigen.ops.elementwise import clamp, maximum
from minigen.ops.functions import erf, exp, sigmoid, tanh
from minigen.ops.joining import chunk
from minigen.ops.rectifiers import (
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    relu,
    relu6,
    rrelu,
    softshrink,
    threshold,
)
from minigen.ops.softmax import floating, gumbel_softmax, log_softmax, softmax, softmin

__all__ = [
    "celu", "elu", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6",
    "rrelu", "selu", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign",
    "tanhshrink", "threshold",
]  # fmt: skip


@differentiable(promote=floating)
def _elu(input: Any, alpha: float, scale: float, input_scale: float) -> Any:
    """scale * x where x > 0, else scale * alpha * (exp(input_scale * x) - 1)."""
    output = np.empty_like(input)
    np.minimum(input, 0, out=output)
    if input_scale < 0:
        output *= input_scale
        silent().run(np.expm1, output, output)
        output *= alpha * scale
    else:  # exp(x) - 1 = 2 t / (1 - t), t = tanh(x/2), is three times as fast in float32
        output *= input_scale / 2
        np.tanh(output, out=output)
        output /= 1 - output
        output *= 2 * alpha * scale
    output += np.maximum(input, 0) if scale == 1 else np.maximum(input, 0) * scale
    return output


def _elu_gradient(g: Any, input: Any, alpha: float, scale: float, input_scale: float) -> Any:
    curved = exp(clamp(input, None, 0) * input_scale) * (alpha * scale * input_scale)
    return g * (curved + (input > 0) * (scale - curved))


_elu.gradients(input=_elu_gradient)


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha (exp(x) - 1).

    Source: Clevert, Unterthiner & Hochreiter 2016, arXiv:1511.07289, equation 15.

    >>> import minigen
    >>> elu(minigen.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return _elu(input, alpha, 1.0, 1.0)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu(input: Any) -> Any:
    """1.0507 * elu(x, 1.6733): keeps mean 0 and variance 1.

    Source: Klambauer et al. 2017, arXiv:1706.02515, equation 2, with the constants of its appendix.

    >>> import minigen
    >>> selu(minigen.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    return _elu(input, SELU_ALPHA, SELU_SCALE, 1.0)


def celu(input: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha (exp(x / alpha) - 1).  Source: Barron 2017, arXiv:1704.07483.

    >>> import minigen
    >>> celu(minigen.tensor([-1.0, 2.0]), 2.0)
    tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise ShapeError("celu: alpha cannot be 0")
    return _elu(input, alpha, 1.0, 1.0 / alpha)


@differentiable(promote=floating)
def gelu(input: Any, approximate: str = "none") -> Any:
    """x Φ(x), Φ the normal distribution function; by the kernel `gelu`.

    approximate: "tanh" for 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), as GPT-2 computes it.
    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.

    >>> import minigen
    >>> gelu(minigen.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be 'none' or 'tanh', not {approximate!r}")
    x = input if input.ndim else input.reshape(1)  # kernels take arrays, not bare numbers
    return backend.kernel("gelu", x, approximate=approximate).reshape(input.shape)


def _gelu_gradient(g: Any, input: Any, approximate: str) -> Any:
    x, cotangent = (input, g) if input.ndim else (input.reshape(1), g.reshape(1))
    dx = backend.kernel("gelu_backward", cotangent, x, approximate=approximate)
    return dx.reshape(input.shape)


gelu.gradients(input=_gelu_gradient)


@gelu.formula
def _(input: Any, approximate: str) -> Any:
    if approximate == "tanh":
        inner = (input + 0.044715 * input * input * input) * (2 / np.pi) ** 0.5
        return 0.5 * input * (1 + tanh(inner))
    return 0.5 * input * (1 + erf(input * 0.5**0.5))


@differentiable(promote=floating)
def silu(input: Any) -> Any:
    """x sigmoid(x) = x / (1 + exp(-x)).  Source: Ramachandran et al. 2017, arXiv:1710.05941.

    >>> import minigen
    >>> silu(minigen.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    if backend.large(input):
        return backend.kernel("silu", input)
    output = np.empty_like(input)
    np.negative(input, out=output)
    silent().run(np.exp, output, output)
    output += 1
    return np.divide(input, output, out=output)


def _silu_gradient(g: Any, input: Any) -> Any:
    if backend.large(g):
        return backend.kernel("silu_backward", g, input)
    s = sigmoid(input)
    return g * (s * (1 + input * (1 - s)))


silu.gradients(input=_silu_gradient)


@differentiable(promote=floating)
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold.

    >>> import minigen
    >>> softplus(minigen.tensor([-1.0, 2.0, 100.0]))
    tensor([  0.3133,   2.1269, 100.0000])
    """
    if backend.large(input):
        return backend.kernel("softplus", input, beta, threshold)
    scaled = input if beta == 1 else input * beta
    output = np.empty_like(input)
    np.abs(scaled, out=output)
    np.negative(output, out=output)
    output = log1p_array(np.exp(output, out=output))
    output += np.maximum(scaled, 0)
    if beta != 1:
        output /= beta
    np.copyto(output, input, where=scaled > threshold)
    return output


def _softplus_gradient(g: Any, input: Any, beta: float, threshold: float) -> Any:
    scaled = input if beta == 1 else input * beta
    return g * maximum(sigmoid(scaled), scaled > threshold)  # 1 beyond the threshold


softplus.gradients(input=_softplus_gradient)


@differentiable(promote=floating)
def logsigmoid(input: Any) -> Any:
    """log sigmoid(x) = min(x, 0) - log(1 + exp(-|x|)), without overflow.

    >>> import minigen
    >>> logsigmoid(minigen.tensor([-100.0, 0.0]))
    tensor([-100.0000,   -0.6931])
    """
    decay = np.empty_like(input)
    np.abs(input, out=decay)
    np.negative(decay, out=decay)
    output = log1p_array(np.exp(decay, out=decay))
    return np.subtract(np.minimum(input, 0), output, out=output)


logsigmoid.gradients(input=lambda g, input: g * sigmoid(-input))


@differentiable(promote=floating)
def mish(input: Any) -> Any:
    """x tanh(softplus(x)).  Source: Misra 2019, arXiv:1908.08681, equation 1.

    >>> import minigen
    >>> mish(minigen.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """
    return input * np.tanh(softplus(input))


def _mish_gradient(g: Any, input: Any) -> Any:
    t = tanh(softplus(input))
    return g * (t + input * sigmoid(input) * (1 - t * t))


mish.gradients(input=_mish_gradient)


def softsign(input: Any) -> Any:
    """x / (1 + |x|).

    >>> import minigen
    >>> softsign(minigen.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return input / (abs(input) + 1)


def tanhshrink(input: Any) -> Any:
    """x - tanh(x).

    >>> import minigen
    >>> tanhshrink(minigen.tensor([0.0, 1.0]))
    tensor([0.0000, 0.2384])
    """
    return input - tanh(input)


def glu(input: Any, dim: int = -1) -> Any:
    """a sigmoid(b), a and b the two halves of the input along `dim`.

    Source: Dauphin et al. 2017, arXiv:1612.08083, equation 1.

    >>> import minigen
    >>> glu(minigen.tensor([1.0, 2.0, 0.0, 100.0]))
    tensor([0.5000, 2.0000])
    """
    if input.ndim == 0:
        raise ShapeError("glu: a bare number cannot be halved")
    if input.shape[dim] % 2:
        raise ShapeError(
            f"glu: dimension {dim} is split into halves, so its size must be even, but it is "
            f"{input.shape[dim]} of shape {tuple(input.shape)}"
        )
    value, gate = chunk(input, 2, dim)
    return value * sigmoid(gate)
