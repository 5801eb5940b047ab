"""Attention and its gradient on a GPU in float32, in O(L + S) memory: `flash_fp32*.cu`."""

from __future__ import annotations

import math
from typing import Any

from ...cuda.launch import empty
from ..operands import summed_to
from ..whole import attention_backward_whole, attention_whole
from . import configurations
from .configurations import HEADS_FP32, owned
from .heads import blocks, cut, heads_of, in_c_order, spread, takes

Array = Any
WIDEST = HEADS_FP32[-1]


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
    E and Ev up to 128; arrays that are not in C order, or of another width than 16, 32, 64, 96 or
    128, are copied first. A mask other than the causal one, dropout, and a scale that is not
    positive are left to the plain formula, `attention_whole`, which needs O(L S) memory.
    """
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_whole(q, k, v, mask, is_causal, scale, dropout_p, seed)
    shapes = heads_of(q, k, v, HEADS_FP32)
    kernel = configurations.forward_fp32(shapes.width)
    out = empty(q, (shapes.total, shapes.queries, shapes.width))
    logsumexp = empty(q, (*shapes.lead, shapes.queries))
    kernel(
        blocks(shapes.queries, owned(kernel), shapes.total),
        spread(q, shapes.lead, shapes.width),
        spread(k, shapes.key_lead, shapes.width),
        spread(v, shapes.key_lead, shapes.width),
        out, logsumexp, shapes.queries, shapes.keys, shapes.group, is_causal,
        1 / math.sqrt(q.shape[-1]) if scale is None else scale,
    )  # fmt: skip
    return cut(out, shapes.lead, v.shape[-1]), logsumexp


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
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_backward_whole(
            grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed
        )
    shapes = heads_of(q, k, v, HEADS_FP32)
    width, rows = shapes.width, shapes.total * shapes.queries
    grad, q_, out = (spread(x, shapes.lead, width) for x in (grad, q, out))
    k_, v_ = (spread(x, shapes.key_lead, width) for x in (k, v))
    delta, shift = empty(q, (rows,)), empty(q, (rows,))
    configurations.delta_fp32(width)(
        blocks(rows, 4, 1), out, grad, in_c_order(logsumexp), delta, shift, rows
    )
    numbers = (
        shapes.queries, shapes.keys, shapes.group, is_causal,
        1 / math.sqrt(q.shape[-1]) if scale is None else scale,
    )  # fmt: skip
    dq, dk, dv = empty(q, q_.shape), empty(q, k_.shape), empty(q, v_.shape)
    keys = configurations.keys_backward_fp32(width)
    grid = blocks(shapes.keys, owned(keys), shapes.total // shapes.group)
    keys(grid, q_, k_, v_, grad, delta, shift, dk, dv, *numbers)
    queries = configurations.queries_backward_fp32(width)
    grid = blocks(shapes.queries, owned(queries), shapes.total)
    queries(grid, q_, k_, v_, grad, delta, shift, dq, *numbers)
    return (
        summed_to(cut(dq, shapes.lead, q.shape[-1]), q.shape),
        summed_to(cut(dk, shapes.key_lead, k.shape[-1]), k.shape),
        summed_to(cut(dv, shapes.key_lead, v.shape[-1]), v.shape),
    )
