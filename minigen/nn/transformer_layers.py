"""One layer of the encoder and of the decoder of a Transformer; masks and shapes as explained in
`minigen.nn.transformer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigen.nn import functional as F
from minigen.nn.layers import Dropout, Linear
from minigen.nn.module import Module
from minigen.nn.multihead import MultiheadAttention
from minigen.nn.normalization import LayerNorm
from minigen.nn.parameter import factory
from minigen.ops.multihead import added_mask

__all__ = ["TransformerDecoderLayer", "TransformerEncoderLayer"]


class _Layer(Module):
    """What the layers of encoder and decoder have in common: self-attention and feed-forward."""

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int, dropout: float, activation: Any,
        layer_norm_eps: float, batch_first: bool, norm_first: bool, bias: bool, cross: bool,
        kind: dict,
    ) -> None:  # fmt: skip
        super().__init__()
        attention = {"dropout": dropout, "bias": bias, "batch_first": batch_first, **kind}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        if cross:
            self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **kind)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **kind)
        self.norm_first = norm_first
        parts = (1, 2, 3) if cross else (1, 2)
        for part in parts:
            norm = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **kind)
            setattr(self, f"norm{part}", norm)
        for part in parts:
            setattr(self, f"dropout{part}", Dropout(dropout))
        self.activation = _activation(activation)

    def _residual(self, x: Any, norm: Module, part: Callable[[Any], Any]) -> Any:
        """x + part(norm(x)) if the norm comes first, norm(x + part(x)) if it comes last: figure 1
        of Xiong et al. 2020, arXiv:2002.04745."""
        return x + part(norm(x)) if self.norm_first else norm(x + part(x))

    def _attend(
        self, attention: Module, x: Any, memory: Any, mask: Any, padding: Any, is_causal: bool
    ) -> Any:
        return attention(
            x, memory, memory, attn_mask=mask, key_padding_mask=padding, need_weights=False,
            is_causal=is_causal,
        )[0]  # fmt: skip

    def _feed_forward(self, x: Any) -> Any:
        """W_2 activation(W_1 x + b_1) + b_2 (section 3.3)."""
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


def _activation(activation: Any) -> Callable:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be 'relu', 'gelu' or callable, got {activation!r}")
    return F.relu if activation == "relu" else F.gelu


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers with an activation between them at each position.

    Both are residual, with dropout, and normalised after the sum, or before the part if
    `norm_first` (Xiong et al. 2020, arXiv:2002.04745).  activation: "relu", "gelu" or a callable.

    >>> import minigen
    >>> layer = TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> layer(minigen.zeros(1, 5, 8)).shape
    minigen.Size([1, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias, False, factory(device, dtype),
        )  # fmt: skip

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        mask, padding = added_masks(
            src.dtype, src_mask, src_key_padding_mask, "src_mask", "src_key_padding_mask"
        )

        def attend(x: Any) -> Any:
            return self.dropout1(self._attend(self.self_attn, x, x, mask, padding, is_causal))

        x = self._residual(src, self.norm1, attend)
        return self._residual(x, self.norm2, lambda x: self.dropout2(self._feed_forward(x)))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the memory, which the encoder made, and feed-forward.

    Arguments as of TransformerEncoderLayer.

    >>> import minigen
    >>> layer = TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(minigen.zeros(5, 1, 8), memory=minigen.zeros(7, 1, 8)).shape
    minigen.Size([5, 1, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias, True, factory(device, dtype),
        )  # fmt: skip

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        def look_back(x: Any) -> Any:
            masks = tgt_mask, tgt_key_padding_mask, tgt_is_causal
            return self.dropout1(self._attend(self.self_attn, x, x, *masks))

        def look_at_memory(x: Any) -> Any:
            masks = memory_mask, memory_key_padding_mask, memory_is_causal
            return self.dropout2(self._attend(self.multihead_attn, x, memory, *masks))

        x = self._residual(tgt, self.norm1, look_back)
        x = self._residual(x, self.norm2, look_at_memory)
        return self._residual(x, self.norm3, lambda x: self.dropout3(self._feed_forward(x)))


def added_masks(dtype: Any, mask: Any, padding: Any, name: str, padding_name: str) -> tuple:
    """A mask and a padding mask as numbers to add, with a warning if their dtypes differ."""
    return added_mask(mask, name, dtype), added_mask(padding, padding_name, dtype, mask, name)
