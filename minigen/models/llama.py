"""LLaMA: H. Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023
(arXiv:2302.13971), with the grouped queries of Llama 2 (arXiv:2307.09288).

A decoder like GPT-2's with four things changed (section 2.2), each from a paper of its own:

* RMSNorm instead of layer norm: B. Zhang and R. Sennrich, 2019 (arXiv:1910.07467).
* Rotary positions instead of learned ones: J. Su et al., "RoFormer", 2021 (arXiv:2104.09864).
* SwiGLU instead of GELU: N. Shazeer, "GLU Variants Improve Transformer", 2020 (arXiv:2002.05202).
* Grouped queries: J. Ainslie et al., 2023 (arXiv:2305.13245). Several heads of queries share one of
  keys and values, so that the cache is smaller by as much.

There is no bias anywhere.

Shapes: N sequences of T tokens, C channels, h heads of d numbers, g heads of keys and values, a
vocabulary of V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigen
from minigen import Generator, Tensor, nn
from minigen.models import sampling
from minigen.models.cache import KeyValueCache, causal_mask
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class LlamaConfig:
    """A small one; raises ValueError if heads cannot be formed."""

    vocabulary: int = 76  # V
    context: int = 64  # T at most
    layers: int = 4
    heads: int = 4  # h
    key_value_heads: int = 2  # g
    width: int = 128  # C
    hidden: int = 344  # of the feed-forward: 2/3 of 4 C, rounded up to a multiple of 8
    head_size: int | None = None  # d; C / h if None
    rotary_base: float = 10000.0
    epsilon: float = 1e-6  # of RMSNorm
    tied: bool = False  # whether the embedding also reads the result out

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.head_size is None and self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be split into {self.heads} equal heads")
        if self.size_of_head % 2:
            raise ValueError(f"heads of {self.size_of_head} numbers cannot be rotated in pairs")
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"{self.heads} heads cannot share {self.key_value_heads} heads of keys and values"
            )

    @property
    def size_of_head(self) -> int:
        """d."""
        return self.head_size if self.head_size is not None else self.width // self.heads


def rotary_angles(places: np.ndarray, d: int, base: float) -> np.ndarray:
    """m theta_i for each place m and pair i, float64 (T, d/2): theta_i = base^(-2i/d)
    (RoFormer, section 3.2.2)."""
    return np.outer(places, base ** (-2 * np.arange(d // 2) / d))


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair (x_2i, x_2i+1) of numbers by its angle (RoFormer, equation 34).

    The product of a query turned by m theta and a key turned by n theta depends on m - n alone:
    attention sees how far apart two tokens are. x (N, h, T, d), angles (T, d/2) -> (N, h, T, d).

    >>> quarter = minigen.tensor([[np.pi / 2]])
    >>> rotate(minigen.tensor([[[[1.0, 0.0]]]]), quarter).round(decimals=4)
    tensor([[[[-0., 1.]]]])
    """
    cos, sin = angles.cos(), angles.sin()
    even, odd = x[..., 0::2], x[..., 1::2]  # 2 x (N, h, T, d/2)
    turned = minigen.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.reshape(x.shape)  # (N, h, T, d/2, 2) -> (N, h, T, d)


class Attention(nn.Module):
    """Causal attention of h heads of queries on g heads of keys and values."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.size = d = config.size_of_head
        self.q_proj = nn.Linear(config.width, config.heads * d, bias=False)
        self.k_proj = nn.Linear(config.width, config.key_value_heads * d, bias=False)
        self.v_proj = nn.Linear(config.width, config.key_value_heads * d, bias=False)
        self.o_proj = nn.Linear(config.heads * d, config.width, bias=False)

    def forward(self, x: Tensor, angles: Tensor, cache: KeyValueCache | None) -> Tensor:
        """angles: of the places of these tokens, (T, d/2)."""
        n, t, _ = x.shape
        q, k, v = (
            project(x).reshape(n, t, -1, self.size).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )  # (N, T, C) -> (N, T, h d) -> (N, T, h, d) -> (N, h, T, d); g instead of h for k, v
        q, k = rotate(q, angles), rotate(k, angles)
        if cache is None or len(cache) == 0:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            if cache is not None:
                cache.extend(k, v)
        else:
            k, v = cache.extend(k, v)  # 2 x (N, g, S + T, d) after S tokens
            mask = causal_mask(t, len(cache), x.device)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        y = y.transpose(1, 2).reshape(n, t, -1)  # (N, h, T, d) -> (N, T, h, d) -> (N, T, h d)
        return self.o_proj(y)


class SwiGLU(nn.Module):
    """(SiLU(x W) * x V) W2 (Shazeer, equation 6): one linear map opens and closes the other."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)  # W
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)  # V
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)  # W2

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): pre-norm, with RMSNorm."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.width, eps=config.epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, eps=config.epsilon)
        self.mlp = SwiGLU(config)

    def forward(self, x: Tensor, angles: Tensor, cache: KeyValueCache | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), angles, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Tokens (N, T) -> logits of the next token at each place (N, T, V).

    >>> model = Llama(LlamaConfig(vocabulary=10, context=8, layers=1, width=16, hidden=24))
    >>> model(minigen.tensor([[1, 2, 3]])).shape
    minigen.Size([1, 3, 10])
    """

    def __init__(self, config: LlamaConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LlamaConfig()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(config.width, eps=config.epsilon)
        if not config.tied:
            self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, mean=0.0, std=0.02)

    def forward(self, ids: Tensor, caches: Sequence[KeyValueCache] | None = None) -> Tensor:
        """caches: one a layer, if these tokens follow others; those of the new ones are added.

        Raises ValueError for more tokens than the context.
        """
        first = len(caches[0]) if caches else 0
        end = first + ids.shape[1]
        if end > self.config.context:
            raise ValueError(f"{end} tokens do not fit into a context of {self.config.context}")
        x = self.embed_tokens(ids)  # (N, T) -> (N, T, C)
        turns = rotary_angles(
            np.arange(first, end), self.config.size_of_head, self.config.rotary_base
        )
        angles = minigen.tensor(turns, dtype=x.dtype, device=x.device)  # (T, d/2)
        remembered: Sequence[KeyValueCache | None] = caches or [None] * len(self.layers)
        for layer, cache in zip(self.layers, remembered):
            x = layer(x, angles, cache)
        head = self.embed_tokens if self.config.tied else self.lm_head
        return F.linear(self.norm(x), head.weight)  # (N, T, C) -> (N, T, V)

    def reader(self) -> sampling.Reader:
        """A function that reads a text token by token, or more at a time, and remembers it."""
        caches = [KeyValueCache() for _ in self.layers]

        def read(ids: Tensor) -> Tensor:
            with sampling.evaluating(self):
                return self(ids, caches)[:, -1]  # (N, T, V) -> (N, V)

        return read

    def generate(
        self, ids: Tensor, count: int, *, generator: Generator | None = None, **options: Any
    ) -> Tensor:
        """Go on writing: tokens (N, T) -> (N, T + count), one at a time, within the context.

        options: temperature, top_k, top_p, repetition_penalty; `Sampling` explains them.
        """
        how = sampling.Sampling(**options)
        return sampling.generate(self.reader(), ids, count, how, generator)
