"""Attention: each query averages the values, weighted by how well their keys match it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable, wrap
from minigen.capturing import capturing
from minigen.dispatch import attention, attention_backward, dropout_factors, round_keys
from minigen.errors import ShapeError
from minigen.modes import is_grad_enabled
from minigen.ops.comparison import where
from minigen.ops.linalg import matmul
from minigen.ops.shape import expand, reshape, transpose, unsqueeze
from minigen.ops.softmax import softmax

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(scale Q Kᵀ + mask) V, by the kernels `attention` and `attention_backward`.

    query (..., L, E), key (..., S, E), value (..., S, Ev) -> (..., L, Ev); leading dimensions
    broadcast.  attn_mask, broadcast to (..., L, S): True where a query may look, or numbers that
    are added to the scores.  is_causal: query i sees keys 0 to i.  scale defaults to 1/√E.  A query
    that may look nowhere gets zeros.  enable_gqa: key and value may have fewer heads, in dimension
    -3, each shared by neighbouring heads of query (grouped-query attention, Ainslie et al. 2023,
    arXiv:2305.13245); they are not copied.  dropout_p > 0 drops weights at random, by a seed from
    the default generator (`manual_seed`) of which `minigen.kernels.attention.dropout` makes the
    mask.  A mask that requires grad gets its gradient by the formula instead of the kernels.

    Raises ShapeError for shapes that do not fit or for attn_mask with is_causal, TypeError for
    dtypes that differ.  Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    >>> import minigen
    >>> q = k = minigen.tensor([[0.0], [0.0]])
    >>> v = minigen.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> scaled_dot_product_attention(q, k, v, is_causal=True)
    tensor([[1., 2.],
            [2., 3.]])
    """
    shape = None
    if enable_gqa:
        query, key, value, attn_mask, shape = _grouped(query, key, value, attn_mask)
    _check(query, key, value, attn_mask, is_causal)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    if not 0 <= dropout_p <= 1:
        raise ShapeError(
            "scaled_dot_product_attention: dropout_p is a probability, from 0 to 1; "
            f"got {dropout_p}"
        )
    seed = _seed(query.device) if dropout_p else 0
    differentiable_mask = attn_mask is not None and attn_mask.requires_grad and is_grad_enabled()
    attend = _formula if differentiable_mask else _attention
    output = attend(query, key, value, attn_mask, is_causal, scale, float(dropout_p), seed)
    return output if shape is None else reshape(output, shape)


def _seed(where: Any) -> Any:
    """Of a mask of dropout; in a step that is captured, its keys, which a replay draws anew."""
    draw = lambda: int(backend.stream(None).bit_generator.random_raw())  # noqa: E731
    return draw() if capturing() is None else backend.drawn(lambda: round_keys(draw()), where)


def _check(query: Any, key: Any, value: Any, mask: Any, is_causal: bool) -> None:
    q, k, v = (tuple(x.shape) for x in (query, key, value))
    rule = ""
    if min(len(q), len(k), len(v)) < 2:
        rule = "all need at least 2 dimensions"
    elif q[-1] != k[-1]:
        rule = "query and key need the same last dimension"
    elif k[-2] != v[-2]:
        rule = "key and value need as many positions, in dimension -2"
    elif not _broadcast(q[:-2], k[:-2], v[:-2]):
        rule = "the leading dimensions do not broadcast (enable_gqa=True for shared heads?)"
    if rule:
        raise ShapeError(f"scaled_dot_product_attention: {rule}; got query {q}, key {k}, value {v}")
    if query.dtype != key.dtype or query.dtype != value.dtype or query.array.dtype.kind != "f":
        raise TypeError(
            "scaled_dot_product_attention: query, key and value need one floating-point dtype, got "
            f"{query.dtype}, {key.dtype}, {value.dtype}"
        )
    if mask is None:
        return
    if is_causal:
        raise ShapeError(
            "scaled_dot_product_attention: give attn_mask or is_causal, not both; "
            "attn_mask & minigen.ones(L, S, dtype=bool).tril() is both"
        )
    if mask.array.dtype != bool and mask.dtype != query.dtype:
        raise TypeError(
            f"scaled_dot_product_attention: attn_mask must be bool, or {query.dtype} as query is, "
            f"not {mask.dtype}"
        )
    scores = (*np.broadcast_shapes(q[:-2], k[:-2], v[:-2]), q[-2], k[-2])
    if _broadcast(tuple(mask.shape), scores) != scores:
        raise ShapeError(
            f"scaled_dot_product_attention: attn_mask of shape {tuple(mask.shape)} does not "
            f"broadcast to the scores, {scores}"
        )


def _broadcast(*shapes: tuple) -> Any:
    """The broadcast shape, or None.  That of no dimensions is (1,), to be true."""
    try:
        return np.broadcast_shapes(*shapes) or (1,)
    except ValueError:
        return None


