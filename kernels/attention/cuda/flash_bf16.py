"""Attention and its gradient on tensor cores: float32 in and out, products in bfloat16.

q, k, v and the incoming gradient are rounded to bfloat16 (8 bits of mantissa), and so are the
weights P and dS between two products; sums, softmax, logsumexp and δ are float32. The relative
error of a result, by norm, is about 2⁻⁹. The kernels are `flash_bf16*.cu`.

Rounding q, k and v costs a pass over each, and both functions need all three: the gradient takes
what was made of them for the result, if that was kept (`narrow`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...checking import KernelError
from ...cuda.launch import empty
from ..operands import summed_to
from ..whole import attention_backward_whole, attention_whole
from . import configurations
from .configurations import GRADIENT_TO_BF16, HEADS_BF16, TO_BF16, owned
from .heads import (
    Heads,
    blocks,
    heads_of,
    in_c_order,
    returned,
    room,
    rooms,
    strided,
    takes,
    written,
)

Array = Any
WIDEST = HEADS_BF16[-1]
EIGHTS_A_BLOCK = 256  # eights of numbers that a block of `to_bf16` converts
ROWS_A_BLOCK = 4  # that one of `gradient_to_bf16` does


def narrowed(arrays: Sequence[Array], lead: tuple[int, ...], split: int, width: int) -> list[Array]:
    """Each (…, rows, E) of float32, in any order of memory -> (all heads, rows, width) of bfloat16,
    as the bits of it in uint16. At most three arrays of one shape; one launch if they lie alike, as
    the thirds of a product do."""
    (rows, own), heads = arrays[0].shape[-2:], math.prod(lead)
    made = empty(arrays[0], (len(arrays), heads, rows, width), "uint16")
    places = [strided(x, lead, split, own, multiple=1) for x in arrays]
    alike = all(place.strides == places[0].strides for place in places)
    step = len(arrays) if alike else 1
    for first in range(0, len(arrays), step):
        some = places[first : first + step]
        memory = [place.memory for place in some] + [None] * (3 - step)
        TO_BF16(
            (*blocks(made[0].size // 8, EIGHTS_A_BLOCK, 1), step), *memory, made[first:],
            heads * rows, rows, math.prod(lead[split:]), own, width, *some[0].strides,
        )  # fmt: skip
    return list(made)


class Narrowed(NamedTuple):
    """q, k or v, and the same in bfloat16 as the kernels read it; a copy, which does not follow
    changes of the array."""

    full: Array  # float32
    bits: Array  # (all heads, rows, width)


def narrow(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Narrowed, Narrowed, Narrowed] | None:
    """What `attention_flash_bf16` and its gradient take in place of q, k and v, so that these are
    narrowed once for both; None where all is left to the plain formula, which takes arrays."""
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return None
    bits = _bits(heads_of(HEADS_BF16, q, k, v), q, k, v)
    return Narrowed(q, bits[0]), Narrowed(k, bits[1]), Narrowed(v, bits[2])


def _full(*operands: Array | Narrowed) -> list[Array]:
    """Their arrays of float32."""
    return [x.full if isinstance(x, Narrowed) else x for x in operands]


def _bits(shapes: Heads, *operands: Array | Narrowed) -> list[Array]:
    """q, k and v in bfloat16: what was kept, or made now."""
    leads = (shapes.lead, shapes.key_lead, shapes.key_lead)
    if all(isinstance(x, Narrowed) for x in operands):
        return [_kept(x, lead, shapes.width) for x, lead in zip(operands, leads)]
    bits: list[Array] = []
    pairs = zip(_full(*operands), leads)
    for (_, lead), some in itertools.groupby(pairs, lambda pair: (pair[0].shape, pair[1])):
        bits += narrowed([x for x, _ in some], lead, shapes.split, shapes.width)
    return bits


def _kept(operand: Narrowed, lead: tuple[int, ...], width: int) -> Array:
    """Its bits. Leading dimensions and width are those that q, k and v have together, so that they
    do not fit beside others."""
    wanted = (math.prod(lead), operand.full.shape[-2], width)
    if operand.bits.shape != wanted:
        raise KernelError(
            f"attention in bfloat16: an operand was narrowed to {operand.bits.shape}, beside "
            f"these it has to be {wanted}; narrow q, k and v together"
        )
    return operand.bits


def attention_flash_bf16(
    q: Array | Narrowed,
    k: Array | Narrowed,
    v: Array | Narrowed,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp, the products in bfloat16.

    q (…, L, E), k (…, S, E), v (…, S, Ev) -> out (…, L, Ev), logsumexp (…, L), all of float32.
    E and Ev up to 128. A mask other than the causal one, dropout, and a scale that is not positive
    are left to the plain formula in float32, `attention_whole`. Arrays are read by their strides;
    in memory the result has the order (batch, L, heads, Ev), so that models need not copy it.
    """
    operands, (q, k, v) = (q, k, v), _full(q, k, v)
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_whole(q, k, v, mask, is_causal, scale, dropout_p, seed)
    shapes = heads_of(HEADS_BF16, q, k, v)
    split, width = shapes.split, shapes.width
    kernel = configurations.forward_bf16(width)
    out = room(q, shapes.lead, split, shapes.queries, width)
    logsumexp = empty(q, (*shapes.lead, shapes.queries))
    kernel(
        blocks(shapes.queries, owned(kernel), shapes.total), *_bits(shapes, *operands), None, out,
        logsumexp, shapes.queries, shapes.keys, shapes.heads, shapes.group, is_causal,
        1 / math.sqrt(q.shape[-1]) if scale is None else scale,
    )  # fmt: skip
    return returned(out, split, v.shape[-1]), logsumexp


