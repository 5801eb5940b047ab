"""Attention and its gradient on a GPU in float32, in O(L + S) memory.

Two families of kernels take the same arrays: `flash_fp32*.cu` multiply on the float32 units,
`flash_tf32x3*.cu` on tensor cores, at the same accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...cuda import CudaKernel
from ...cuda.launch import empty
from ..operands import summed_to
from ..whole import attention_backward_whole, attention_whole
from . import configurations
from .configurations import HEADS_FP32, owned
from .heads import blocks, heads_of, in_c_order, returned, room, rooms, strided, takes, written

Array = Any
WIDEST = HEADS_FP32[-1]


class Family(NamedTuple):
    """Kernels by the width of a head."""

    forward: Callable[[int], CudaKernel]
    keys_backward: Callable[[int], CudaKernel]
    queries_backward: Callable[[int], CudaKernel]


FLOAT_UNITS = Family(
    configurations.forward_fp32,
    configurations.keys_backward_fp32,
    configurations.queries_backward_fp32,
)
TENSOR_CORES = Family(
    configurations.forward_tf32x3,
    configurations.keys_backward_tf32x3,
    configurations.queries_backward_tf32x3,
)


def attention_flash_cuda(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp, in float32: see `attention_reference`.

    q (…, L, E), k (…, S, E), v (…, S, Ev) -> out (…, L, Ev), logsumexp (…, L).
    E and Ev up to 128; arrays are read by their strides, but those of another width than 16, 32,
    64, 96 or 128 are copied first. In memory the result has the order (batch, L, heads, Ev), so
    that models need not copy it. A mask other than the causal one, dropout, and a scale that is not
    positive are left to the plain formula, `attention_whole`, which needs O(L S) memory.
    """
    return _attention(FLOAT_UNITS, q, k, v, mask, is_causal, scale, dropout_p, seed)


def attention_flash_tf32x3(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """The same on tensor cores, three products of TF32 for every one; Inf gives NaN."""
    return _attention(TENSOR_CORES, q, k, v, mask, is_causal, scale, dropout_p, seed)


def _attention(
    family: Family, q: Array, k: Array, v: Array, mask: Array | None, is_causal: bool,
    scale: float | None, dropout_p: float, seed: int,
) -> tuple[Array, Array]:  # fmt: skip
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_whole(q, k, v, mask, is_causal, scale, dropout_p, seed)
    shapes = heads_of(HEADS_FP32, q, k, v)
    split, width = shapes.split, shapes.width
    kernel = family.forward(width)
    q_ = strided(q, shapes.lead, split, width)
    k_, v_ = (strided(x, shapes.key_lead, split, width) for x in (k, v))
    out = room(q, shapes.lead, split, shapes.queries, width)
    logsumexp = empty(q, (*shapes.lead, shapes.queries))
    kernel(
        blocks(shapes.queries, owned(kernel), shapes.total),
        q_.memory, k_.memory, v_.memory, out, logsumexp,
        shapes.queries, shapes.keys, shapes.heads, shapes.group,
        *q_.strides, *k_.strides, *v_.strides, is_causal,
        1 / math.sqrt(q.shape[-1]) if scale is None else scale,
    )  # fmt: skip
    return returned(out, split, v.shape[-1]), logsumexp


def attention_backward_flash_cuda(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    logsumexp: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array, Array]:
    """Gradients of Σ grad·out with respect to q, k, v, in their shapes, the same bits in every run.

    The formulas are those of `attention_backward_reference`; what is left to the plain formula is
    the same as in `attention_flash_cuda`.
    """
    return _backward(
        FLOAT_UNITS, grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed
    )


def attention_backward_flash_tf32x3(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    logsumexp: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array, Array]:
    """The same on tensor cores, three products of TF32 for every one; Inf gives NaN."""
    return _backward(
        TENSOR_CORES, grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed
    )


def _backward(
    family: Family, grad: Array, q: Array, k: Array, v: Array, out: Array, logsumexp: Array,
    mask: Array | None, is_causal: bool, scale: float | None, dropout_p: float, seed: int,
) -> tuple[Array, Array, Array]:  # fmt: skip
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_backward_whole(
            grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed
        )
    shapes = heads_of(HEADS_FP32, q, k, v, grad, out)
    split, width, rows = shapes.split, shapes.width, shapes.total * shapes.queries
    q_, grad_, out_ = (strided(x, shapes.lead, split, width) for x in (q, grad, out))
    k_, v_ = (strided(x, shapes.key_lead, split, width) for x in (k, v))
    delta, shift = empty(q, (rows,)), empty(q, (rows,))
    configurations.delta_fp32(width)(
        blocks(rows, 4, 1), out_.memory, grad_.memory, in_c_order(logsumexp), delta, shift,
        rows, shapes.queries, shapes.heads, *out_.strides, *grad_.strides,
    )  # fmt: skip
    arrays = (q_.memory, k_.memory, v_.memory, grad_.memory, delta, shift)
    sizes = (shapes.queries, shapes.keys, shapes.heads, shapes.group)
    how = (
        *q_.strides, *k_.strides, *v_.strides, *grad_.strides, is_causal,
        1 / math.sqrt(q.shape[-1]) if scale is None else scale,
    )  # fmt: skip
    dq, dk, dv = results = rooms(shapes, q, k, v)
    (to_q, q_apart), (to_k, k_apart), (to_v, _) = (written(x, split) for x in results)
    keys = family.keys_backward(width)
    grid = blocks(shapes.keys, owned(keys), shapes.total // shapes.group)
    keys(grid, *arrays, to_k, to_v, *sizes, k_apart, *how)
    queries = family.queries_backward(width)
    grid = blocks(shapes.queries, owned(queries), shapes.total)
    queries(grid, *arrays, to_q, *sizes, q_apart, *how)
    return (
        summed_to(returned(dq, split, q.shape[-1]), q.shape),
        summed_to(returned(dk, split, k.shape[-1]), k.shape),
        summed_to(returned(dv, split, v.shape[-1]), v.shape),
    )
