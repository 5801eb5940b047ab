"""What the families share: broadcasting of parameters, probabilities and logits, noise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.errors import ShapeError
from minigen.modes import enable_grad
from minigen.nn.functional import softmax
from minigen.ops.creation import empty, tensor
from minigen.ops.functions import sigmoid
from minigen.ops.random import rand, randn
from minigen.ops.shape import broadcast_tensors
from minigen.tensor import Tensor

__all__ = ["broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits"]

Number = bool | int | float


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """Tensors and numbers as tensors of the shape they broadcast to.

    A number takes the dtype and device of the first tensor; numbers alone become the default dtype.
    Raises ValueError for anything else and for shapes that do not broadcast.

    >>> import minigen
    >>> broadcast_all(minigen.zeros(2), 1.0)
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    for value in values:
        if not isinstance(value, Tensor | Number):
            raise ValueError(
                f"a parameter must be a tensor or a number, got {type(value).__name__} {value!r}; "
                "minigen.tensor makes a tensor of a list or an array"
            )
    first = next((value for value in values if isinstance(value, Tensor)), None)
    if first is None:
        return tuple(tensor(float(value)) for value in values)
    tensors = [parameter_like(value, first) for value in values]
    try:
        return broadcast_tensors(*tensors)
    except ValueError:
        shapes = ", ".join(str(tuple(each.shape)) for each in tensors)
        raise ShapeError(
            f"the shapes {shapes} do not broadcast: counted from the right, two sizes must be "
            "equal, or one of them 1"
        ) from None


def parameter_like(value: Any, like: Tensor) -> Tensor:
    """A tensor as it is, a number as a 0-d tensor of the dtype and on the device of `like`."""
    if isinstance(value, Tensor):
        return value
    return tensor(value, dtype=like.dtype, device=like.device)


class lazy_property:
    """A property that is computed when first read, with its graph, and then kept."""

    def __init__(self, compute: Callable) -> None:
        self.compute = compute
        functools.update_wrapper(self, compute)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with enable_grad():  # it outlives the no_grad block in which it may be read first
            value = self.compute(instance)
        instance.__dict__[self.compute.__name__] = value
        return value


# ------------------------------------------------------------------------ probabilities, logits


def clamp_probs(probs: Tensor) -> Any:
    """Into [ε, 1 - ε], where ε is the distance of 1 to the next larger number of the dtype.

    >>> import minigen
    >>> clamp_probs(minigen.tensor([0.0, 0.5]))
    tensor([1.1921e-07, 5.0000e-01])
    """
    epsilon = float(np.finfo(probs.dtype.numpy).eps)
    return probs.clamp(epsilon, 1 - epsilon)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Any:
    """Softmax over the last dimension; sigmoid if every number is the log-odds of an event.

    >>> import minigen
    >>> logits_to_probs(minigen.tensor([0.0, 0.0]))
    tensor([0.5000, 0.5000])
    """
    return sigmoid(logits) if is_binary else softmax(logits, -1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Any:
    """log p, or log p - log(1 - p) if binary, of probabilities clamped by `clamp_probs`.

    >>> import minigen
    >>> probs_to_logits(minigen.tensor([0.5, 0.5]), is_binary=True)
    tensor([0., 0.])
    """
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def sum_rightmost(value: Any, count: int) -> Any:
    """The sum over the last `count` dimensions."""
    return value.sum(tuple(range(-count, 0))) if count else value


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which these broadcast."""
    try:
        return np.broadcast_shapes(*(tuple(shape) for shape in shapes))
    except ValueError:
        given = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ShapeError(f"the shapes {given} do not broadcast") from None


# --------------------------------------------------------------------------------------- noise
# All of it comes from the default generator, in the dtype and on the device of a parameter.


def standard_normal(shape: Sequence[int], like: Tensor) -> Tensor:
    return randn(tuple(shape), dtype=like.dtype, device=like.device)


def standard_uniform(shape: Sequence[int], like: Tensor) -> Tensor:
    """On [0, 1)."""
    return rand(tuple(shape), dtype=like.dtype, device=like.device)


def standard_exponential(shape: Sequence[int], like: Tensor) -> Any:
    """With density exp(-x) on x >= 0."""
    return empty(tuple(shape), dtype=like.dtype, device=like.device).exponential_()


def standard_gumbel(shape: Sequence[int], like: Tensor) -> Any:
    """-log E of a standard exponential E: with distribution function exp(-exp(-x))."""
    smallest = float(np.finfo(like.dtype.numpy).tiny)
    return -standard_exponential(shape, like).clamp(min=smallest).log()


def standard_logistic(shape: Sequence[int], like: Tensor) -> Any:
    """log(E₁ / E₂) of two exponentials: with distribution function 1 / (1 + exp(-x))."""
    return standard_gumbel(shape, like) - standard_gumbel(shape, like)
