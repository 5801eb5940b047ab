"""BERT: J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", 2019 (arXiv:1810.04805), an encoder as in A. Vaswani et al., "Attention Is All You
Need", 2017 (arXiv:1706.03762), section 3.1.

Every token looks at every other, on both sides, and its place in the result says what it means
there. It learns by filling gaps: some tokens are hidden behind [MASK], and the model has to name
them (section 3.1 of Devlin et al.). Layer norm comes *after* each addition here ("post-norm").

Shapes: N sequences of T tokens, C channels, h heads, a vocabulary of V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import minigen
from minigen import Tensor, nn
from minigen.models.encoder_decoder import sinusoids
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class BertConfig:
    """A small one; BERT base has 12 layers, 12 heads, width 768, hidden 3072."""

    vocabulary: int = 1000  # V
    context: int = 64  # T at most
    segments: int = 2  # a sentence and the one after it
    layers: int = 2
    heads: int = 4  # h
    width: int = 128  # C
    hidden: int = 512  # of the feed-forward
    dropout: float = 0.1
    epsilon: float = 1e-12  # of layer norm
    pooler: bool = True  # a summary of the whole, from the first token
    masked_language_model: bool = False  # logits of the tokens
    deviation: float = 0.02  # of the initial weights; 1/sqrt(C) suits small ones better
    sinusoids: bool = False  # whether the learned positions begin as those of Vaswani et al.

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be split into {self.heads} equal heads")


class SelfAttention(nn.Module):
    """h heads of softmax(Q K^T / sqrt(C/h)) V (equation 1 of Vaswani et al.), unmasked."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """mask: which tokens are there to be looked at, bool (N, 1, 1, T)."""
        n, t, c = x.shape
        q, k, v = (
            project(x).reshape(n, t, self.heads, c // self.heads).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )  # (N, T, C) -> (N, T, h, C/h) -> (N, h, T, C/h)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.output(y.transpose(1, 2).reshape(n, t, c))  # (N, h, T, C/h) -> (N, T, C)


class Layer(nn.Module):
    """norm(x + attention(x)), then norm(x + feed_forward(x)): post-norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.epsilon)
        self.widen = nn.Linear(config.width, config.hidden)
        self.narrow = nn.Linear(config.hidden, config.width)
        self.feed_forward_norm = nn.LayerNorm(config.width, eps=config.epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        y = self.narrow(F.gelu(self.widen(x)))  # (N, T, C) -> (N, T, hidden) -> (N, T, C)
        return self.feed_forward_norm(x + self.dropout(y))


class MaskedLanguageModel(nn.Module):
    """What token was at each place: (N, T, C) -> logits (N, T, V).  The embedding reads it out."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.epsilon)
        self.bias = nn.Parameter(minigen.zeros(config.vocabulary))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return F.linear(self.norm(F.gelu(self.transform(x))), embedding, self.bias)


class Bert(nn.Module):
    """Tokens (N, T) -> what each means in its place, (N, T, C).

    >>> model = Bert(BertConfig(vocabulary=30, context=8, layers=1, width=16, hidden=32))
    >>> states = model(minigen.tensor([[1, 2, 3]]))
    >>> states.shape, model.pool(states).shape
    (minigen.Size([1, 3, 16]), minigen.Size([1, 16]))
    """

    def __init__(self, config: BertConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or BertConfig()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.context, config.width)
        self.segments = nn.Embedding(config.segments, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.layers)])
        if config.pooler:
            self.pooler = nn.Linear(config.width, config.width)
        if config.masked_language_model:
            self.head = MaskedLanguageModel(config)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, mean=0.0, std=config.deviation)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        if config.sinusoids:  # of the same deviation: that of a sine is 1/sqrt(2)
            places = sinusoids(0, config.context, config.width) * 2**0.5 * config.deviation
            with minigen.no_grad():
                self.positions.weight.copy_(minigen.tensor(places))

    def forward(
        self, ids: Tensor, segments: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """segments: 0 or 1 for each token, (N, T), which sentence it is of; all 0 if None.
        attention_mask: true or 1 for tokens, false or 0 for padding, (N, T).

        Raises ValueError for more tokens than the context.
        """
        t = ids.shape[1]
        if t > self.config.context:
            raise ValueError(f"{t} tokens do not fit into a context of {self.config.context}")
        segments = minigen.zeros_like(ids) if segments is None else segments
        x = self.tokens(ids) + self.positions.weight[:t] + self.segments(segments)  # (N, T, C)
        x = self.dropout(self.norm(x))
        mask = None
        if attention_mask is not None:
            mask = attention_mask.to(minigen.bool)[:, None, None, :]  # (N, T) -> (N, 1, 1, T)
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """For AdamW: matrices decay, biases and layer norms do not (appendix A.2)."""
        parameters = list(self.parameters())
        return [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]

    def pool(self, states: Tensor) -> Tensor:
        """A summary, from the state of the first token, [CLS]: (N, T, C) -> (N, C)."""
        return self.pooler(states[:, 0]).tanh()

    def logits(self, states: Tensor) -> Tensor:
        """Which token is at each place: (N, T, C) -> (N, T, V)."""
        return self.head(states, self.tokens.weight)
