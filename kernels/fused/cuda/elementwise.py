"""gelu, its gradient, and dropout: what is allocated, and which kernel runs."""

from __future__ import annotations

from typing import Any

from ...cuda.launch import empty
from .launching import PACK, THREADS, ceil_div, flat, ready

Array = Any


def _mapped(name: str, *inputs: Array, options: tuple = ()) -> Array:
    """kernel(*inputs, result, *options, size), a thread for four elements."""
    arrays = [ready(a) for a in inputs]
    result = empty(arrays[0], (arrays[0].size,))
    if result.size:
        flattened = [a.reshape(-1) for a in arrays]
        blocks = ceil_div(result.size, PACK * THREADS)
        flat("elementwise", name)((blocks,), *flattened, result, *options, result.size)
    return result.reshape(arrays[0].shape)


def gelu_cuda(x: Array, approximate: str = "none") -> Array:
    """x Φ(x), or its "tanh" approximation: see `gelu_reference`."""
    return _mapped("gelu_tanh" if approximate == "tanh" else "gelu", x)


def gelu_backward_cuda(grad: Array, x: Array, approximate: str = "none") -> Array:
    """grad · gelu'(x): see `gelu_backward_reference`."""
    name = "gelu_tanh_backward" if approximate == "tanh" else "gelu_backward"
    return _mapped(name, grad, x)


def dropout_cuda(x: Array, mask: Array, scale: float) -> Array:
    """x · mask · scale: see `dropout_reference`."""
    return _mapped("dropout", x, mask, options=(scale,))
