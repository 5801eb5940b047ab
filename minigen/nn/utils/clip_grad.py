"""Keeping gradients from exploding: by their common norm, or element by element."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigen import backend, errors
from minigen.autograd import wrap
from minigen.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm"]


def _gradients(parameters: Any) -> list[Tensor]:
    one = [parameters] if isinstance(parameters, Tensor) else parameters
    return [parameter.grad for parameter in one if parameter.grad is not None]


def _norm(array: Any, norm_type: float) -> Any:
    """‖array‖ over all elements, in the dtype of the array (half precision is summed in single)."""
    if array.dtype.itemsize == 2:
        return _norm(array.astype(np.float32), norm_type).astype(array.dtype)
    flat = array.reshape(-1)
    if norm_type == 2:
        return np.sqrt(np.dot(flat, flat))
    size = np.abs(flat)
    if norm_type == math.inf:
        return size.max() if flat.size else size.sum()
    if norm_type == -math.inf:
        return size.min()
    if norm_type == 0:
        return (size != 0).sum().astype(array.dtype)
    return (size**norm_type).sum() ** (1 / norm_type)


def _total_norm(arrays: list[Any], norm_type: float) -> Any:
    if norm_type == 2 and all(array.dtype.itemsize > 2 for array in arrays):
        squares = [backend.as_array(np.dot(a.reshape(-1), a.reshape(-1))) for a in arrays]
        # one root of all instead of one an array; on a GPU sums, as np.stack would send it a table
        total = sum(squares) if backend.on_gpu(squares[0]) else np.stack(squares).sum()
        return np.sqrt(total)
    return _norm(np.stack([backend.as_array(_norm(a, norm_type)) for a in arrays]), norm_type)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all tensors together, as if they were one vector: a 0-d tensor.

    Raises RuntimeError for a norm that is NaN or infinite, if `error_if_nonfinite`.

    >>> import minigen
    >>> get_total_norm([minigen.tensor([3.0]), minigen.tensor([0.0, 4.0])])
    tensor(5.)
    """
    arrays = [t.array for t in ([tensors] if isinstance(tensors, Tensor) else tensors)]
    if not arrays:
        return wrap(np.zeros((), np.float32))
    with backend.quiet():
        total = wrap(backend.as_array(_total_norm(arrays, float(norm_type))))
    if error_if_nonfinite and not backend.all_finite(total.array):
        raise RuntimeError(
            f"the total norm of order {float(norm_type)} of the gradients is {total.item()}; "
            "error_if_nonfinite=False clips all the same"
        )
    return total


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients together, in place, so that their common norm is at most `max_norm`.

    g <- g · min(1, max_norm / (‖g‖ + 1e-6))   (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1)

    Returns the norm before scaling.  Raises RuntimeError, and scales nothing, for a norm that is
    NaN or infinite, if `error_if_nonfinite`.

    >>> import minigen
    >>> w = minigen.zeros(2, requires_grad=True)
    >>> (w * minigen.tensor([3.0, 4.0])).sum().backward()
    >>> clip_grad_norm_([w], max_norm=1.0), w.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    gradients = _gradients(parameters)
    with backend.quiet():
        if float(norm_type) == 2 and not error_if_nonfinite and _alike(gradients):
            arrays = [gradient.array for gradient in gradients]
            norm, factor = backend.kernel_of_all("clip_norm", arrays, float(max_norm))
            total = wrap(backend.as_array(norm))
        else:
            total = get_total_norm(gradients, norm_type, error_if_nonfinite)
            factor = np.minimum(float(max_norm) / (total.array + 1e-6), 1.0)
            _scale(gradients, factor)
    if backend.on_gpu(factor) or factor != 1:  # NaN spreads, as in PyTorch
        where = errors.caller()
        for gradient in gradients:
            gradient.changed_in_place(where)
    return total


def _alike(gradients: list[Tensor]) -> bool:
    """Whether the kernel takes all of them: arrays of one kind and dtype, and at least one."""
    kinds = {(gradient.array.__class__, gradient.array.dtype) for gradient in gradients}
    return len(kinds) == 1 and backend.fusable(gradients[0].array)


def _scale(gradients: list[Tensor], factor: Any) -> None:
    """Multiply each by the factor, in place and in its own dtype."""
    if backend.on_gpu(factor) or factor != 1:
        dtypes = {gradient.array.dtype for gradient in gradients}
        factors = {dtype: factor.astype(dtype) for dtype in dtypes}
        for gradient in gradients:
            gradient.array *= factors[gradient.array.dtype]


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamp every element of every gradient, in place, to [-clip_value, clip_value].

    >>> import minigen
    >>> w = minigen.zeros(2, requires_grad=True)
    >>> (w * minigen.tensor([0.3, 4.0])).sum().backward()
    >>> clip_grad_value_(w, 1.0)
    >>> w.grad
    tensor([0.3000, 1.0000])
    """
    bound, where = float(clip_value), errors.caller()
    for gradient in _gradients(parameters):
        np.clip(gradient.array, -bound, bound, out=gradient.array)
        gradient.changed_in_place(where)
