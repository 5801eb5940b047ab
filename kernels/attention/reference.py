"""Attention by its formula, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .dropout import factors
from .operands import summed_to

Array = Any


def _scores(
    q: Array, k: Array, mask: Array | None, is_causal: bool, scale: float | None
) -> tuple[Array, float]:
    """scale Q Kᵀ + mask, with -inf where a query may not look; and the scale."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = np.einsum("...ie,...je->...ij", q, k) * scale
    if mask is not None:
        added = np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask.astype(np.float64)
        scores = scores + added
    if is_causal:
        i, j = np.ogrid[: scores.shape[-2], : scores.shape[-1]]
        scores = np.where(j <= i, scores, -np.inf)
    return scores, scale


def _logsumexp(scores: Array) -> Array:
    if scores.shape[-1] == 0:
        return np.full(scores.shape[:-1], -np.inf)
    largest = scores.max(axis=-1)
    shift = np.where(np.isneginf(largest), 0.0, largest)
    with np.errstate(divide="ignore", invalid="ignore"):
        return shift + np.log(np.exp(scores - shift[..., None]).sum(axis=-1))


def _probabilities(scores: Array, logsumexp: Array) -> Array:
    shift = np.where(np.isneginf(logsumexp), 0.0, logsumexp)
    with np.errstate(invalid="ignore"):
        return np.exp(scores - shift[..., None])


def attention_reference(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp, both in float64.

    Attention Is All You Need (Vaswani et al. 2017), equation 1; scale defaults to 1/√E. Dropout
    multiplies the weights by `minigen.kernels.attention.dropout.factors`.

    >>> q = k = v = np.eye(2)
    >>> attention_reference(q, k, v, is_causal=True)[0][0]
    array([1., 0.])
    """
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    scores, _ = _scores(q, k, mask, is_causal, scale)
    lead = np.broadcast_shapes(scores.shape[:-2], v.shape[:-2])
    scores = np.broadcast_to(scores, lead + scores.shape[-2:])
    logsumexp = _logsumexp(scores)
    weights = _probabilities(scores, logsumexp)
    if dropout_p:
        weights = weights * factors(weights.shape, dropout_p, seed)
    return np.einsum("...ij,...je->...ie", weights, v), logsumexp


def attention_backward_reference(
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
    """The gradient of Σ grad·out with respect to q, k and v, in float64 and in their shapes.

        dV = (P ∘ M)ᵀ dO,  dS = scale P ∘ (M ∘ dO Vᵀ - rowsum(dO ∘ O)),  dQ = dS K,  dK = dSᵀ Q

    FlashAttention (Dao et al. 2022), appendix B.2; M are the factors of dropout, 1 without.
    """
    grad, q, k, v, out = (np.asarray(x, np.float64) for x in (grad, q, k, v, out))
    scores, scale = _scores(q, k, mask, is_causal, scale)
    scores = np.broadcast_to(scores, logsumexp.shape + scores.shape[-1:])
    p = _probabilities(scores, logsumexp)
    dp = np.einsum("...ie,...je->...ij", grad, v)
    keep = factors(p.shape, dropout_p, seed) if dropout_p else 1.0
    dp = keep * dp
    ds = p * (dp - (grad * out).sum(axis=-1, keepdims=True)) * scale
    return (
        summed_to(np.einsum("...ij,...je->...ie", ds, k), q.shape),
        summed_to(np.einsum("...ij,...ie->...je", ds, q), k.shape),
        summed_to(np.einsum("...ij,...ie->...je", p * keep, grad), v.shape),
    )
