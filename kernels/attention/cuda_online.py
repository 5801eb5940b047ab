"""Attention on a GPU, one thread a query, with online softmax.

Idea: `online`, the CPU rung, with its loop over queries become threads. A thread keeps a running
maximum m, a running sum of exp(s - m), and a running mixture of values; when a larger score comes,
both are multiplied by exp(m_old - m_new) (Milakov & Gimelshein 2018, "Online normalizer calculation
for softmax", algorithm 3). So no row of scores exists: memory is O(1) a query, as in FlashAttention
(Dao et al. 2022), whose loop over tiles of keys this is.

    block: ROWS queries, a thread each     q in shared memory, the mixture in registers
    for every tile of KEYS keys:           fetch K's and V's tile | barrier | KEYS steps | barrier

What moves: K and V once for every ROWS queries, through shared memory, where all threads read the
same number in each step (it is handed to all of them in one pass). q lies in shared memory with one
number of padding a row, so that the threads, a row apart, meet different banks. The mixture has to
be in registers, which have no addresses; so its length is a constant of the compiled kernel, the
head's features rounded up to 16, 32, 64 or 128 with zeros behind.

Arithmetic intensity: 4 E operations for a key and a query; two numbers are read from shared memory
for each multiply-add of the score, one for each of the mixture. That, and 32 threads a block, is
why this is slow: scores of a whole tile at once are a matrix product, in which a loaded number
serves many times, as `cuda_registers` shows. The C++ rungs do that.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import cuda

from .. import numba_cuda
from ..checking import KernelError
from .operands import leading

Array = Any

ROWS = 32  # queries of a block, a thread each
KEYS = 16  # keys in shared memory
LENGTHS = (16, 32, 64, 128)  # features that a kernel is compiled for
MOST_BYTES = 512  # of a row of q, k or v: 128 float32, 64 float64


@functools.cache
def _attention(length: int) -> Any:
    """The kernel for heads of up to so many features."""
    padded = length + 1

    @cuda.jit
    def attention(q, k, v, out, logsumexp, scale, causal):
        q_tile = cuda.shared.array((ROWS, padded), q.dtype)
        k_tile = cuda.shared.array((KEYS, length), q.dtype)
        v_tile = cuda.shared.array((KEYS, length), q.dtype)
        mixture = cuda.local.array(length, q.dtype)
        thread = cuda.threadIdx.x
        first_row, head = cuda.blockIdx.x * ROWS, cuda.blockIdx.y
        i = first_row + thread
        queries, features = q.shape[1], q.shape[2]
        keys, width = v.shape[1], v.shape[2]
        real = q.dtype.type
        zero = real(0)

        # Neighbouring threads fetch neighbouring features, row after row.
        for row in range(ROWS):
            for d in range(thread, length, ROWS):
                inside = first_row + row < queries and d < features
                q_tile[row, d] = q[head, first_row + row, d] if inside else zero
        for d in range(length):
            mixture[d] = zero
        largest = real(-math.inf)
        total = zero

        seen = min(keys, first_row + ROWS) if causal else keys  # by any query of the block
        for first in range(0, seen, KEYS):
            for row in range(KEYS):
                for d in range(thread, length, ROWS):
                    key = first + row
                    k_tile[row, d] = k[head, key, d] if key < keys and d < features else zero
                    v_tile[row, d] = v[head, key, d] if key < keys and d < width else zero
            cuda.syncthreads()
            for row in range(KEYS):
                j = first + row
                if j < keys and (j <= i or not causal):
                    score = zero
                    for d in range(length):
                        score += q_tile[thread, d] * k_tile[row, d]
                    score *= scale
                    new_largest = max(largest, score)
                    rescale = math.exp(largest - new_largest)  # exp(-inf) = 0 at the first key
                    weight = math.exp(score - new_largest)
                    total = total * rescale + weight
                    for d in range(length):
                        mixture[d] = mixture[d] * rescale + weight * v_tile[row, d]
                    largest = new_largest
            cuda.syncthreads()

        if i < queries:
            for d in range(length):
                if d < width:
                    out[head, i, d] = zero if total == zero else mixture[d] / total
            logsumexp[head, i] = largest + math.log(total)

    return attention


def attention_cuda_online(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ) V and its logsumexp, of CuPy arrays: see `attention_reference`.

    q (…, L, E), k (…, S, E), v (…, S, Ev), leading dimensions broadcast; E and Ev are up to 128 in
    float32 and 64 in float64.

    Raises:
        KernelError: a mask, dropout, or more features: this rung is for reading.
        TypeError: arguments that are no CuPy arrays, or of different dtypes.
    """
    if mask is not None or dropout_p:
        raise KernelError("attention, cuda_online: this rung has neither mask nor dropout")
    q, k, v = numba_cuda.require("attention", q, k, v)
    longest = max(q.shape[-1], v.shape[-1])
    if longest * q.dtype.itemsize > MOST_BYTES:
        most = MOST_BYTES // q.dtype.itemsize
        raise KernelError(
            f"attention, cuda_online: {longest} features; shared memory has room for {most} "
            f"in {q.dtype}"
        )
    module = numba_cuda.array_module(q)
    lead = leading(q, k, v)
    heads = math.prod(lead)
    q, k, v = (
        module.ascontiguousarray(module.broadcast_to(x, lead + x.shape[-2:])).reshape(
            heads, *x.shape[-2:]
        )
        for x in (q, k, v)
    )
    queries = q.shape[1]
    out = module.empty((heads, queries, v.shape[2]), q.dtype)
    logsumexp = module.empty((heads, queries), q.dtype)
    if not k.shape[1]:  # no keys: a mixture of nothing
        out[...], logsumexp[...] = 0, -math.inf
        return out.reshape(*lead, *out.shape[1:]), logsumexp.reshape(*lead, queries)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    kernel = _attention(next(n for n in LENGTHS if n >= longest))
    most = numba_cuda.MOST_BLOCKS[1]
    for head in range(0, heads if queries else 0, most):
        part = slice(head, min(head + most, heads))
        grid = (*numba_cuda.blocks((queries, ROWS)), part.stop - part.start)
        arrays = (q[part], k[part], v[part], out[part], logsumexp[part])
        real = np.dtype(q.dtype).type
        numba_cuda.launch(kernel, grid, (ROWS,), *arrays, real(scale), bool(is_causal))
    return out.reshape(*lead, queries, v.shape[2]), logsumexp.reshape(*lead, queries)
