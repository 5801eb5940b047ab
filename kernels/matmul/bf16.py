"""Matrix product with bfloat16 operands and float32 sums, emulated on the CPU.

For training in mixed precision (Micikevicius et al. 2018, arXiv:1710.03740; Kalamkar et al. 2019,
arXiv:1905.12322): what a GPU's tensor cores make of float32 arrays that are rounded on their way.
It costs three passes over the operands more than BLAS: it is there for its numbers, not its speed.
"""

from __future__ import annotations

from typing import Any

from ..bfloat16 import rounded
from .blas import matmul_blas

Array = Any


def matmul_bf16(a: Array, b: Array) -> Array:
    """C = A B of operands rounded to bfloat16, in float32.

    >>> import numpy as np
    >>> matmul_bf16(np.full((1, 1), 1.001, np.float32), np.ones((1, 1), np.float32))
    array([[1.]], dtype=float32)
    """
    return matmul_blas(rounded(a), rounded(b))
