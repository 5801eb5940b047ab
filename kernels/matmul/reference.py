"""Matrix product, by its definition and in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def matmul_reference(a: Array, b: Array) -> Array:
    """cᵢⱼ = Σₖ aᵢₖ bₖⱼ, summed one product after the other in float64; the result is float64.

    (…, m, k) @ (…, k, n) -> (…, m, n); a 1-D operand is a row (first) or a column (second).

    >>> matmul_reference([[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]])
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    row = "k" if a.ndim == 1 else "...ik"
    column = "k" if b.ndim == 1 else "...kj"
    result = "..." + "i" * (a.ndim > 1) + "j" * (b.ndim > 1)
    return np.einsum(f"{row},{column}->{result}", a, b, order="C")
