"""Products of arrays by the kernels of this folder.

All take (…, m, k) @ (…, k, n) -> (…, m, n), leading dimensions and 1-D operands as in `np.matmul`:
CuPy arrays on a GPU, NumPy arrays inside `minigen.kernels.cuda.emulated()`. The result is float32
and C-contiguous, and the same bits in every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...cuda.launch import empty
from .stored import Stored, library, padded, round_up, row_major, stored
from .tilings import (
    BF16_MMA,
    FLOAT4,
    REGISTER_TILE,
    ROUND_BF16,
    SUM_PARTS,
    TF32X3,
    WARP_TILE,
    WGMMA,
    Tiling,
    part_depth,
    plan,
)

Array = Any  # numpy.ndarray or cupy.ndarray
Prepare = Callable[[Stored, int], Stored]  # an operand, and what its pitch must be a multiple of

BF16_CHUNK = 8  # numbers of bfloat16 in the 16 bytes of a copy


def multiply(
    tilings: Sequence[Tiling],
    a: Array,
    b: Array,
    prepare: Prepare = padded,
    parts: int | None = None,
) -> Array:
    """C = A B by one of these tilings; `parts` of k if given, else as many as should be fastest.

    Raises:
        ValueError: the inner dimensions differ.
        KernelError: the arrays are of another dtype, or on the CPU and not `emulated`.
    """
    left, right = a if a.ndim > 1 else a[None], b if b.ndim > 1 else b[:, None]
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: {a.shape} @ {b.shape} have different inner dimensions")
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*lead, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ()))
    if left.ndim > 2 and right.ndim == 2 and left.flags.c_contiguous:  # one tall matrix
        left, lead = left.reshape(math.prod(left.shape[:-1]), left.shape[-1]), ()
    (m, k), n = left.shape[-2:], right.shape[-1]
    products = math.prod(lead)
    if 0 in (products, m, n, k):
        return library(a).zeros(shape, np.float32)
    tiling, count = plan(tuple(tilings), products, m, n, k, parts)
    stored_a, stored_b = stored(left, lead, tiling.along), stored(right, lead, tiling.across)
    if stored_a.transposed and stored_b.transposed:
        stored_a = row_major(stored_a)
    layout = not stored_a.transposed, stored_b.transposed
    stored_a = prepare(stored_a, tiling.along if layout[0] else tiling.across)
    stored_b = prepare(stored_b, tiling.along if layout[1] else tiling.across)
    c = empty(a, (products, count, m, n))
    tiling.kernel(*layout)(
        (tiling.tiles(m, n) * products * count,),
        stored_a.array, stored_b.array, c, m, n, k, stored_a.pitch, stored_b.pitch,
        stored_a.size, stored_b.size, count, part_depth(tiling, k, count),
    )  # fmt: skip
    return (c if count == 1 else _sum(c)).reshape(shape)


def _sum(parts: Array) -> Array:
    products, count, m, n = parts.shape
    c = empty(parts, (products, m, n))
    SUM_PARTS((-(-c.size // SUM_PARTS.block),), parts, c, count, m * n, c.size)
    return c


def matmul_register_tile(a: Array, b: Array) -> Array:
    """C = A B, 8 x 8 numbers a thread. Error: |c - ab| <= (k + 1) u |a||b| in every element."""
    return multiply(REGISTER_TILE, a, b, parts=1)


def matmul_float4(a: Array, b: Array) -> Array:
    """C = A B, four numbers a load. Error: |c - ab| <= (k + 1) u |a||b| in every element."""
    return multiply(FLOAT4, a, b, parts=1)


def matmul_warp_tile(a: Array, b: Array) -> Array:
    """C = A B, a compact tile a warp, copies ahead. Error: |c - ab| <= (k + 1) u |a||b|."""
    return multiply(WARP_TILE, a, b)


def matmul_tf32x3(a: Array, b: Array) -> Array:
    """C = A B on tensor cores, three products of TF32 for one of float32.

    Error: |c - ab| <= (k + 7) u |a||b| in every element. Numbers within 2^-12 of the largest of
    float32, and infinite ones, give NaN.
    """
    return multiply(TF32X3, a, b)


def matmul_bf16(a: Array, b: Array) -> Array:
    """C = A B, float32 operands rounded to bfloat16, products exact and added in float32.

    Error: |c - ab| <= (2⁻⁷ + (k + 1) u) |a||b| in every element.
    """
    return multiply(BF16_MMA, a, b, _rounded)


def matmul_wgmma(a: Array, b: Array) -> Array:
    """The same by the warpgroups of a Hopper GPU (sm_90a).

    Error: |c - ab| <= (2⁻⁷ + (k + 1) u) |a||b| in every element.
    """
    return multiply(WGMMA, a, b, _rounded)


def multiply_bf16(a: Array, b: Array, tilings: Sequence[Tiling] = BF16_MMA) -> Array:
    """C (float32) = A B for bfloat16, given as uint16 bits; products are exact.

    Operands whose stored rows are a multiple of 8 numbers are used as they are, others are copied.
    `tilings` chooses the kernel: `BF16_MMA` or `WGMMA`. Error: |c - ab| <= (k + 1) u |a||b|.
    """
    return multiply(tilings, a, b)


def round_bf16(x: Array) -> Array:
    """The bits (uint16) of float32 numbers rounded to bfloat16, to nearest even."""
    flat = x.reshape(1, x.size)
    return _round_rows(flat)[0, : x.size].reshape(x.shape)


def _rounded(operand: Stored, multiple: int) -> Stored:
    """float32 as bfloat16, padded on the way."""
    array = _round_rows(operand.array, multiple)
    return Stored(array, operand.transposed, operand.size and array.shape[-1] * array.shape[-2])


def _round_rows(x: Array, multiple: int = BF16_CHUNK) -> Array:
    """(…, rows, columns) in float32 -> (…, rows, pitch) in bfloat16, zeros behind every row."""
    columns, pitch = x.shape[-1], round_up(x.shape[-1], multiple)
    y = empty(x, (*x.shape[:-1], pitch), np.uint16)
    if x.size:
        rows, chunks = math.prod(x.shape[:-1]), y.size // BF16_CHUNK
        ROUND_BF16((-(-chunks // ROUND_BF16.block),), x, y, rows, columns, pitch)
    return y
