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
from .rounded import Rounded, rounded_operand
from .stored import Stored, library, padded, row_major, stored
from .tilings import (
    BF16_MMA,
    FLOAT4,
    REGISTER_TILE,
    SUM_PARTS,
    TF32X3,
    WARP_TILE,
    WGMMA,
    WGMMA_TF32X3,
    Tiling,
    part_depth,
    plan,
)

Array = Any  # numpy.ndarray or cupy.ndarray
COMMON = 12  # parameters that all kernels have: tiles.cuh
Prepare = Callable[[Stored, int], Stored]  # an operand, and what its pitch must be a multiple of


def multiply(
    tilings: Sequence[Tiling],
    a: Array,
    b: Array,
    prepare: Prepare = padded,
    parts: int | None = None,
    bias: Array | None = None,
) -> Array:
    """C = A B by one of these tilings, plus a bias (n,) in every row of C if there is one; `parts`
    of k if given, else as many as should be fastest.

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
        return _nothing(library(a), shape, bias)
    tiling, count = plan(tuple(tilings), products, m, n, k, parts)
    operands = stored(left, lead, tiling.along), stored(right, lead, tiling.across)
    return _launch(tiling, products, count, (m, n, k), *operands, bias, prepare, shape)


def multiply_rounded(
    tilings: Sequence[Tiling], a: Rounded, b: Rounded, bias: Array | None = None
) -> Array:
    """C = A B of two matrices that are rounded already: what `multiply` makes of them, bit for bit.

    Raises:
        ValueError: the inner dimensions differ.
    """
    (m, k), (rows, n) = a.shape, b.shape
    if k != rows:
        raise ValueError(f"matmul: {a.shape} @ {b.shape} have different inner dimensions")
    if 0 in (m, n, k):
        return _nothing(library(a.stored.array), (m, n), bias)
    tiling, count = plan(tuple(tilings), 1, m, n, k)
    return _launch(tiling, 1, count, (m, n, k), a.stored, b.stored, bias, padded, (m, n))


def _nothing(xp: Any, shape: tuple[int, ...], bias: Array | None) -> Array:
    """C where there is nothing to add up."""
    c = xp.zeros(shape, np.float32)
    return c if bias is None else xp.add(c, bias, c)


def _launch(
    tiling: Tiling, products: int, count: int, sizes: tuple[int, int, int], a: Stored, b: Stored,
    bias: Array | None, prepare: Prepare, shape: tuple[int, ...],
) -> Array:  # fmt: skip
    """C of so many products, k cut into `count` parts; an array of its own, no view of another, so
    that a gradient need not be copied to be kept."""
    m, n, k = sizes
    if a.transposed and b.transposed:
        a = row_major(a)
    if bias is not None and not bias.flags.c_contiguous:
        bias = bias.copy()
    layout = not a.transposed, b.transposed
    a = prepare(a, tiling.along if layout[0] else tiling.across)
    b = prepare(b, tiling.along if layout[1] else tiling.across)
    c = empty(a.array, shape if count == 1 else (products, count, m, n))
    kernel, blocks = tiling.kernel(*layout), tiling.tiles(m, n) * products * count
    others = {"bias": bias, "blocks": blocks}
    takes = {p.name: others[p.name] for p in kernel.parameters[COMMON:]}
    kernel(
        (tiling.grid(blocks),),
        a.array, b.array, c, m, n, k, a.pitch, b.pitch, a.size, b.size, count,
        part_depth(tiling, k, count), *takes.values(),
    )  # fmt: skip
    c = c if count == 1 else _sum(c, shape)
    return c if bias is None or "bias" in takes else library(c).add(c, bias, c)


def _sum(parts: Array, shape: tuple[int, ...]) -> Array:
    _, count, m, n = parts.shape
    c = empty(parts, shape)
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


def matmul_wgmma_tf32x3(a: Array, b: Array, bias: Array | None = None) -> Array:
    """The same by the warpgroups of a Hopper GPU (sm_90a), plus a bias (n,) in every row of C.

    Error: |c - ab| <= (k + 20) u |a||b| in every element. Infinite numbers may give NaN.
    """
    return multiply(WGMMA_TF32X3, a, b, bias=bias)


def matmul_bf16(a: Array | Rounded, b: Array | Rounded) -> Array:
    """C = A B, float32 operands rounded to bfloat16, products exact and added in float32.

    Both operands may be `Rounded` already, which a matrix of several products need be only once.
    Error: |c - ab| <= (2⁻⁷ + (k + 1) u) |a||b| in every element.
    """
    if isinstance(a, Rounded) and isinstance(b, Rounded):
        return multiply_rounded(BF16_MMA, a, b)
    return multiply(BF16_MMA, a, b, rounded_operand)


def matmul_wgmma(a: Array | Rounded, b: Array | Rounded, bias: Array | None = None) -> Array:
    """The same by the warpgroups of a Hopper GPU (sm_90a), plus a bias (n,) in every row of C.

    Error: |c - ab| <= (2⁻⁷ + (k + 1) u) |a||b| in every element.
    """
    if isinstance(a, Rounded) and isinstance(b, Rounded):
        return multiply_rounded(WGMMA, a, b, bias)
    return multiply(WGMMA, a, b, rounded_operand, bias=bias)


def multiply_bf16(a: Array, b: Array, tilings: Sequence[Tiling] = BF16_MMA) -> Array:
    """C (float32) = A B for bfloat16, given as uint16 bits; products are exact.

    Operands whose stored rows are a multiple of 8 numbers are used as they are, others are copied.
    `tilings` chooses the kernel: `BF16_MMA` or `WGMMA`. Error: |c - ab| <= (k + 1) u |a||b|.
    """
    return multiply(tilings, a, b)
