"""Matrix product by NumPy, which hands it to BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def matmul_blas(a: Array, b: Array) -> Array:
    """C = A B by BLAS, or by NumPy's own loops for integers. The result is C-contiguous.

    NumPy calls BLAS once for every matrix in a batch. When all of them meet the same b (a linear
    layer on (batch, time, features)) their rows are one tall matrix, and one call is enough: larger
    products use the caches and both cores better.

    >>> matmul_blas(np.ones((5, 2, 3)), np.ones((3, 4))).shape
    (5, 2, 4)
    """
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous and a.size:
        rows = np.matmul(a.reshape(-1, a.shape[-1]), b)
        return rows.reshape(*a.shape[:-1], b.shape[-1])
    if a.ndim > 2 or b.ndim > 2:  # NumPy lays a batch out like its inputs
        return np.ascontiguousarray(np.matmul(a, b))
    return np.asarray(np.matmul(a, b))
