"""layer_norm of rows on a GPU: a warp a row, and reductions by shuffles.

Idea: yᵢ = (xᵢ - mean) rstd wᵢ + bᵢ with rstd = 1/√(var + eps). The 32 threads of a warp have a row:
each sums every 32nd number, and the 32 sums become one without any memory: `shfl_xor_sync` hands a
thread the value that another thread of its warp has in a register.

    distance 16:  thread t adds the value of thread t xor 16
    distance 8, 4, 2, 1: the same; after five steps all 32 threads have the whole sum

(A *butterfly*: Σ of 32 numbers in log₂ 32 = 5 steps, in the same order in every run.) A warp needs
no barrier, since its threads take the exchange together; so the 8 rows of a block do not wait for
each other.

What moves: the row is read three times (mean, variance, result; later times most likely from the
cache) and written once, all of it coalesced; shared memory is not used. The variance is the mean of
(x - mean)², two passes: the mean of x² less mean² would lose all digits where |mean| is large.

Arithmetic intensity: some eight operations for 16 bytes, in float32: memory decides, and the fewer
instructions go into the sums, the better. `cuda_softmax` shows the tree in shared memory that a row
needs which one warp cannot keep up with.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from .. import numba_cuda
from ..numba_cuda import EVERY_LANE

Array = Any

LANES = 32  # threads of a warp, which has one row
ROWS = 8  # of a block


@cuda.jit
def _layer_norm(x, weight, bias, eps, y, means, rstds):
    lane = cuda.threadIdx.x
    row = cuda.blockIdx.x * ROWS + cuda.threadIdx.y
    if row >= x.shape[0]:
        return  # the whole warp: nobody is left waiting in a shuffle
    columns = x.shape[1]
    real = x.dtype.type

    total = real(0)
    for j in range(lane, columns, LANES):
        total += x[row, j]
    distance = LANES // 2
    while distance > 0:
        total += cuda.shfl_xor_sync(EVERY_LANE, total, distance)
        distance //= 2
    mean = total / real(columns)

    total = real(0)
    for j in range(lane, columns, LANES):
        difference = x[row, j] - mean
        total += difference * difference
    distance = LANES // 2
    while distance > 0:
        total += cuda.shfl_xor_sync(EVERY_LANE, total, distance)
        distance //= 2
    rstd = real(1) / math.sqrt(total / real(columns) + eps)

    for j in range(lane, columns, LANES):
        y[row, j] = (x[row, j] - mean) * rstd * weight[j] + bias[j]
    if lane == 0:
        means[row] = mean
        rstds[row] = rstd


def layer_norm_cuda_warp(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(x - mean) rstd weight + bias of every row, mean and rstd; CuPy arrays (rows, features).

    weight and bias (features,), or None for one and zero. Error of y:
    (16 + features / 32) u ((|x^| + |mean| rstd) |weight| + |bias|), x^ = (x - mean) rstd.
    Raises TypeError for arrays that are not CuPy's, or of different dtypes.
    """
    (x,) = numba_cuda.require("layer_norm", x)
    module = numba_cuda.array_module(x)
    rows, features = x.shape
    weight = module.ones(features, x.dtype) if weight is None else weight
    bias = module.zeros(features, x.dtype) if bias is None else bias
    x, weight, bias = numba_cuda.require("layer_norm", x, weight, bias)
    y = module.empty(x.shape, x.dtype)
    mean, rstd = module.empty(rows, x.dtype), module.empty(rows, x.dtype)
    if rows:
        grid = numba_cuda.blocks((rows, ROWS))
        real = np.dtype(x.dtype).type
        arrays = (x, weight, bias, real(eps), y, mean, rstd)
        numba_cuda.launch(_layer_norm, grid, (LANES, ROWS), *arrays)
    return y, mean, rstd
