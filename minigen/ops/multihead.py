"""Attention with several heads: projections, masks, attention in every head, one more projection.

    head_i = attention(Q W_iQ, K W_iK, V W_iV),   output = [head_1 ... head_h] W_O

Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.  Shapes: N sequences, L queries, S keys and
values, E features, h heads of d = E / h.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minigen.autograd import wrap
from minigen.dtypes import float32
from minigen.errors import ShapeError
from minigen.ops.attention import scaled_dot_product_attention
from minigen.ops.creation import zeros
from minigen.ops.dropout import dropout
from minigen.ops.joining import cat, chunk
from minigen.ops.linalg import linear, matmul
from minigen.ops.padding import pad
from minigen.ops.reduction import mean
from minigen.ops.shape import expand, reshape, squeeze, transpose, unsqueeze
from minigen.ops.softmax import softmax

__all__ = ["multi_head_attention_forward"]

NAME = "multi_head_attention_forward"


def added_mask(mask: Any, name: str, dtype: Any, other: Any = None, other_name: str = "") -> Any:
    """A mask as numbers to add to the scores: -inf where a boolean mask is True, 0 elsewhere.

    Masks of floating point, and None, stay what they are.  Warns if `other`, a mask that is used
    with this one, is of another dtype, as PyTorch does.  Raises TypeError for other dtypes.

    >>> import minigen
    >>> added_mask(minigen.tensor([True, False]), "attn_mask", minigen.float32)
    tensor([-inf, 0.])
    """
    if mask is None:
        return None
    kind = mask.array.dtype.kind
    if kind not in "bf":
        raise TypeError(f"{name} must be bool or floating-point, got {mask.dtype}")
    if other is not None and other.dtype != mask.dtype:
        warnings.warn(
            f"mismatched dtypes of {name} ({mask.dtype}) and {other_name} ({other.dtype}) are "
            "deprecated; use one for both",
            stacklevel=4,
        )
    if kind == "f":
        return mask
    values = np.zeros_like(mask.array, dtype=dtype.numpy)
    np.copyto(values, -math.inf, where=mask.array)
    return wrap(values)


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """What `nn.MultiheadAttention` computes, of parameters that are given.

    query (L, N, E), key (S, N, Ek), value (S, N, Ev), or all without N -> output (L, N, E), and the
    weights: averaged over the heads (N, L, S), with average_attn_weights=False (N, h, L, S), with
    need_weights=False None; only then the kernels of `scaled_dot_product_attention` are used.
    in_proj_weight (3E, E), for query, key, value; or, if use_separate_proj_weight, q_proj_weight
    (E, E), k_proj_weight (E, Ek), v_proj_weight (E, Ev).  in_proj_bias (3E), out_proj_weight
    (E, E), out_proj_bias (E).
    key_padding_mask (N, S): True, or -inf, for keys that are padding.  attn_mask (L, S) or
    (N h, L, S): True where a query may not look, or numbers that are added to the scores.
    is_causal says that attn_mask, which has to be given, is the causal mask.
    bias_k, bias_v (1, 1, E): one more key and value; add_zero_attn: one more of zeros.  static_k,
    static_v (N h, S, d): heads to be used in place of the projected keys and values.

    Raises ShapeError for shapes that do not fit, TypeError for masks of other dtypes.

    >>> import minigen
    >>> x, w = minigen.ones(3, 1, 2), minigen.eye(2)
    >>> weights = [minigen.cat([w, w, w]), None, None, None, False, 0.0, w, None]
    >>> output, attention = multi_head_attention_forward(x, x, x, 2, 1, *weights)
    >>> output.shape, attention[0, 0]
    (minigen.Size([3, 1, 2]), tensor([0.3333, 0.3333, 0.3333]))
    """
    single = _check(query, key, value, key_padding_mask, attn_mask, num_heads)
    same_key, same_value = query is key, key is value
    if single:
        query, key, value = (unsqueeze(x, 1) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else unsqueeze(key_padding_mask, 0)
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if is_causal and attn_mask is None:
        raise ShapeError(
            f"{NAME}: is_causal says that attn_mask is causal, so give attn_mask too; "
            "nn.Transformer.generate_square_subsequent_mask makes it"
        )
    key_padding_mask = added_mask(
        key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask"
    )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = added_mask(attn_mask, "attn_mask", query.dtype)
        is_causal = False

    if not use_separate_proj_weight and same_value and same_key:
        q, k, v = chunk(linear(query, in_proj_weight, in_proj_bias), 3, -1)
    elif use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _projected_apart(query, key, value, weights, in_proj_bias)
    else:
        weights = chunk(in_proj_weight, 3)
        q, k, v = _projected_apart(query, key, value, weights, in_proj_bias, same_value)
    mask = _one_mask(attn_mask, key_padding_mask, query, key, num_heads)
    if bias_k is not None or bias_v is not None:
        k, v, mask = _with_bias(k, v, mask, bias_k, bias_v, static_k, static_v)
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))
    k, v = (_static(s, x) for s, x in ((static_k, k), (static_v, v)))
    if add_zero_attn:
        nothing = zeros(*k.shape[:2], 1, k.shape[3], dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 2), cat([v, nothing], 2)
        mask = None if mask is None else pad(mask, (0, 1))

    dropout_p = dropout_p if training else 0.0
    output, attention = _attended(q, k, v, mask, dropout_p, is_causal, need_weights)
    # (N, h, L, d) -> (L, N, h d)
    output = reshape(output.permute(2, 0, 1, 3), tuple(query.shape))
    output = linear(output, out_proj_weight, out_proj_bias)
    if attention is not None and average_attn_weights:
        attention = mean(attention, 1)
    if single:
        return squeeze(output, 1), None if attention is None else squeeze(attention, 0)
    return output, attention


def _attended(
    q: Any, k: Any, v: Any, mask: Any, dropout_p: float, is_causal: bool, need_weights: bool
) -> tuple[Any, Any]:
    """Heads (N, h, L, d), (N, h, S, d) twice -> output (N, h, L, d), and the weights if needed."""
    if need_weights:
        return _weighted(q, k, v, mask, dropout_p)
    if mask is not None and mask.dtype == float32:  # taken with any query, as in PyTorch
        mask = mask.to(q.dtype)
    return scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal), None


# ------------------------------------------------------------------------------------- checks


def _check(query: Any, key: Any, value: Any, padding: Any, mask: Any, num_heads: int) -> bool:
    """Whether the input has no batch.  Raises ShapeError if dimensions do not fit each other."""
    ndim, rule = query.ndim, ""
    if ndim not in (2, 3):
        rule = "query has to be (L, N, E), or (L, E) without a batch"
    elif key.ndim != ndim or value.ndim != ndim:
        rule = f"query has {ndim} dimensions, so key and value need as many"
    elif padding is not None and padding.ndim != ndim - 1:
        rule = f"key_padding_mask has to be {'(N, S)' if ndim == 3 else '(S,)'} for this query"
    elif mask is not None and mask.ndim not in (2, 3):
        rule = "attn_mask has to be (L, S) or (N h, L, S)"
    if rule:
        given = {"query": query, "key": key, "value": value}
        masks = {"key_padding_mask": padding, "attn_mask": mask}
        given |= {name: x for name, x in masks.items() if x is not None}
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in given.items())
        raise ShapeError(f"{NAME}: {rule}; got {shapes}")
    return ndim == 2


def _check_sizes(
    query: Any, key: Any, value: Any, embed_dim: int, num_heads: int, separate: bool
) -> None:
    q, k, v = (tuple(x.shape) for x in (query, key, value))
    rule = ""
    if q[2] != embed_dim:
        rule = f"query needs embed_dim = {embed_dim} features"
    elif embed_dim % num_heads:
        rule = f"embed_dim = {embed_dim} must be divisible by num_heads = {num_heads}"
    elif k[:2] != v[:2] or (k != v and not separate):
        rule = "key and value need the same shape (features may differ with kdim and vdim)"
    elif q[1] != k[1]:
        rule = "query and key need the same batch size"
    if rule:
        raise ShapeError(f"{NAME}: {rule}; got query {q}, key {k}, value {v} as (length, N, E)")


# -------------------------------------------------------------------------------------- parts


def _projected_apart(
    query: Any, key: Any, value: Any, weights: Any, bias: Any, same_value: bool = False
) -> tuple:
    """Q W_Q, K W_K, V W_V; the last two as one product where key is value."""
    if any(weight is None for weight in weights):
        raise ShapeError(f"{NAME}: use_separate_proj_weight needs q_, k_ and v_proj_weight")
    biases = (None, None, None) if bias is None else chunk(bias, 3)
    q = linear(query, weights[0], biases[0])
    if same_value:
        both = None if bias is None else cat(biases[1:])
        return (q, *chunk(linear(key, cat(weights[1:]), both), 2, -1))
    return q, linear(key, weights[1], biases[1]), linear(value, weights[2], biases[2])


def _one_mask(attn_mask: Any, padding: Any, query: Any, key: Any, num_heads: int) -> Any:
    """Both masks as one that broadcasts to (N, h, L, S), or None."""
    (queries, batch), keys = query.shape[:2], key.shape[0]
    if padding is not None:
        if tuple(padding.shape) != (batch, keys):
            raise ShapeError(
                f"{NAME}: key_padding_mask has to be (N, S) = {(batch, keys)}, got "
                f"{tuple(padding.shape)}"
            )
        padding = reshape(padding, (batch, 1, 1, keys))
    if attn_mask is None:
        return padding
    shape = tuple(attn_mask.shape)
    wanted = (queries, keys) if len(shape) == 2 else (batch * num_heads, queries, keys)
    if shape != wanted:
        raise ShapeError(
            f"{NAME}: an attn_mask of {len(shape)} dimensions has to be of shape {wanted}, got "
            f"{shape}"
        )
    if len(shape) == 3:
        attn_mask = reshape(attn_mask, (batch, num_heads, queries, keys))
    else:
        attn_mask = reshape(attn_mask, (1, 1, queries, keys))
    return attn_mask if padding is None else attn_mask + padding


def _with_bias(
    k: Any, v: Any, mask: Any, bias_k: Any, bias_v: Any, static_k: Any, static_v: Any
) -> tuple:
    """One more key and value, which every query may look at: (S, N, E) -> (S + 1, N, E)."""
    if bias_k is None or bias_v is None:
        raise ShapeError(f"{NAME}: give both bias_k and bias_v, or neither")
    if static_k is not None or static_v is not None:
        raise ShapeError(f"{NAME}: a bias cannot be added to static_k and static_v")
    shape = (1, *k.shape[1:])
    k, v = cat([k, expand(bias_k, shape)]), cat([v, expand(bias_v, shape)])
    return k, v, None if mask is None else pad(mask, (0, 1))


def _heads(x: Any, num_heads: int) -> Any:
    """(S, N, h d) -> (N, h, S, d)."""
    length, batch, features = x.shape
    return reshape(x, (length, batch, num_heads, features // num_heads)).permute(1, 2, 0, 3)


def _static(given: Any, projected: Any) -> Any:
    """(N h, S, d) as (N, h, S, d), if it is given; otherwise what was projected."""
    if given is None:
        return projected
    batch, num_heads, _, features = projected.shape
    shape = tuple(given.shape)
    if len(shape) != 3 or (shape[0], shape[2]) != (batch * num_heads, features):
        raise ShapeError(
            f"{NAME}: static_k and static_v have to be (N h, S, d) = ({batch * num_heads}, S, "
            f"{features}), got {shape}"
        )
    return reshape(given, (batch, num_heads, shape[1], features))


def _weighted(q: Any, k: Any, v: Any, mask: Any, dropout_p: float) -> tuple:
    """softmax(Q Kᵀ / √d + mask) V, and these weights.  Unlike with the kernels, a query that may
    look nowhere gets NaN, as in PyTorch."""
    scores = matmul(q / math.sqrt(q.shape[-1]), transpose(k, -2, -1))
    if mask is not None:
        if mask.dtype != q.dtype:
            raise TypeError(f"{NAME}: attn_mask is {mask.dtype}, query {q.dtype}; cast one of them")
        scores = scores + mask
    weights = dropout(softmax(scores, -1), dropout_p)
    return matmul(weights, v), weights
