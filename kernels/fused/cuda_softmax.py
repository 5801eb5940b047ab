"""softmax of rows on a GPU: a block a row, and reductions by a tree in shared memory.

Idea: yᵢ = exp(xᵢ - m) / Σⱼ exp(xⱼ - m), m the largest of the row. A block of 256 threads has a row:
each thread goes through every 256th number and keeps a maximum of its own; then the 256 maxima
become one by a tree, and the same once more with the sums.

    step 1: threads 0..127 take in the values of 128..255      256 values -> 128
    step 2: threads 0..63  take in those of 64..127            128 -> 64        … eight steps

After each step a barrier: what one thread writes another reads. A tree takes log₂ 256 = 8 steps
where one thread alone would take 255, and it always adds in the same order, so the result is the
same in every run; sums by atomic additions would not be.

What moves: the row is read three times (maximum, sum, result; the second and third time most likely
from a cache) and written once. Threads next to each other read numbers next to each other. The tree
works on 256 numbers of shared memory, neighbours again.

Arithmetic intensity: two exponentials and five operations for 16 bytes, in float32: memory decides.
`cuda_layer_norm` reduces by shuffles, without shared memory and barriers.
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda

from .. import numba_cuda

Array = Any

THREADS = 256  # of a block, which has one row


@cuda.jit
def _softmax(x, y):
    tree = cuda.shared.array(THREADS, x.dtype)
    thread, row = cuda.threadIdx.x, cuda.blockIdx.x
    columns = x.shape[1]
    real = x.dtype.type

    largest = real(-math.inf)
    for j in range(thread, columns, THREADS):
        largest = max(largest, x[row, j])
    tree[thread] = largest
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            tree[thread] = max(tree[thread], tree[thread + half])
        cuda.syncthreads()
        half //= 2
    largest = tree[0]
    cuda.syncthreads()  # everyone has read it before the tree serves again

    total = real(0)
    for j in range(thread, columns, THREADS):
        total += math.exp(x[row, j] - largest)
    tree[thread] = total
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if thread < half:
            tree[thread] += tree[thread + half]
        cuda.syncthreads()
        half //= 2
    total = tree[0]

    for j in range(thread, columns, THREADS):
        y[row, j] = math.exp(x[row, j] - largest) / total


def softmax_cuda_tree(x: Array) -> Array:
    """exp(xᵢ) / Σⱼ exp(xⱼ) of every row of a CuPy array (rows, classes).

    Error: (16 (1 + max|x| of the row) + classes / 256) u y + the smallest normal number.
    Raises TypeError if x is no CuPy array of float32 or float64.
    """
    (x,) = numba_cuda.require("softmax", x)
    y = numba_cuda.array_module(x).empty(x.shape, x.dtype)
    if x.size:
        numba_cuda.launch(_softmax, (x.shape[0],), (THREADS,), x, y)
    return y