def attention_backward_flash_bf16(
    grad: Array,
    q: Array | Narrowed,
    k: Array | Narrowed,
    v: Array | Narrowed,
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
    operands, (q, k, v) = (q, k, v), _full(q, k, v)
    if not takes(q, k, v, mask, scale, dropout_p, WIDEST):
        return attention_backward_whole(
            grad, q, k, v, out, logsumexp, mask, is_causal, scale, dropout_p, seed
        )
    shapes = heads_of(HEADS_BF16, q, k, v, grad, out)
    split, width, rows = shapes.split, shapes.width, shapes.total * shapes.queries
    own = v.shape[-1]
    out_, grad_ = (strided(x, shapes.lead, split, own, multiple=1) for x in (out, grad))
    half, delta, shift = empty(q, (rows, width), "uint16"), empty(q, (rows,)), empty(q, (rows,))
    GRADIENT_TO_BF16(
        blocks(rows, ROWS_A_BLOCK, 1), out_.memory, grad_.memory, in_c_order(logsumexp), half,
        delta, shift, rows, shapes.queries, shapes.heads, own, width, *out_.strides,
        *grad_.strides,
    )  # fmt: skip
    arrays = (*_bits(shapes, *operands), half, delta, shift)
    sizes = (shapes.queries, shapes.keys, shapes.heads, shapes.group)
    how = (is_causal, 1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    dq, dk, dv = results = rooms(shapes, q, k, v)
    (to_q, q_apart), (to_k, k_apart), (to_v, _) = (written(x, split) for x in results)
    keys = configurations.keys_backward_bf16(width)
    grid = blocks(shapes.keys, owned(keys), shapes.total // shapes.group)
    keys(grid, *arrays, None, None, to_k, to_v, *sizes, k_apart, *how)
    queries = configurations.queries_backward_bf16(width)
    grid = blocks(shapes.queries, owned(queries), shapes.total)
    queries(grid, *arrays, None, to_q, *sizes, q_apart, *how)
    return (
        summed_to(returned(dq, split, q.shape[-1]), q.shape),
        summed_to(returned(dk, split, k.shape[-1]), k.shape),
        summed_to(returned(dv, split, v.shape[-1]), v.shape),
    )
