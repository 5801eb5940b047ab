"""Activations with straight pieces: `relu` and what was made of it.

Where the derivative follows from the output, the rule asks for the output: the input, which may be
large, need not be kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable, wrap
from minigen.errors import ShapeError
from minigen.ops.shape import reshape
from minigen.ops.softmax import floating
from minigen.tensor import method

__all__ = [
    "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "prelu", "relu", "relu6",
    "rrelu", "softshrink", "threshold",
]  # fmt: skip


@differentiable(flat=True)
def _between(input: Any, low: float, high: float) -> Any:
    """1 where low < input < high, else 0."""
    if high == math.inf:
        return (input > low).astype(input.dtype)
    return ((input > low) & (input < high)).astype(input.dtype)


@differentiable(flat=True)
def _leaky_slope(input: Any, negative_slope: float) -> Any:
    """1 where input > 0, else negative_slope."""
    slope = (input > 0).astype(input.dtype)
    if 0 <= negative_slope <= 1:
        return np.maximum(slope, negative_slope)
    return slope * (1 - negative_slope) + negative_slope


_between.gradients(input=lambda g: None)
_leaky_slope.gradients(input=lambda g: None)


@method("relu")
@differentiable
def relu(input: Any) -> Any:
    """max(x, 0).

    >>> import minigen
    >>> relu(minigen.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if input.dtype.kind == "b":
        raise TypeError("needs numbers, not bool")
    return np.maximum(input, 0)


def _relu_gradient(g: Any, output: Any) -> Any:
    if backend.large(g):
        return backend.kernel("relu_backward", g, output)
    return g * _between(output, 0, math.inf)


relu.gradients(input=_relu_gradient)


@differentiable(promote=floating)
def _leaky_relu(input: Any, negative_slope: float) -> Any:
    output = np.empty_like(input)
    np.multiply(input, negative_slope, out=output)
    larger = np.maximum if negative_slope <= 1 else np.minimum
    return larger(input, output, out=output)


def _leaky_relu_gradient(g: Any, output: Any, negative_slope: float) -> Any:
    if backend.large(g):
        return backend.kernel("relu_backward", g, output, negative_slope)
    return g * _leaky_slope(output, negative_slope)


_leaky_relu.gradients(input=_leaky_relu_gradient)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where x > 0, else negative_slope * x.  Source: Maas, Hannun & Ng 2013, section 2.

    >>> import minigen
    >>> leaky_relu(minigen.tensor([-1.0, 2.0]), 0.2)
    tensor([-0.2000,  2.0000])
    """
    if negative_slope <= 0:  # the sign of the output does not tell that of the input
        return input * _leaky_slope(input, negative_slope)
    return _leaky_relu(input, negative_slope)


@differentiable
def _clipped(input: Any, min_val: float, max_val: float) -> Any:
    if input.dtype.kind == "b":
        raise TypeError("needs numbers, not bool")
    if input.dtype.kind != "f":
        min_val, max_val = int(min_val), int(max_val)
    return np.clip(input, min_val, max_val)


_clipped.gradients(
    input=lambda g, output, min_val, max_val: g * _between(output, min_val, max_val),
)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """min(max(x, min_val), max_val); the gradient is 0 at both ends.

    >>> import minigen
    >>> hardtanh(minigen.tensor([-3.0, 0.5, 3.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ShapeError(f"hardtanh: min_val {min_val} cannot be greater than max_val {max_val}")
    return _clipped(input, min_val, max_val)


def relu6(input: Any) -> Any:
    """min(max(x, 0), 6).

    >>> import minigen
    >>> relu6(minigen.tensor([-1.0, 2.0, 9.0]))
    tensor([0., 2., 6.])
    """
    return _clipped(input, 0, 6)


@differentiable(promote=floating)
def hardsigmoid(input: Any) -> Any:
    """min(max(x + 3, 0), 6) / 6.  Source: Howard et al. 2019, arXiv:1905.02244, section 5.2.

    >>> import minigen
    >>> hardsigmoid(minigen.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    output = np.empty_like(input)
    np.add(input, 3, out=output)
    np.clip(output, 0, 6, out=output)
    output /= 6
    return output


hardsigmoid.gradients(input=lambda g, output: g * _between(output, 0, 1) / 6)


@differentiable(promote=floating)
def hardswish(input: Any) -> Any:
    """x * hardsigmoid(x).  Source: Howard et al. 2019, arXiv:1905.02244, section 5.2.

    >>> import minigen
    >>> hardswish(minigen.tensor([-1.0, 1.0, 4.0]))
    tensor([-0.3333,  0.6667,  4.0000])
    """
    output = np.empty_like(input)
    np.add(input, 3, out=output)
    np.clip(output, 0, 6, out=output)
    output *= input
    output /= 6
    return output


def _hardswish_gradient(g: Any, input: Any) -> Any:
    """0 below -3, 1 above 3, x/3 + 1/2 between."""
    return g * (_between(input, -3, 3) * (input / 3 + 0.5) + (input >= 3))


hardswish.gradients(input=_hardswish_gradient)


@method("prelu")
def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, else weight * x.  Source: He et al. 2015, arXiv:1502.01852, equation 1.

    input (N, C, ...); weight: one slope for all, or one for each of the C channels.

    >>> import minigen
    >>> prelu(minigen.tensor([[-1.0, -1.0]]), minigen.tensor([0.25, 0.5]))
    tensor([[-0.2500, -0.5000]])
    """
    if weight.dtype != input.dtype:
        raise TypeError(f"prelu: a weight of {weight.dtype} does not fit an input of {input.dtype}")
    slopes, channels = weight.numel(), input.shape[1] if input.ndim > 1 else 1
    if slopes != 1 and (weight.ndim != 1 or slopes != channels):
        raise ShapeError(
            f"prelu: weight of shape {tuple(weight.shape)} must hold 1 slope or {channels}, 1 "
            f"for each channel (dimension 1) of input of shape {tuple(input.shape)}"
        )
    shape = () if slopes == 1 else (slopes,) + (1,) * (input.ndim - 2)
    return _prelu(input, reshape(weight, shape))


@differentiable(promote=floating)
def _prelu(input: Any, weight: Any) -> Any:
    return np.maximum(input, 0) + weight * np.minimum(input, 0)


_prelu.gradients(
    input=lambda g, input, weight: g * (weight + (input > 0) * (1 - weight)),
    weight=lambda g, input: g * (input * (input <= 0)),
)


@differentiable
def threshold(input: Any, threshold: float, value: float) -> Any:
    """x where x > threshold, else value.

    >>> import minigen
    >>> threshold(minigen.tensor([1.0, 2.0, 3.0]), 2.0, -7.0)
    tensor([-7., -7.,  3.])
    """
    return np.where(input <= threshold, input.dtype.type(value), input)  # NaN stays


threshold.gradients(input=lambda g, input, threshold: g * _between(input, threshold, math.inf))


# ------------------------------------------------------------------------------ to zero, at random


@differentiable
def _outside(input: Any, lambd: float) -> Any:
    """0 where -lambd <= x <= lambd, else 1."""
    return (~((input >= -lambd) & (input <= lambd))).astype(input.dtype)


_outside.gradients(input=lambda g: g * 0)


@method("hardshrink")
@differentiable(promote=floating)
def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where |x| > lambd, else 0.

    >>> import minigen
    >>> hardshrink(minigen.tensor([-1.0, 0.25, 0.75]))
    tensor([-1.0000,  0.0000,  0.7500])
    """
    return np.where((input >= -lambd) & (input <= lambd), input.dtype.type(0), input)


@differentiable(promote=floating)
def _softshrink(input: Any, lambd: float) -> Any:
    return np.sign(input) * np.maximum(np.abs(input) - lambd, 0)


hardshrink.gradients(input=lambda g, input, lambd: g * _outside(input, lambd))
_softshrink.gradients(input=lambda g, input, lambd: g * _outside(input, lambd))


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x - lambd above lambd, x + lambd below -lambd, 0 between: the proximal map of lambd |x|.

    Raises ShapeError for a negative lambd.

    >>> import minigen
    >>> softshrink(minigen.tensor([-1.0, 0.25, 0.75]))
    tensor([-0.5000,  0.0000,  0.2500])
    """
    if lambd < 0:
        raise ShapeError(f"softshrink: lambd must not be negative, got {lambd}")
    return _softshrink(input, lambd)


def rrelu(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """x where x > 0, else a x, with a drawn from U(lower, upper) for each element in training.

    Otherwise a = (lower + upper) / 2.  Source: Xu et al. 2015, arXiv:1505.00853, section 2.4.
    Raises ShapeError for lower > upper and for inplace=True.

    >>> import minigen
    >>> rrelu(minigen.tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    if inplace:
        raise ShapeError("rrelu: inplace=True is not offered; use x = rrelu(x)")
    if lower > upper:
        raise ShapeError(f"rrelu: lower {lower} must not be greater than upper {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    if input.array.dtype.kind != "f":
        raise TypeError(f"rrelu: needs a floating-point input, not {input.dtype}; use x.float()")

    def draw() -> Any:
        uniform = backend.stream(None).uniform(lower, upper, input.shape)
        return backend.cast(uniform, input.array.dtype)

    return _prelu(input, wrap(backend.drawn(draw, input.device)))
