"""MultiheadAttention: every position looks at others, in several ways at once."""

from __future__ import annotations

from typing import Any

from minigen.dispatch import take_over_threads
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.layers import Linear
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter, factory
from minigen.ops.creation import empty

__all__ = ["MultiheadAttention"]


class NonDynamicallyQuantizableLinear(Linear):
    """Linear, under the name by which PyTorch knows and prints the last layer of attention."""


class MultiheadAttention(Module):
    """head_i = attention(Q W_iQ, K W_iK, V W_iV), output = [head_1 ... head_h] W_O.

    query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), with `batch_first` (N, L, ...)
    and (N, S, ...), or all without N -> output like query, and the weights (N, L, S).
    kdim and vdim default to embed_dim.  dropout: of weights, in training.  add_bias_kv: a learned
    key and value that every query can look at; add_zero_attn: one of zeros.

    in_proj_weight (3 embed_dim, embed_dim) holds W_Q, W_K, W_V; where kdim or vdim differ they are
    q_proj_weight, k_proj_weight, v_proj_weight.  They start from Xavier's uniform distribution,
    biases from 0, bias_k and bias_v from Xavier's normal one.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.

    >>> import minigen
    >>> layer = MultiheadAttention(8, 2, batch_first=True)
    >>> x, memory = minigen.zeros(1, 3, 8), minigen.zeros(1, 5, 8)
    >>> output, weights = layer(x, memory, memory)
    >>> output.shape, weights.shape
    (minigen.Size([1, 3, 8]), minigen.Size([1, 3, 5]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got {embed_dim} and {num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertionError(
                f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}"
            )
        super().__init__()
        take_over_threads()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self._add_projections(bias, add_bias_kv, factory(device, dtype))
        self._reset_parameters()

    def _add_projections(self, bias: bool, add_bias_kv: bool, kind: dict) -> None:
        size = self.embed_dim
        shapes: dict[str, tuple | None] = {
            "q_proj_weight": (size, size),
            "k_proj_weight": (size, self.kdim),
            "v_proj_weight": (size, self.vdim),
            "in_proj_weight": None,
        }
        if self._qkv_same_embed_dim:
            shapes = {**dict.fromkeys(shapes), "in_proj_weight": (3 * size, size)}
        shapes["in_proj_bias"] = (3 * size,) if bias else None
        shapes |= dict.fromkeys(("bias_k", "bias_v"), (1, 1, size) if add_bias_kv else None)
        for name, shape in shapes.items():
            self.register_parameter(name, Parameter(empty(*shape, **kind)) if shape else None)
        self.out_proj = NonDynamicallyQuantizableLinear(size, size, bias=bias, **kind)

    def _reset_parameters(self) -> None:
        """Draw new initial values (those of W_O are Linear's)."""
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("weight"):
                init.xavier_uniform_(parameter)
            elif name == "in_proj_bias":
                init.zeros_(parameter)
                init.zeros_(self.out_proj.bias)
            else:
                init.xavier_normal_(parameter)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The output, and the weights if they are needed; `F.multi_head_attention_forward` explains
        the arguments.  Without weights attention runs on the kernels and is faster."""
        swap = self.batch_first and query.ndim == 3
        if swap:
            query, key, value = _swapped(query, key, value)
        output, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight,
            self.in_proj_bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout,
            self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask, need_weights,
            attn_mask, not self._qkv_same_embed_dim, self.q_proj_weight, self.k_proj_weight,
            self.v_proj_weight, None, None, average_attn_weights, is_causal,
        )  # fmt: skip
        return output.transpose(0, 1) if swap else output, weights


def _swapped(query: Any, key: Any, value: Any) -> tuple:
    """(N, L, E) -> (L, N, E); what is one tensor stays one, so that it is projected once."""
    swapped: dict = {}
    for x in (query, key, value):
        if id(x) not in swapped:
            swapped[id(x)] = x.transpose(0, 1)
    return tuple(swapped[id(x)] for x in (query, key, value))
