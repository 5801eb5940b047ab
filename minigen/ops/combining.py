"""Functions of several tensors: weighted sums, angles, `logaddexp`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import silent
from minigen.dtypes import promote, promote_tensors, promote_to_float, tensors_only
from minigen.ops.comparison import where
from minigen.ops.functions import log, sigmoid
from minigen.tensor import method

__all__ = ["addcdiv", "addcmul", "arctan2", "atan2", "hypot", "lerp", "logaddexp", "xlogy"]


def _same_floats(operands: Sequence) -> Sequence:
    input, end, weight = operands
    for name, v in (("input", input), ("end", end)):
        if getattr(v, "dtype", np.dtype(bool)).kind != "f":
            raise TypeError(f"expects a floating-point tensor as {name}")
    if input.dtype != end.dtype:
        raise ValueError(f"input is {input.dtype}, but end is {end.dtype}")
    if getattr(weight, "ndim", 0) and weight.dtype != input.dtype:
        raise ValueError(f"input is {input.dtype}, but weight is {weight.dtype}")
    return promote(operands)


@method("lerp")
@differentiable(promote=_same_floats)
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight * (end - input); weight is a number or a tensor.

    The weights of the two ends add up to one in floating point, too: weight 1 gives `end` exactly.

    >>> import minigen
    >>> minigen.lerp(minigen.tensor([0.0, 10.0]), minigen.tensor([1.0, 20.0]), 0.5)
    tensor([ 0.5000, 15.0000])
    """

    def mix() -> Any:
        step = end - input
        near = np.abs(weight) < 0.5
        return np.where(near, input + weight * step, end - step * (1 - weight))

    return silent().run(mix)


lerp.gradients(
    input=lambda g, weight: g * (1 - weight),
    end=lambda g, weight: g * weight,
    weight=lambda g, input, end: g * (end - input),
)


def _value(value: Any, operand: Any) -> Any:
    """The factor, in PyTorch rounded towards zero for integer tensors."""
    return int(value) if operand.dtype.kind != "f" else value


@method("addcmul")
@differentiable(promote=promote_tensors)
def addcmul(input: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    """input + value * tensor1 * tensor2.

    >>> import minigen
    >>> one, two = minigen.tensor(1.0), minigen.tensor(2.0)
    >>> minigen.addcmul(one, two, two, value=10)
    tensor(41.)
    """
    return silent().run(lambda: input + tensor1 * tensor2 * _value(value, input))


addcmul.gradients(
    input=lambda g: g,
    tensor1=lambda g, tensor2, value: g * tensor2 * value,
    tensor2=lambda g, tensor1, value: g * tensor1 * value,
)


@tensors_only
def _quotients(operands: Sequence) -> Sequence:
    if all(v.dtype.kind != "f" for v in operands[1:]):
        raise ValueError("two integer tensors are not divided here; make one floating-point")
    return promote(operands)


@method("addcdiv")
@differentiable(promote=_quotients)
def addcdiv(input: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    """input + value * tensor1 / tensor2.

    >>> import minigen
    >>> one, two = minigen.tensor(1.0), minigen.tensor(2.0)
    >>> minigen.addcdiv(one, one, two, value=10)
    tensor(6.)
    """
    return silent().run(lambda: input + tensor1 / tensor2 * value)


addcdiv.gradients(
    input=lambda g: g,
    tensor1=lambda g, tensor2, value: g * value / tensor2,
    tensor2=lambda g, tensor1, tensor2, value: -g * value * (tensor1 / tensor2) / tensor2,
)


@tensors_only
def _two_floats(operands: Sequence) -> Sequence:
    promoted = promote(operands)
    if promoted[0].dtype.kind != "f":
        raise TypeError("expects floating-point tensors")
    return promoted


@method("logaddexp")
@differentiable(promote=_two_floats)
def logaddexp(input: Any, other: Any) -> Any:
    """log(exp(input) + exp(other)), without overflow.

    >>> import minigen
    >>> minigen.logaddexp(minigen.tensor(1000.0), minigen.tensor(1000.0))
    tensor(1000.6932)
    """
    return silent().run(np.logaddexp, input, other)


logaddexp.gradients(
    input=lambda g, input, other: g * sigmoid(input - other),
    other=lambda g, input, other: g * sigmoid(other - input),
)


@method("hypot")
@differentiable(promote=_two_floats)
def hypot(input: Any, other: Any) -> Any:
    """sqrt(input² + other²), without overflow.

    >>> import minigen
    >>> minigen.hypot(minigen.tensor(3.0), minigen.tensor(4.0))
    tensor(5.)
    """
    return silent().run(np.hypot, input, other)


hypot.gradients(
    input=lambda g, input, output: g * (input / output),
    other=lambda g, other, output: g * (other / output),
)


@method("atan2", "arctan2")
@differentiable(promote=tensors_only(promote_to_float))
def atan2(input: Any, other: Any) -> Any:
    """The angle of the point (x = other, y = input) in radians, between -π and π.

    >>> import minigen
    >>> minigen.atan2(minigen.tensor(1.0), minigen.tensor(-1.0))
    tensor(2.3562)
    """
    return silent().run(np.arctan2, input, other)


atan2.gradients(
    input=lambda g, input, other: g * (other / (input * input + other * other)),
    other=lambda g, input, other: g * (-input / (input * input + other * other)),
)


@method("xlogy")
@differentiable(promote=promote_to_float)
def xlogy(input: Any, other: Any) -> Any:
    """input * log(other), and 0 where input is 0 (but NaN where other is NaN).

    >>> import minigen
    >>> minigen.xlogy(minigen.tensor([0.0, 2.0]), minigen.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """

    def compute() -> Any:
        product = input * np.log(other)
        return np.where((input == 0) & ~np.isnan(other), 0.0, product)

    return silent().run(compute)


xlogy.gradients(
    input=lambda g, input, other: g * where((input == 0) & (other <= 0), 0.0, log(other)),
    other=lambda g, input, other: g * (input / other),
)

arctan2 = atan2