def _grouped(query: Any, key: Any, value: Any, mask: Any) -> tuple:
    """Heads that share a key side by side in a dimension in which key and value are 1.

    query (..., H, L, E) -> (..., Hkv, H/Hkv, L, E), key (..., Hkv, S, E) -> (..., Hkv, 1, S, E),
    value likewise, a mask with H or 1 heads likewise; and the shape of the output, or None.
    """
    heads = [_heads(name, x, query) for name, x in (("key", key), ("value", value))]
    of_query, shared = query.shape[-3], math.lcm(*heads)
    if heads == [of_query, of_query]:
        return query, key, value, mask, None
    *lead, _, positions, features = query.shape
    grouped = reshape(query, (*lead, shared, of_query // shared, positions, features))
    if mask is not None and mask.ndim > 2:
        if mask.shape[-3] not in (1, of_query):
            raise ShapeError(
                f"scaled_dot_product_attention: attn_mask of shape {tuple(mask.shape)} is neither "
                f"for each of the {of_query} heads of query nor one for all"
            )
        groups = (shared, of_query // shared) if mask.shape[-3] == of_query else (1, 1)
        mask = reshape(mask, (*mask.shape[:-3], *groups, *mask.shape[-2:]))
    key, value = (unsqueeze(_spread(x, shared), -3) for x in (key, value))
    lead = np.broadcast_shapes(tuple(lead), tuple(key.shape[:-4]), tuple(value.shape[:-4]))
    return grouped, key, value, mask, (*lead, of_query, positions, value.shape[-1])


def _heads(name: str, tensor: Any, query: Any) -> int:
    """How many heads key or value has; raises ShapeError if they cannot be shared."""
    if min(tensor.ndim, query.ndim) < 3:
        raise ShapeError(
            "scaled_dot_product_attention: enable_gqa needs heads, in dimension -3; got query "
            f"{tuple(query.shape)}, {name} {tuple(tensor.shape)}"
        )
    heads, shared = query.shape[-3], tensor.shape[-3]
    if heads != shared and (not shared or heads % shared):
        raise ShapeError(
            f"scaled_dot_product_attention: the {shared} heads of {name} must divide the {heads} "
            "of query"
        )
    return shared


def _spread(tensor: Any, heads: int) -> Any:
    """(..., shared, S, E) with every head repeated, side by side, until there are `heads`."""
    *lead, shared, positions, features = tensor.shape
    if shared == heads:
        return tensor
    repeated = expand(unsqueeze(tensor, -3), (*lead, shared, heads // shared, positions, features))
    return reshape(repeated, (*lead, heads, positions, features))


@differentiable(saves=("logsumexp", "prepared"))
def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool, scale: float,
    dropout_p: float, seed: int,
) -> Any:  # fmt: skip
    """What a GPU's kernel made of Q, K and V in bfloat16 is kept for the gradient."""
    return attention(
        query, key, value, attn_mask,
        is_causal=is_causal, scale=scale, **_dropping(dropout_p, seed),
    )  # fmt: skip


@_attention.joint_gradient("query", "key", "value")
def _(
    g: Any, query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool, scale: float,
    dropout_p: float, seed: int, output: Any, logsumexp: Any, prepared: Any,
) -> Any:  # fmt: skip
    return attention_backward(
        g, query, key, value, output, logsumexp, attn_mask, prepared,
        is_causal=is_causal, scale=scale, **_dropping(dropout_p, seed),
    )  # fmt: skip


def _dropping(dropout_p: float, seed: int) -> dict:
    """Dropout's options: none without it, so that a user's kernel need not know of them."""
    return {"dropout_p": dropout_p, "seed": seed} if dropout_p else {}


@differentiable
def _hidden(scores: Any) -> Any:
    """(..., L, 1): which queries may look nowhere."""
    return np.isneginf(scores).all(axis=-1, keepdims=True)


@_attention.formula
def _formula(
    query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool, scale: float,
    dropout_p: float, seed: int,
) -> Any:  # fmt: skip
    """The same in differentiable operations, with the whole matrix of weights in memory."""
    scores = matmul(query * scale, transpose(key, -2, -1))
    if is_causal:
        seen = backend.array_module(query.array).tri(*scores.shape[-2:], dtype=bool)
        scores = where(wrap(seen), scores, -math.inf)
    elif attn_mask is not None and attn_mask.array.dtype == bool:
        scores = where(attn_mask, scores, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    hidden = _hidden(scores)  # their scores, all -inf, would make the softmax NaN
    weights = where(hidden, 0.0, softmax(where(hidden, 0.0, scores), -1))
    if dropout_p:
        # what the kernels drop, too
        shape, like = tuple(weights.shape), weights.array
        weights = weights * wrap(dropout_factors(shape, dropout_p, seed, like.dtype, like))
    return matmul(weights, value)
