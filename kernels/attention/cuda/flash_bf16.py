"""Attention and its gradient on tensor cores: float32 in and out, products in bfloat16.

q, k, v and the incoming gradient are rounded to bfloat16 (8 bits of mantissa), and so are the
weights P and dS between two products; sums, softmax, logsumexp and δ are float32. The relative
error of a result, by norm, is about 2⁻⁹. The kernels are `flash_bf16*.cu`.
"""

from __future__ import annotations

import math
from typing import Any

from ...cuda.launch import empty
from ..operands import summed_to
from ..whole import attention_backward_whole, attention_whole
from . import configurations
from .configurations import HEADS_BF16, TO_BF16, owned
from .heads import blocks, cut, heads_of, in_c_order, spread, takes

Array = Any
WIDEST = HEADS_BF16[-1]
EIGHTS_A_BLOCK = 256  # eights of numbers that a block of `to_bf16` converts


def narrowed(array: Array, lead: tuple[int, ...], width: int) -> Array:
    """(…, rows, E) of float32 -> (heads, rows, width) of bfloat16, as the bits of it in uint16."""
    array = spread(array, lead, array.shape[-1])
    heads, rows, own = array.shape
    made = empty(array, (heads, rows, width), "uint16")
    grid = blocks(made.size // 8, EIGHTS_A_BLOCK, 1)
    TO_BF16(grid, array, made, heads * rows, own, width)
    return made


def attention_flash_bf16(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp, the products in bfloat16.

    q (…, L, E), k (…, S, E), v (…, S, Ev) -> out (…, L, Ev), logsumexp (…, L), all of float32.
    E and Ev up to 128. A mask other than the causal one, dropout, and a scale that is not positive
    are left to the plain formula in float32, `attention_whole`.
    """
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_whole(q, k, v, mask, is_causal, scale, dropout_p, seed)
    shapes = heads_of(q, k, v, HEADS_BF16)
    kernel = configurations.forward_bf16(shapes.width)
    out = empty(q, (shapes.total, shapes.queries, shapes.width))
    logsumexp = empty(q, (*shapes.lead, shapes.queries))
    kernel(
        blocks(shapes.queries, owned(kernel), shapes.total),
        narrowed(q, shapes.lead, shapes.width),
        narrowed(k, shapes.key_lead, shapes.width),
        narrowed(v, shapes.key_lead, shapes.width),
        None, out, logsumexp, shapes.queries, shapes.keys, shapes.group, is_causal,
        1 / math.sqrt(q.shape[-1]) if scale is None else scale,
    )  # fmt: skip
    return cut(out, shapes.lead, v.shape[-1]), logsumexp


def attention_backward_flash_bf16(
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

    All arrays are float32; the products are computed in bfloat16. What is left to the plain formula
    is the same as in `attention_flash_bf16`.
    """
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_backward_whole(
            grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed
        )
    shapes = heads_of(q, k, v, HEADS_BF16)
    width, rows = shapes.width, shapes.total * shapes.queries
    delta, shift = empty(q, (rows,)), empty(q, (rows,))
    configurations.delta_fp32(width)(
        blocks(rows, 4, 1), spread(out, shapes.lead, width), spread(grad, shapes.lead, width),
        in_c_order(logsumexp), delta, shift, rows,
    )  # fmt: skip
    q_, grad_ = narrowed(q, shapes.lead, width), narrowed(grad, shapes.lead, width)
    k_, v_ = narrowed(k, shapes.key_lead, width), narrowed(v, shapes.key_lead, width)
    numbers = (
        shapes.queries, shapes.keys, shapes.group, is_causal,
        1 / math.sqrt(q.shape[-1]) if scale is None else scale,
    )  # fmt: skip
    dq, dk, dv = empty(q, q_.shape), empty(q, k_.shape), empty(q, v_.shape)
    keys = configurations.keys_backward_bf16(width)
    grid = blocks(shapes.keys, owned(keys), shapes.total // shapes.group)
    keys(grid, q_, k_, v_, grad_, delta, shift, None, None, dk, dv, *numbers)
    queries = configurations.queries_backward_bf16(width)
    grid = blocks(shapes.queries, owned(queries), shapes.total)
    queries(grid, q_, k_, v_, grad_, delta, shift, None, dq, *numbers)
    return (
        summed_to(cut(dq, shapes.lead, q.shape[-1]), q.shape),
        summed_to(cut(dk, shapes.key_lead, k.shape[-1]), k.shape),
        summed_to(cut(dv, shapes.key_lead, v.shape[-1]), v.shape),
    )
