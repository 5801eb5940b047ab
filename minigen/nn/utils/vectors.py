"""All parameters of a model as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigen.errors import ShapeError
from minigen.ops.joining import cat
from minigen.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Any:
    """The elements of all parameters in a row; differentiable.

    >>> import minigen
    >>> parameters_to_vector([minigen.ones(2, 2), minigen.zeros(1)])
    tensor([1., 1., 1., 1., 0.])
    """
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Let the parameters, one after the other, be views of the vector's memory.

    Raises TypeError if `vec` is no tensor and ValueError if it is shorter than the parameters.

    >>> import minigen
    >>> w = minigen.zeros(2, 1)
    >>> vector_to_parameters(minigen.tensor([5.0, 6.0]), [w])
    >>> w
    tensor([[5.],
            [6.]])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a tensor, but got: {type(vec).__name__}")
    parameters = list(parameters)
    needed = sum(parameter.numel() for parameter in parameters)
    if vec.ndim != 1 or vec.numel() < needed:
        raise ShapeError(
            f"vector_to_parameters: the parameters hold {needed} elements, "
            f"the vector has shape {tuple(vec.shape)}"
        )
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.data = vec.data[start:end].reshape(parameter.shape)
        start = end
