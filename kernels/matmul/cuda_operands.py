"""What the Numba CUDA rungs of matmul work on: a batch of matrices, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import numba_cuda

Array = Any


def product(
    kernel: Any,
    grid: Callable[[int, int], tuple[int, ...]],
    threads: tuple[int, int],
    a: Array,
    b: Array,
) -> Array:
    """a @ b by `kernel(a, b, c)`, whose block z of the grid makes matrix z of the batch.

    The kernel gets a (batch, m, k), b (batch, k, n) and c (batch, m, n), all C-contiguous;
    `grid(m, n)` says how many blocks cover one matrix c. Leading dimensions and 1-D operands are as
    in `np.matmul`. Where all matrices of a meet the same b, they are one tall matrix; where the
    leading dimensions broadcast otherwise, the operands are spread out in memory.

    Raises:
        TypeError: operands that are no CuPy arrays, or of different dtypes.
        ValueError: shapes that do not fit.
    """
    a, b = numba_cuda.require("matmul", a, b)
    left, right = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: {a.shape} @ {b.shape} have different inner dimensions")
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*lead, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ()))
    module = numba_cuda.array_module(a)
    if right.ndim == 2:
        left = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])
        batch = 1
    else:
        left = module.ascontiguousarray(module.broadcast_to(left, lead + left.shape[-2:]))
        right = module.ascontiguousarray(module.broadcast_to(right, lead + right.shape[-2:]))
        batch = math.prod(lead)
    (m, k), n = left.shape[-2:], right.shape[-1]
    c = (module.empty if k else module.zeros)((batch, m, n), a.dtype)
    if c.size and k:
        left, right = left.reshape(batch, m, k), right.reshape(batch, k, n)
        most = numba_cuda.MOST_BLOCKS[2]
        for z in range(0, batch, most):
            part = slice(z, min(z + most, batch))
            count = part.stop - part.start
            numba_cuda.launch(
                kernel, (*grid(m, n), count), (*threads, 1), left[part], right[part], c[part]
            )
    return c.reshape(shape)
