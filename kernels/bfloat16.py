"""bfloat16 on the CPU: NumPy has no such dtype, so numbers are rounded to it and stay float32.

bfloat16 is the upper half of a float32: its 8 bits of exponent, and 7 of the 23 of mantissa. The
product of two is exact in float32, and sums of products are made in float32, so a matrix product of
rounded operands is what a tensor core computes, but for the order of its sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

LOWER_HALF = 0x7FFF  # one less than half of what the last kept bit is worth
UPPER_HALF = 0xFFFF0000


def rounded(x: Array) -> Array:
    """float32 -> float32, every number the nearest of bfloat16; of two as near, the even one.

    >>> rounded(np.array([1.0, 1.00390625, 1.01171875], np.float32))  # 1, 1 + 1/256, 1 + 3/256
    array([1.      , 1.      , 1.015625], dtype=float32)
    """
    bits = x.view(np.uint32)
    nearest = np.right_shift(bits, 16, out=np.empty(x.shape, np.uint32))
    nearest &= 1  # a tie is rounded up where the last kept bit is odd
    nearest += LOWER_HALF
    nearest += bits
    nearest &= UPPER_HALF
    result = nearest.view(np.float32)
    np.copyto(result, x, where=np.isnan(x))  # whose bits might have run over
    return result
