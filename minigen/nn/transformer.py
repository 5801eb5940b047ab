"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017, arXiv:1706.03762): encoder,
decoder, and both together.

Shapes: N sequences of S source and T target positions, E features: (S, N, E), with `batch_first`
(N, S, E), or (S, E) for one sequence without a batch.

Masks: a `..._mask`, (T, S) or (N heads, T, S), says where positions may not look, a
`..._key_padding_mask`, (N, S), which positions are padding; boolean, True for "not", or numbers
that are added to the scores.  `..._is_causal` says that the mask is the causal one; None means that
this is found out by comparison.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import backend
from minigen.errors import ShapeError
from minigen.modes import is_grad_enabled
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.activation import GELU, ReLU
from minigen.nn.containers import ModuleList
from minigen.nn.module import Module
from minigen.nn.normalization import LayerNorm
from minigen.nn.parameter import factory
from minigen.nn.transformer_layers import (
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    added_masks,
)
from minigen.ops.creation import full
from minigen.ops.rearrange import triu

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerEncoder",
]


def _is_causal(mask: Any, is_causal: bool | None, x: Any, batch_first: bool) -> bool:
    """Whether the mask hides from each position the later ones, and nothing else."""
    if is_causal is not None or mask is None:
        return bool(is_causal)
    length = x.shape[1 if batch_first and x.ndim == 3 else 0]
    if tuple(mask.shape) != (length, length):
        return False
    later = np.triu(np.ones((length, length), bool), 1)
    causal = later if mask.array.dtype == bool else np.where(later, -math.inf, 0.0)
    return bool((mask.array == backend.to_device(causal, mask.device)).all())


def _clones(layer: Module, count: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


class TransformerEncoder(Module):
    """`num_layers` copies of a layer, one after the other, and perhaps a norm at the end.

    The copies start from equal values, as in PyTorch; draw them anew, or make a Transformer, which
    does.  There are no nested tensors here, but what PyTorch gains by them can be seen in its
    results, so that it is done here, too: with enable_nested_tensor, in evaluation without
    gradients, the layers' outputs at positions that are padding are 0.  mask_check changes nothing.

    >>> import minigen
    >>> layer = TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> TransformerEncoder(layer, num_layers=3)(minigen.zeros(1, 5, 8)).shape
    minigen.Size([1, 5, 8])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:
        mask, padding = added_masks(
            src.dtype, mask, src_key_padding_mask, "mask", "src_key_padding_mask"
        )
        first: Any = self.layers[0]
        is_causal = _is_causal(mask, is_causal, src, first.self_attn.batch_first)
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=is_causal, src_key_padding_mask=padding)
        if mask is None and padding is not None and self._drops_padding(first, src, padding):
            x = x.masked_fill((padding != 0).unsqueeze(-1), 0.0)
        return x if self.norm is None else self.norm(x)

    def _drops_padding(self, layer: Any, src: Any, padding: Any) -> bool:
        """Whether PyTorch would take its path with nested tensors."""
        if (
            not self.enable_nested_tensor
            or not isinstance(layer, TransformerEncoderLayer)
            or layer.training
            or layer.norm_first
            or src.ndim != 3
        ):
            return False
        attention, activation = layer.self_attn, layer.activation
        fits = (
            attention.batch_first
            and attention._qkv_same_embed_dim
            and attention.in_proj_bias is not None
            and attention.num_heads % 2 == 0
            and (activation in (F.relu, F.gelu) or isinstance(activation, ReLU | GELU))
            and layer.norm1.eps == layer.norm2.eps
        )
        tensors = [src, *layer.parameters()]
        if not fits or (is_grad_enabled() and any(x.requires_grad for x in tensors)):
            return False
        live = padding.array == 0
        return bool((live[:, :-1] >= live[:, 1:]).all())  # padding stands at the end only


class TransformerDecoder(Module):
    """`num_layers` copies of a layer, one after the other, and perhaps a norm at the end.

    >>> import minigen
    >>> decoder = TransformerDecoder(TransformerDecoderLayer(8, 2, 16), num_layers=3)
    >>> decoder(minigen.zeros(5, 1, 8), memory=minigen.zeros(7, 1, 8)).shape
    minigen.Size([5, 1, 8])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        first: Any = self.layers[0]
        tgt_is_causal = _is_causal(tgt_mask, tgt_is_causal, tgt, first.self_attn.batch_first)
        x = tgt
        for layer in self.layers:
            x = layer(
                x, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )  # fmt: skip
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """Encoder and decoder: (S, N, E) source, (T, N, E) target -> (T, N, E).

    The defaults are those of the paper's base model.  custom_encoder and custom_decoder are used in
    place of those made here.  Matrices start from Xavier's uniform distribution.  Embeddings,
    positions and the last linear layer are yours to add.

    >>> import minigen
    >>> model = Transformer(8, 2, 1, 1, 16)
    >>> source, target = minigen.zeros(7, 1, 8), minigen.zeros(5, 1, 8)
    >>> mask = Transformer.generate_square_subsequent_mask(5)
    >>> model(source, target, tgt_mask=mask).shape
    minigen.Size([5, 1, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        kind = factory(device, dtype)

        def stack(layer_type: type, stack_type: type, count: int) -> Any:
            layer = layer_type(
                d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
                norm_first, bias, **kind,
            )  # fmt: skip
            norm = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **kind)
            return stack_type(layer, count, norm)

        self.encoder = (
            stack(TransformerEncoderLayer, TransformerEncoder, num_encoder_layers)
            if custom_encoder is None
            else custom_encoder
        )
        self.decoder = (
            stack(TransformerDecoderLayer, TransformerDecoder, num_decoder_layers)
            if custom_decoder is None
            else custom_decoder
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ShapeError(
                f"Transformer: src and tgt need the same batch size, got {tuple(src.shape)} and "
                f"{tuple(tgt.shape)} with batch_first={self.batch_first}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"Transformer: src and tgt need d_model = {self.d_model} features, got "
                f"{tuple(src.shape)} and {tuple(tgt.shape)}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """(sz, sz): -inf above the diagonal, so that no position sees later ones, and 0.

        >>> Transformer.generate_square_subsequent_mask(2)
        tensor([[0., -inf],
                [0., 0.]])
        """
        return triu(full((sz, sz), -math.inf, dtype=dtype, device=device), 1)
