"""Attention with bfloat16 operands and float32 sums, emulated on the CPU.

Rounded to bfloat16 is what a GPU's tensor cores multiply: q, k, v and their cotangent, and, within
the kernel, the probabilities P and their gradient dS before the products they go into. Scores,
softmax and all sums are float32. Its numbers are the point, not its speed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..bfloat16 import rounded
from .dropout import factors
from .operands import summed_to
from .whole import SILENT, _scores

Array = Any


def attention_bf16(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp; see `attention_whole`.

    As in FlashAttention, P is rounded before its rows are divided by their sums.
    """
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    with np.errstate(**SILENT):
        scores = _scores(rounded(q) * q.dtype.type(scale), rounded(k), mask, is_causal, lead)
        shift = scores.max(axis=-1, keepdims=True, initial=-np.inf)
        shift[np.isneginf(shift)] = 0  # a query that sees nothing
        p = np.exp(scores - shift)
        total = p.sum(axis=-1, keepdims=True)
        shift += np.log(total)
        if dropout_p:
            p *= factors(p.shape, dropout_p, seed, q.dtype)
        total[total == 0] = 1
        out = np.matmul(rounded(p), rounded(v)) / total
    return out, shift[..., 0]


def attention_backward_bf16(
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
    """Gradients of Σ grad·out with respect to q, k, v; see `attention_backward_reference`."""
    lead = logsumexp.shape[:-1]
    scale = q.dtype.type(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    rq, rk, rv, rg = (rounded(x) for x in (q, k, v, grad))
    with np.errstate(**SILENT):
        p = _scores(rq * scale, rk, mask, is_causal, lead)
        p -= np.where(np.isneginf(logsumexp), 0, logsumexp).astype(q.dtype, copy=False)[..., None]
        np.exp(p, out=p)
        dp = np.matmul(rg, rv.swapaxes(-1, -2))
        keep = factors(p.shape, dropout_p, seed, q.dtype) if dropout_p else q.dtype.type(1)
        dv = np.matmul(rounded(p * keep).swapaxes(-1, -2), rg)
        delta = np.einsum("...ie,...ie->...i", grad, out)[..., None]
        ds = rounded(p * (dp * keep - delta))
        dk = np.matmul(ds.swapaxes(-1, -2), rq) * scale
        dq = np.matmul(ds, rk) * scale
    gradients = zip((dq, dk, dv), (q.shape, k.shape, v.shape))
    dq, dk, dv = (np.ascontiguousarray(summed_to(x, shape)) for x, shape in gradients)
    return dq, dk, dv
