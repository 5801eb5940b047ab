"""The ladders of attention and of its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import Lazy
from ..ladder import Expected, Operation, Rung
from ..numba_cuda import LazyCuda
from .bf16 import attention_backward_bf16, attention_bf16
from .reference import attention_backward_reference, attention_reference
from .whole import attention_backward_whole, attention_whole

Array = Any


def expected(q: Array, k: Array, v: Array, *_: Any, **__: Any) -> Expected:
    """Shape and dtype of out and logsumexp."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    return ((*lead, q.shape[-2], v.shape[-1]), q.dtype), ((*lead, q.shape[-2]), q.dtype)


def expected_backward(grad: Array, q: Array, k: Array, v: Array, *_: Any, **__: Any) -> Expected:
    """Shape and dtype of dq, dk and dv: the inputs' own."""
    return tuple((tuple(x.shape), q.dtype) for x in (q, k, v))


# max|v| times the largest factor of dropout, 1/(1 - p), if there is any
ERROR = "out: 16 u (1 + max|score|) max|v|; logsumexp: 16 u (1 + max|score|)"
ERROR_CUDA = "out: (S + 16) u (1 + max|score|) max|v|; logsumexp: (S + 16) u (1 + max|score|)"
ERROR_BACKWARD = "32 u (1 + max|score|) Σ, Σ the formula with every term's absolute value"
ERROR_BF16 = "as in float32 with u = 2⁻⁸, the unit roundoff of bfloat16"

ATTENTION = Operation(
    name="attention",
    signature=(
        "attention(q, k, v, mask=None, is_causal=False, scale=None, dropout_p=0.0, seed=0)"
        " -> (out, logsumexp)"
    ),
    expected=expected,
    rungs=(
        Rung("reference", attention_reference, "the formula in float64", "defines the result"),
        Rung(
            "numpy",
            attention_whole,
            "the whole score matrix in place, batched BLAS",
            ERROR,
            portable=True,
        ),
        Rung(
            "three_passes",
            Lazy(".attention.three_passes", "attention_three_passes"),
            "query by query: scores, their softmax, the mixture",
            ERROR,
        ),
        Rung(
            "online",
            Lazy(".attention.online", "attention_online"),
            "one pass over the keys of a query with a running maximum and sum",
            ERROR,
        ),
        Rung(
            "flash",
            Lazy(".attention.flash", "attention_flash"),
            "online softmax over tiles that stay in the cache, causal tiles skipped",
            ERROR,
        ),
        Rung(
            "parallel",
            Lazy(".attention.parallel", "attention_parallel"),
            "the tiles of flash, heads and blocks of queries on several cores",
            ERROR,
        ),
        Rung(
            "cuda_online",
            LazyCuda(".attention.cuda_online", "attention_cuda_online"),
            "a thread a query, a running maximum and sum, tiles of keys in shared memory",
            ERROR_CUDA,
            device="cuda",
        ),
        Rung(
            "cuda_flash",
            Lazy(".attention.cuda.flash_fp32", "attention_flash_cuda", numba=False),
            "CUDA C++: tiles in registers and shared memory, softmax while walking over the keys",
            ERROR,
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_flash_tf32x3",
            Lazy(".attention.cuda.flash_fp32", "attention_flash_tf32x3", numba=False),
            "CUDA C++: FlashAttention-2 on tensor cores at the accuracy of float32, TF32 thrice",
            ERROR,
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_flash_bf16",
            Lazy(".attention.cuda.flash_bf16", "attention_flash_bf16", numba=False),
            "CUDA C++: FlashAttention-2 on tensor cores, float32 rounded to bfloat16",
            ERROR_BF16,
            device="cuda",
            dtypes=("float32",),
            prepare=Lazy(".attention.cuda.flash_bf16", "narrow", numba=False),
            precision="bfloat16",
        ),
        Rung(
            "bf16",
            attention_bf16,
            "operands rounded to bfloat16, as tensor cores take them",
            ERROR_BF16,
            dtypes=("float32",),
            precision="bfloat16",
        ),
    ),
)

ATTENTION_BACKWARD = Operation(
    name="attention_backward",
    signature=(
        "attention_backward(grad, q, k, v, out, logsumexp, mask=None, is_causal=False, scale=None,"
        " dropout_p=0.0, seed=0) -> (dq, dk, dv)"
    ),
    expected=expected_backward,
    rungs=(
        Rung(
            "reference",
            attention_backward_reference,
            "the formula in float64",
            "defines the result",
        ),
        Rung(
            "numpy",
            attention_backward_whole,
            "P and dS whole and in place, batched BLAS",
            ERROR_BACKWARD,
            portable=True,
        ),
        Rung(
            "flash",
            Lazy(".attention.flash_backward", "attention_backward_flash"),
            "probabilities recomputed tile by tile from logsumexp, causal tiles skipped",
            ERROR_BACKWARD,
        ),
        Rung(
            "parallel",
            Lazy(".attention.parallel", "attention_backward_parallel"),
            "the tiles of flash, heads and blocks of keys on several cores",
            ERROR_BACKWARD,
        ),
        Rung(
            "cuda_flash",
            Lazy(".attention.cuda.flash_fp32", "attention_backward_flash_cuda", numba=False),
            "CUDA C++: probabilities recomputed tile by tile, every sum in one order, no atomics",
            ERROR_BACKWARD,
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_flash_tf32x3",
            Lazy(".attention.cuda.flash_fp32", "attention_backward_flash_tf32x3", numba=False),
            "CUDA C++: the same on tensor cores at the accuracy of float32, TF32 thrice",
            ERROR_BACKWARD,
            device="cuda",
            dtypes=("float32",),
        ),
        Rung(
            "cuda_flash_bf16",
            Lazy(".attention.cuda.flash_bf16", "attention_backward_flash_bf16", numba=False),
            "CUDA C++: the same on tensor cores, float32 rounded to bfloat16",
            ERROR_BF16,
            device="cuda",
            dtypes=("float32",),
            prepare=Lazy(".attention.cuda.flash_bf16", "narrow", numba=False),
            precision="bfloat16",
        ),
        Rung(
            "bf16",
            attention_backward_bf16,
            "operands rounded to bfloat16, as tensor cores take them",
            ERROR_BF16,
            dtypes=("float32",),
            precision="bfloat16",
        ),
    ),
)
