"""The matrix products of a convolution: BLAS, or what `use(matmul=...)` has put in its place."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bfloat16 import rounded
from ..checking import device_of
from ..matmul.blas import matmul_blas
from ..matmul.cublas import product

Array = Any


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """a b, batched over leading dimensions, written into `out` if there is one.

    >>> matmul(np.ones((2, 3)), np.ones((3, 1)))
    array([[3.],
           [3.]])
    """
    from .. import registry  # which imports this ladder

    if not registry._overriding or registry._override("matmul")[0] is None:
        if device_of(a) == "cuda" and out is None:
            return registry.select("matmul", a, b)(a, b)
        if registry._level == "medium" and a.dtype == np.float32:
            a, b = rounded(a), rounded(b)
        return matmul_blas(a, b) if out is None else product(a, b, out)
    if out is None:
        return registry.select("matmul", a, b)(a, b)
    lead = out.shape[:-2]
    a, b = np.broadcast_to(a, lead + a.shape[-2:]), np.broadcast_to(b, lead + b.shape[-2:])
    for index in np.ndindex(*lead):  # plain matrices, which every kernel of a reader's takes
        out[index] = registry.select("matmul", a, b)(a[index], b[index])
    return out
