"""A generative Transformer: A. Radford et al., "Language Models are Unsupervised Multitask
Learners" (GPT-2), 2019, on the architecture of A. Vaswani et al., "Attention Is All You Need", 2017
(arXiv:1706.03762).

A text is a sequence of tokens, here characters. The model reads T of them and predicts at each
place the next one, by the chain rule p(x) = prod_t p(x_t | x_<t). What is special to GPT-2
(section 2.3): layer norm *before* attention and feed-forward ("pre-norm"), so that the residual
stream runs through the blocks untouched, one more layer norm at the end, and initial weights of the
layers that write into the stream scaled by 1/sqrt(number of such layers).

Shapes: N sequences of T tokens, C channels, h heads, a vocabulary of V.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import minigen
from minigen import Generator, Tensor, nn
from minigen.dispatch import take_over_threads
from minigen.models import sampling
from minigen.models.cache import KeyValueCache, causal_mask
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class GPTConfig:
    """A character model that a CPU trains in minutes; 0.8 million parameters."""

    vocabulary: int = 76  # V: what the eight plays use
    context: int = 64  # T at most
    layers: int = 4
    heads: int = 4  # h
    width: int = 128  # C
    dropout: float = 0.0
    bias: bool = False  # in Linear and LayerNorm; GPT-2 has them, they help little
    gelu: str = "none"  # how it is approximated: not, or by "tanh" as in GPT-2
    hidden: int | None = None  # of the feed-forward; 4 C if None
    epsilon: float = 1e-5  # of layer norm

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be split into {self.heads} equal heads")


class CausalSelfAttention(nn.Module):
    """h heads of softmax(Q K^T / sqrt(C/h)) V (equation 1 of Vaswani et al.), each place looking
    only at itself and what came before."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        take_over_threads()
        self.heads, self.dropout = config.heads, config.dropout
        self.c_attn = nn.Linear(config.width, 3 * config.width, bias=config.bias)  # Q, K, V in one
        self.c_proj = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """cache: of the tokens before these, which are added to it; None if there are none."""
        n, t, c = x.shape
        qkv = self.c_attn(x)  # (N, T, C) -> (N, T, 3C)
        q, k, v = (
            part.reshape(n, t, self.heads, c // self.heads).transpose(1, 2)
            for part in qkv.split(c, dim=2)  # 3 x (N, T, C) -> (N, T, h, C/h) -> (N, h, T, C/h)
        )
        dropout = self.dropout if self.training else 0.0
        if cache is None or len(cache) == 0:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
            if cache is not None:
                cache.extend(k, v)
        else:
            k, v = cache.extend(k, v)  # 2 x (N, h, S + T, C/h) after S tokens
            mask = causal_mask(t, len(cache), x.device)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        y = y.transpose(1, 2).reshape(n, t, c)  # (N, h, T, C/h) -> (N, T, h, C/h) -> (N, T, C)
        return self.c_proj(y)


class FeedForward(nn.Module):
    """Linear, GELU, Linear at each place for itself (section 3.3 of Vaswani et al.)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        hidden = config.hidden or 4 * config.width
        self.gelu = config.gelu
        self.c_fc = nn.Linear(config.width, hidden, bias=config.bias)
        self.c_proj = nn.Linear(hidden, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), self.gelu))  # (N, T, C) -> (N, T, 4C) -> (N, T, C)


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): pre-norm."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, config.epsilon, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.width, config.epsilon, bias=config.bias)
        self.mlp = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        x = x + self.dropout(self.attn(self.ln_1(x), cache))
        return x + self.dropout(self.mlp(self.ln_2(x)))


class GPT(nn.Module):
    """Tokens (N, T) -> logits of the next token at each place (N, T, V).

    The embedding also reads the result out ("weight tying", O. Press and L. Wolf, 2017,
    arXiv:1608.05859): the logit of a token is the product of its embedding with the stream.

    >>> model = GPT(GPTConfig(vocabulary=10, context=8, layers=1, width=16))
    >>> model(minigen.tensor([[1, 2, 3]])).shape
    minigen.Size([1, 3, 10])
    """

    def __init__(self, config: GPTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GPTConfig()
        self.wte = nn.Embedding(config.vocabulary, config.width)  # what the token is
        self.wpe = nn.Embedding(config.context, config.width)  # where it stands
        self.dropout = nn.Dropout(config.dropout)
        self.h = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.ln_f = nn.LayerNorm(config.width, config.epsilon, bias=config.bias)
        self.initialize()

    def initialize(self) -> None:
        """Draw all matrices from N(0, 0.02^2), those that end a residual branch from a narrower
        normal: 2 L branches add up to a variance of one branch (GPT-2, section 2.3)."""
        narrow = 0.02 / math.sqrt(2 * self.config.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                std = narrow if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, mean=0.0, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: Tensor, caches: Sequence[KeyValueCache] | None = None) -> Tensor:
        """caches: one a block, if these tokens follow others; those of the new ones are added.

        Raises ValueError for more tokens than the context.
        """
        first = len(caches[0]) if caches else 0
        end = first + ids.shape[1]
        if end > self.config.context:
            raise ValueError(f"{end} tokens do not fit into a context of {self.config.context}")
        x = self.wte(ids) + self.wpe.weight[first:end]  # (N, T) -> (N, T, C)
        x = self.dropout(x)
        remembered: Sequence[KeyValueCache | None] = caches or [None] * len(self.h)
        for block, cache in zip(self.h, remembered):
            x = block(x, cache)
        return F.linear(self.ln_f(x), self.wte.weight)  # (N, T, C) -> (N, T, V)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """For AdamW: matrices decay, biases and the gains of layer norms do not."""
        parameters = list(self.parameters())
        return [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]

    def reader(self) -> sampling.Reader:
        """A function that reads a text token by token, or more at a time, and remembers it.

        Beyond the context it looks at the last `context` tokens: all of them move by a place, and
        nothing that was remembered holds any more.
        """
        caches = [KeyValueCache() for _ in self.h]
        seen: list[Tensor] = []

        def read(ids: Tensor) -> Tensor:
            seen[:] = [minigen.cat([*seen, ids], dim=1)]  # (N, all tokens so far)
            with sampling.evaluating(self):
                if seen[0].shape[1] <= self.config.context:
                    return self(ids, caches)[:, -1]  # (N, T, V) -> (N, V)
                return self(seen[0][:, -self.config.context :])[:, -1]

        return read

    def generate(
        self,
        ids: Tensor,
        count: int,
        *,
        generator: Generator | None = None,
        **options: Any,
    ) -> Tensor:
        """Go on writing: tokens (N, T) -> (N, T + count), one at a time.

        options: temperature, top_k, top_p, repetition_penalty; `Sampling` explains them.
        """
        how = sampling.Sampling(**options)
        return sampling.generate(self.reader(), ids, count, how, generator)


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-mean of ln p(x_t | x_<t) in nats a token: logits (N, T, V), targets int64 (N, T) -> scalar.

    >>> next_token_loss(minigen.zeros(2, 3, 76), minigen.zeros(2, 3, dtype=minigen.int64))
    tensor(4.3307)
    """
    vocabulary = logits.shape[-1]
    return F.cross_entropy(
        logits.reshape(-1, vocabulary),  # (N, T, V) -> (N T, V)
        targets.reshape(-1),  # (N, T) -> (N T,)
    )
