"""In how little precision products of float32 matrices may be computed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minigen.dispatch import kernels

__all__ = ["get_float32_matmul_precision", "set_float32_matmul_precision"]

# What a user asks of training -> the level of float32 products. Weights, gradients, the optimizer's
# state and every sum are float32 in both.
TRAINING = {"fp32": "highest", "bf16": "medium"}


def set_float32_matmul_precision(precision: str) -> None:
    """Allow products of float32 matrices to be computed in less than float32, in this process.

    "highest" is float32. "high" also allows, on a GPU, three products in TF32, which are as
    accurate. "medium" rounds the operands to bfloat16, and makes the sums in float32: matrix
    products, linear layers, attention, convolutions and their gradients; the products inside of
    recurrent layers stay float32. On the CPU it is emulated, number for number what a GPU's tensor
    cores would compute but for the order of sums, and is no faster.

    Raises ValueError for any other word (PyTorch warns, and goes on as before).

    >>> import minigen
    >>> third = minigen.tensor([[1 / 3]])
    >>> set_float32_matmul_precision("medium")
    >>> (third @ minigen.ones(1, 1)).item()
    0.333984375
    >>> set_float32_matmul_precision("highest")
    """
    if not isinstance(precision, str):
        raise TypeError(
            f"set_float32_matmul_precision: expects a string, got {type(precision).__name__}"
        )
    kernels.set_float32_matmul_precision(precision)


def get_float32_matmul_precision() -> str:
    """The precision of products of float32 matrices.

    >>> get_float32_matmul_precision()
    'highest'
    """
    return kernels.get_float32_matmul_precision()


def at_precision(function: Callable[..., Any], precision: str) -> Callable[..., Any]:
    """The function with products in a precision of `TRAINING`, and the one before afterwards.

    >>> at_precision(get_float32_matmul_precision, "bf16")()
    'medium'
    """
    level = TRAINING[precision]

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        before = get_float32_matmul_precision()
        set_float32_matmul_precision(level)
        try:
            return function(*args, **options)
        finally:
            set_float32_matmul_precision(before)

    return wrapped
