"""Recurrent language models: A. Graves, "Generating Sequences With Recurrent Neural Networks", 2013
(arXiv:1308.0850), with the LSTM of S. Hochreiter and J. Schmidhuber, 1997, or the GRU of K. Cho et
al., 2014 (arXiv:1406.1078).

The state h summarises all that was read so far; each token changes it, and the next is predicted
from it: p(x_t | x_<t) = softmax(W h_t + b), h_t = f(h_{t-1}, embedding of x_{t-1}). Unlike a
Transformer it never looks back, so that writing one more token costs the same at every place.

Shapes: N sequences of T tokens, E numbers an embedding, H a state, a vocabulary of V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import minigen
from minigen import Tensor, nn
from minigen.models import sampling
from minigen.models.sizes import require_sizes


@dataclass(frozen=True)
class RNNConfig:
    """One layer of 256: 0.35 million parameters."""

    vocabulary: int = 76  # V: what the eight plays use
    context: int = 64  # T of training; the model itself has no limit
    cell: str = "lstm"  # or "gru"
    embedding: int = 64  # E
    hidden: int = 256  # H
    layers: int = 1
    dropout: float = 0.0  # between layers

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.cell not in ("lstm", "gru"):
            raise ValueError(f"cell must be 'lstm' or 'gru', got {self.cell!r}")


class RNN(nn.Module):
    """Tokens (N, T) -> logits of the next token at each place (N, T, V).

    >>> model = RNN(RNNConfig(vocabulary=10, embedding=4, hidden=8))
    >>> logits, state = model(minigen.tensor([[1, 2, 3]]))
    >>> logits.shape
    minigen.Size([1, 3, 10])
    """

    def __init__(self, config: RNNConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or RNNConfig()
        layer = nn.LSTM if c.cell == "lstm" else nn.GRU
        self.embedding = nn.Embedding(c.vocabulary, c.embedding)
        self.rnn = layer(c.embedding, c.hidden, c.layers, batch_first=True, dropout=c.dropout)
        self.head = nn.Linear(c.hidden, c.vocabulary)

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits, and the state after the last token; `state` is that after what came before."""
        x = self.embedding(ids)  # (N, T) -> (N, T, E)
        h, state = self.rnn(x, state)  # -> (N, T, H)
        return self.head(h), state  # -> (N, T, V)

    def reader(self) -> sampling.Reader:
        """A function that reads a text token by token, or more at a time; it keeps the state."""
        state: Any = None

        def read(ids: Tensor) -> Tensor:
            nonlocal state
            with sampling.evaluating(self):
                logits, state = self(ids, state)
            return logits[:, -1]  # (N, T, V) -> (N, V)

        return read

    def generate(
        self,
        ids: Tensor,
        count: int,
        *,
        generator: minigen.Generator | None = None,
        **options: Any,
    ) -> Tensor:
        """Go on writing: tokens (N, T) -> (N, T + count), one at a time, each from the state alone.

        options: temperature, top_k, top_p, repetition_penalty; `Sampling` explains them.
        """
        how = sampling.Sampling(**options)
        return sampling.generate(self.reader(), ids, count, how, generator)
