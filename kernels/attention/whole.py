"""Attention by NumPy: the whole score matrix at once, batched BLAS, everything else in place.

Of the intermediates only one array of scores exists in the forward pass and two in the backward.
The scale is multiplied into q and the division by the softmax's denominator into the result,
because (L, E) is smaller than (L, S).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..fused.vectorised import silently, sums_of_products
from ..matmul.cublas import product
from .dropout import factors
from .operands import summed_to

Array = Any

SILENT: dict[str, Any] = {"divide": "ignore", "invalid": "ignore", "over": "ignore"}


@lru_cache(maxsize=8)
def _future_on_host(queries: int, keys: int) -> Array:
    future = ~np.tri(queries, keys, dtype=bool)
    future.setflags(write=False)
    return future


def _future(queries: int, keys: int, like: Array) -> Array:
    """(L, S), True where key j lies after query i; beside `like`."""
    if isinstance(like, np.ndarray):
        return _future_on_host(queries, keys)
    return np.arange(keys, like=like) > np.arange(queries, like=like)[:, None]


def _scores(
    q: Array, k: Array, mask: Array | None, is_causal: bool, lead: tuple[int, ...]
) -> Array:
    """Q Kᵀ + mask as a new array (*lead, L, S), -inf where a query may not look."""
    shape = (*lead, q.shape[-2], k.shape[-2])
    scores = np.empty_like(q, order="C", shape=shape)
    product(q, k.swapaxes(-1, -2), scores)
    if mask is not None and mask.dtype == bool:
        np.copyto(scores, -np.inf, where=~mask)
    elif mask is not None:
        np.add(scores, mask, out=scores, casting="same_kind")
    if is_causal:
        np.copyto(scores, -np.inf, where=_future(shape[-2], shape[-1], q))
    return scores


def _largest(scores: Array) -> Array:
    """The largest score of every query, (..., L, 1); -inf where there are no keys."""
    if not scores.shape[-1]:
        return np.full_like(scores, -np.inf, shape=(*scores.shape[:-1], 1))
    return scores.max(axis=-1, keepdims=True)


@silently
def attention_whole(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> tuple[Array, Array]:
    """softmax(scale Q Kᵀ + mask) V and its logsumexp, in the dtype of q.

    q (…, L, E), k (…, S, E), v (…, S, Ev) -> out (…, L, Ev), logsumexp (…, L).

    >>> out, logsumexp = attention_whole(np.eye(2), np.eye(2), np.eye(2), scale=0.0)
    >>> out[0], float(logsumexp[0].round(6))
    (array([0.5, 0.5]), 0.693147)
    """
    lead = q.shape[:-2]
    if not lead == k.shape[:-2] == v.shape[:-2]:
        lead = np.broadcast_shapes(lead, k.shape[:-2], v.shape[:-2])
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = _scores(np.multiply(q, q.dtype.type(scale)), k, mask, is_causal, lead)
    shift = _largest(scores)
    np.copyto(shift, 0, where=shift == -np.inf)  # a query that sees nothing: exp(-inf - 0) = 0
    scores -= shift
    np.exp(scores, out=scores)
    total = scores.sum(axis=-1, keepdims=True)
    shift += np.log(total)
    if dropout_p:
        scores *= factors(scores.shape, dropout_p, seed, q.dtype, like=q)
    out = np.empty_like(q, order="C", shape=(*lead, q.shape[-2], v.shape[-1]))
    product(scores, v, out)
    np.copyto(total, 1, where=total == 0)
    out /= total
    return out, shift[..., 0]


def attention_backward_whole(
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
    """Gradients of Σ grad·out with respect to q, k, v, in their shapes.

    The formulas are those of `attention_backward_reference`; P is recomputed from logsumexp.
    """
    lead = logsumexp.shape[:-1]
    scale = q.dtype.type(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    with np.errstate(**SILENT):
        scaled = np.multiply(q, scale)
        p = _scores(scaled, k, mask, is_causal, lead)
        p -= np.where(np.isneginf(logsumexp), 0, logsumexp).astype(q.dtype, copy=False)[..., None]
        np.exp(p, out=p)
        ds = np.empty_like(p)
        product(grad, v.swapaxes(-1, -2), ds)
        if dropout_p:
            keep = factors(p.shape, dropout_p, seed, q.dtype, like=q)
            ds *= keep
            dv = product((p * keep).swapaxes(-1, -2), grad)
        else:
            dv = product(p.swapaxes(-1, -2), grad)
        ds -= sums_of_products("...ie,...ie->...i", grad, out, -1)[..., None]
        ds *= p
        dk = product(ds.swapaxes(-1, -2), scaled)
        dq = product(ds, k)
        dq *= scale
    gradients = zip((dq, dk, dv), (q.shape, k.shape, v.shape))
    dq, dk, dv = (np.ascontiguousarray(summed_to(x, shape), like=x) for x, shape in gradients)
    return dq, dk, dv
