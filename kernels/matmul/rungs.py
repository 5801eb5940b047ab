"""The ladder of matmul."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import Lazy
from ..ladder import Expected, Operation, Rung
from ..numba_cuda import LazyCuda
from .bf16 import matmul_bf16
from .blas import matmul_blas
from .reference import matmul_reference

Array = Any


def expected(a: Array, b: Array) -> Expected:
    """Shape and dtype of a @ b."""
    m, n = a.shape[-2:-1], b.shape[-1:] if b.ndim > 1 else ()
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (((*lead, *m, *n), np.result_type(a.dtype, b.dtype)),)


def shape_class(a: Array, b: Array | None = None, *_: Any) -> str:
    """Whether every matrix of a batch meets one of its own, or all the same one."""
    return "batched" if b is not None and b.ndim > 2 else "matrix"


ERROR = "|c - ab| <= (k + 1) u |a||b| in every element"
ERROR_BF16 = "|c - ab| <= (2⁻⁷ + (k + 1) u) |a||b|: that of bfloat16, not of float32"

MATMUL = Operation(
    name="matmul",
    signature="matmul(a, b) -> c",
    expected=expected,
    shape_class=shape_class,
    rungs=(
        Rung(
            "reference",
            matmul_reference,
            "the definition, one product after the other, in float64",
            "defines the result; in float64, k u |a||b|",
            dtypes=("any",),
        ),
        Rung(
            "numpy",
            matmul_blas,
            "BLAS, called once where a batch allows it",
            ERROR,
            dtypes=("any",),
            portable=True,
        ),
        Rung(
            "naive",
            Lazy(".matmul.naive", "matmul_naive"),
            "the textbook's three loops",
            ERROR,
        ),
        Rung(
            "reordered",
            Lazy(".matmul.reordered", "matmul_reordered"),
            "the loops in another order: rows of B and C, which become vectors",
            ERROR,
        ),
        Rung(
            "blocked",
            Lazy(".matmul.blocked", "matmul_blocked"),
            "blocks of B that stay in the cache, two rows and four steps at a time",
            ERROR,
        ),
        Rung(
            "tile",
            Lazy(".matmul.tile", "matmul_tile"),
            "4x3 tiles of dot products, twelve sums held in registers",
            ERROR,
        ),
        Rung(
            "panels",
            Lazy(".matmul.panels", "matmul_panels"),
            "packed panels and a tile of 6 rows by two vectors",
            ERROR,
        ),
        Rung(
            "parallel",
            Lazy(".matmul.parallel", "matmul_parallel"),
            "panels, on several cores",
            ERROR,
        ),
        Rung(
            "cuda_naive",
            LazyCuda(".matmul.cuda_naive", "matmul_cuda_naive"),
            "a thread for every element, neighbours a row apart",
            ERROR,
            device="cuda",
        ),
        Rung(
            "cuda_coalesced",
            LazyCuda(".matmul.cuda_coalesced", "matmul_cuda_coalesced"),
            "a thread for every element, neighbours side by side",
            ERROR,
            device="cuda",
        ),
        Rung(
            "cuda_shared",
            LazyCuda(".matmul.cuda_shared", "matmul_cuda_shared"),
            "tiles of A and B that a block of threads keeps in shared memory",
            ERROR,
            device="cuda",
        ),
        Rung(
            "cuda_registers",
            LazyCuda(".matmul.cuda_registers", "matmul_cuda_registers"),
            "8x8 sums in the registers of each thread, tiles of 128x128",
            ERROR,
            device="cuda",
        ),
        Rung(
            "cuda_register_tile",
            Lazy(".matmul.cuda.multiply", "matmul_register_tile", numba=False),
            "8x8 sums in registers, 128x128 a block",
            ERROR,
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_float4",
            Lazy(".matmul.cuda.multiply", "matmul_float4", numba=False),
            "the same, four numbers a load",
            ERROR,
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_warp_tile",
            Lazy(".matmul.cuda.multiply", "matmul_warp_tile", numba=False),
            "a compact tile a warp, tiles on their way while others are multiplied",
            ERROR,
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_tf32x3",
            Lazy(".matmul.cuda.multiply", "matmul_tf32x3", numba=False),
            "tensor cores at the accuracy of float32: three products of TF32",
            "|c - ab| <= (k + 7) u |a||b| in every element",
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_wgmma_tf32x3",
            Lazy(".matmul.cuda.multiply", "matmul_wgmma_tf32x3", numba=False),
            "the same by the warpgroups of a Hopper GPU, which split each number of B once",
            "|c - ab| <= (k + 20) u |a||b| in every element",
            device="cuda",
            dtypes=("float32",),
            chip="90",
            takes_bias=True,
        ),
        Rung(
            "cuda_bf16",
            Lazy(".matmul.cuda.multiply", "matmul_bf16", numba=False),
            "operands rounded to bfloat16; mma.sync out of swizzled tiles",
            ERROR_BF16,
            device="cuda",
            dtypes=("float32",),
            prepare=Lazy(".matmul.cuda.rounded", "rounded", numba=False),
            prepare_summed=Lazy(".matmul.cuda.rounded", "rounded_and_summed", numba=False),
            precision="bfloat16",
        ),
        Rung(
            "cuda_wgmma",
            Lazy(".matmul.cuda.multiply", "matmul_wgmma", numba=False),
            "operands rounded to bfloat16; warpgroups of a Hopper GPU",
            ERROR_BF16,
            device="cuda",
            dtypes=("float32",),
            prepare=Lazy(".matmul.cuda.rounded", "rounded", numba=False),
            prepare_summed=Lazy(".matmul.cuda.rounded", "rounded_and_summed", numba=False),
            precision="bfloat16",
            chip="90",
            takes_bias=True,
        ),
        Rung(
            "bf16",
            matmul_bf16,
            "BLAS on operands rounded to bfloat16, as tensor cores take them",
            "|c - ab| <= (k + 1) u |a||b| + 2⁻⁷ |a||b|",
            dtypes=("float32",),
            precision="bfloat16",
        ),
    ),
)
