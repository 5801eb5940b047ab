"""Matrix product on a GPU, 8 x 8 elements of C in the registers of each thread.

Idea: a multiply-add needs two numbers, but 8 numbers of a column of A and 8 of a row of B make 64.
So a thread holds 64 sums, and for every k takes 8 + 8 numbers from shared memory to registers and
adds their outer product. 256 threads make a tile of C of 128 x 128; tiles of A and B go through
shared memory as in `cuda_shared`, 8 steps of k at a time.

    thread (ty, tx) has the rows ty, ty + 16, … ty + 112 and the columns tx, tx + 16, … tx + 112

Its rows and columns lie 16 apart, and not side by side, so that the threads of a warp, neighbours
in tx, meet neighbouring columns: no bank of shared memory is wanted twice, and writes of C are
coalesced. A's tile is stored with k first, since its columns are what is read; threads that fetch
it are neighbours along k, and would all write into few banks if its rows were 128 long: 4 numbers
of padding move each row on by 4 banks.

What moves: global memory as with tiles of 128: each number once for 128 uses. Shared memory: 16
numbers for 64 multiply-adds, where `cuda_shared` takes 128.

Arithmetic intensity: 128 multiply-adds for two numbers from global memory, 4 for one from shared.
A C++ compiler would fetch four numbers at once (`float4`), which Numba cannot say: the C++ rungs go
on from here.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from ..numba_cuda import blocks
from .cuda_operands import product

Array = Any

SIDE = 16  # threads along each side of a block's tile
EACH = 8  # rows and columns of a thread
TILE = SIDE * EACH  # rows and columns of a block
DEPTH = 8  # steps of k in shared memory
THREADS = SIDE * SIDE
FETCHES = TILE * DEPTH // THREADS  # numbers of each tile that a thread fetches
PADDED = TILE + 4


@cuda.jit
def _product(a, b, c):
    a_tile = cuda.shared.array((DEPTH, PADDED), a.dtype)
    b_tile = cuda.shared.array((DEPTH, TILE), a.dtype)
    sums = cuda.local.array((EACH, EACH), a.dtype)
    column = cuda.local.array(EACH, a.dtype)
    row = cuda.local.array(EACH, a.dtype)
    thread = cuda.threadIdx.x
    tx, ty = thread % SIDE, thread // SIDE
    j, i, matrix = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z
    m, n, depth = c.shape[1], c.shape[2], a.shape[2]
    zero = c.dtype.type(0)
    for u in range(EACH):
        for v in range(EACH):
            sums[u, v] = zero

    for first in range(0, depth, DEPTH):
        for fetch in range(FETCHES):
            number = thread + fetch * THREADS
            k, r = number % DEPTH, number // DEPTH  # A: neighbours along k
            inside = i + r < m and first + k < depth
            a_tile[k, r] = a[matrix, i + r, first + k] if inside else zero
            k, s = number // TILE, number % TILE  # B: neighbours along a row
            inside = first + k < depth and j + s < n
            b_tile[k, s] = b[matrix, first + k, j + s] if inside else zero
        cuda.syncthreads()
        for k in range(DEPTH):
            for u in range(EACH):
                column[u] = a_tile[k, ty + u * SIDE]
            for v in range(EACH):
                row[v] = b_tile[k, tx + v * SIDE]
            for u in range(EACH):
                for v in range(EACH):
                    sums[u, v] += column[u] * row[v]
        cuda.syncthreads()

    for u in range(EACH):
        for v in range(EACH):
            r, s = i + ty + u * SIDE, j + tx + v * SIDE
            if r < m and s < n:
                c[matrix, r, s] = sums[u, v]


def matmul_cuda_registers(a: Array, b: Array) -> Array:
    """C = A B of CuPy arrays, (…, m, k) @ (…, k, n), leading dimensions as in `np.matmul`.

    Error: |c - ab| <= (k + 1) u |a||b| in every element. Raises: see `cuda_operands.product`.
    """
    return product(_product, lambda m, n: blocks((n, TILE), (m, TILE)), (THREADS, 1), a, b)
