"""Matrix product by NumPy, which hands it to BLAS; on a GPU by cuBLAS, `cublas.py`.

On several threads of BLAS's own, or, where kernels have taken the threads over, cut into one part a
thread, each computed by BLAS on one: `kernels/parallel.py` says why. As with BLAS's own threads,
the last bits of a product may depend on how many there are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import blas, parallel
from . import cublas

Array = Any

MULTIPLY_ADDS = 2**23  # that are worth a second thread: some 100 microseconds
ALONE = 2**18  # so few BLAS computes on one thread in any case: OpenBLAS's own limit
ROWS = 32  # of a part, or columns, at least


def matmul_blas(a: Array, b: Array, bias: Array | None = None) -> Array:
    """C = A B by BLAS, or by NumPy's own loops for integers, plus a bias (n,) in every row if there
    is one. The result is C-contiguous.

    NumPy calls BLAS once for every matrix in a batch. When all of them meet the same b (a linear
    layer on (batch, time, features)) their rows are one tall matrix, and one call is enough: larger
    products use the caches better.

    >>> matmul_blas(np.ones((5, 2, 3)), np.ones((3, 4))).shape
    (5, 2, 4)
    """
    if bias is not None:
        c = matmul_blas(a, b)
        c += bias
        return c
    if type(a) is not np.ndarray and not isinstance(a, np.ndarray):
        return cublas.product(a, b)  # which does as much, on a GPU
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous and a.size:
        rows = matmul_blas(a.reshape(-1, a.shape[-1]), b)
        return rows.reshape(*a.shape[:-1], b.shape[-1])
    if a.size * b.shape[-1] > ALONE and parallel.free() and a.dtype.char in "fd":
        return _in_parts(a, b)
    if a.ndim > 2 or b.ndim > 2:  # NumPy lays a batch out like its inputs
        return np.ascontiguousarray(np.matmul(a, b))
    return np.asarray(np.matmul(a, b))


def _in_parts(a: Array, b: Array) -> Array:
    """The same on several threads, where that pays; on one of BLAS's in any case."""
    if a.ndim < 2 or b.ndim < 2:
        with blas.single_threaded():
            return np.ascontiguousarray(np.matmul(a, b))
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, n = a.shape[-2], b.shape[-1]
    c = np.empty((*lead, m, n), np.result_type(a, b))
    batch = math.prod(lead)
    work = batch * m * n * a.shape[-1]
    extent = max(lead) if batch > 1 else max(m, n) // ROWS
    count = min(parallel.threads(), extent, work // (MULTIPLY_ADDS // 2))
    if work < MULTIPLY_ADDS or count < 2:
        with blas.single_threaded():
            return np.matmul(a, b, out=c)
    if batch > 1:
        axis = lead.index(max(lead))
        a, b = (np.broadcast_to(x, lead + x.shape[-2:]) for x in (a, b))
        cuts = [(slice(None),) * axis + (part,) for part in _cuts(lead[axis], count)]
        parts = [(a[cut], b[cut], c[cut]) for cut in cuts]
    elif m >= n:
        parts = [(a[..., cut, :], b, c[..., cut, :]) for cut in _cuts(m, count)]
    else:
        parts = [(a, b[..., cut], c[..., cut]) for cut in _cuts(n, count)]
    parallel.each(_multiply, parts, products=True)
    return c


def _multiply(part: tuple[Array, Array, Array]) -> None:
    np.matmul(part[0], part[1], out=part[2])


def _cuts(size: int, count: int) -> list[slice]:
    """So many slices of nearly equal length."""
    return [slice(size * i // count, size * (i + 1) // count) for i in range(count)]
