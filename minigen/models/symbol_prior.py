"""The second half of a VQ-VAE: a prior over its maps of symbols, learned afterwards (section 3.3 of
arXiv:1711.00937), here by the Transformer of `minigen.models.transformer` for the paper's PixelCNN.

A map is read row by row as a text of h w symbols behind a token that says "begin", and the chain
rule gives its probability,

    ln p(k) = sum_t ln p(k_t | k_<t),

from which follow new maps, drawn symbol by symbol, and, with the decoder, a bound on what an image
costs: ln p(x) >= ln p(x|z_q(x)) + ln p(k(x)), since x can come from its own map at least. While
nothing is learned every symbol costs ln K, the constant divergence of section 3.2.

Shapes: N maps of h x w symbols, 0 to K - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import minigen
from minigen import Generator, Tensor, nn
from minigen.models.sampling import Reader, Sampling, generate
from minigen.models.sizes import require_sizes
from minigen.models.transformer import GPT, GPTConfig
from minigen.nn import functional as F


@dataclass(frozen=True)
class SymbolPriorConfig:
    """For the 7 x 7 maps of `VQVAEConfig`."""

    codes: int = 64  # K
    height: int = 7  # h
    width: int = 7  # w
    layers: int = 3
    heads: int = 4
    channels: int = 96  # of the Transformer's stream
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require_sizes(self)


class SymbolPrior(nn.Module):
    """Maps of symbols (N, h, w) -> ln p of each, (N,) in nats.

    >>> prior = SymbolPrior(SymbolPriorConfig(codes=5, height=2, width=3, layers=1, channels=8))
    >>> prior(minigen.zeros(4, 2, 3, dtype=minigen.int64)).shape
    minigen.Size([4])
    """

    def __init__(self, config: SymbolPriorConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SymbolPriorConfig()
        self.begin = c.codes  # a token that stands before every map and nowhere else
        self.gpt = GPT(
            GPTConfig(
                vocabulary=c.codes + 1,
                context=c.height * c.width,
                layers=c.layers,
                heads=c.heads,
                width=c.channels,
                dropout=c.dropout,
            )
        )

    def forward(self, symbols: Tensor) -> Tensor:
        """ln p(k), int64 (N, h, w) -> (N,). Raises ValueError for maps of another size."""
        c = self.config
        if tuple(symbols.shape[1:]) != (c.height, c.width):
            raise ValueError(
                f"expected maps of {c.height} x {c.width} symbols, got shape {tuple(symbols.shape)}"
            )
        targets = symbols.flatten(1)  # (N, h, w) -> (N, T), T = h w
        tokens = minigen.cat([self._beginnings(len(symbols)), targets[:, :-1]], dim=1)  # (N, T)
        logits = self.gpt(tokens)[..., : c.codes]  # (N, T, K + 1) -> (N, T, K)
        costs = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")  # (N T,)
        return -costs.reshape(targets.shape).sum(dim=1)  # (N T,) -> (N, T) -> (N,)

    def _beginnings(self, count: int) -> Tensor:
        where = self.gpt.wte.weight.device
        return minigen.full((count, 1), self.begin, dtype=minigen.int64, device=where)

    @minigen.no_grad()
    def sample(
        self,
        count: int,
        generator: Generator | None = None,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Maps drawn symbol by symbol: int64 (count, h, w)."""
        c = self.config
        read = self._symbols_only(self.gpt.reader())
        tokens = generate(
            read, self._beginnings(count), c.height * c.width, sampling or Sampling(), generator
        )
        return tokens[:, 1:].reshape(count, c.height, c.width)  # (count, 1 + T) -> ...

    def _symbols_only(self, read: Reader) -> Reader:
        """Of the logits (N, K + 1) those that can come next: "begin" never does."""
        return lambda ids: read(ids)[:, : self.config.codes]

    def untrained_cost(self) -> float:
        """What a map costs in nats if every symbol is as likely as any other: h w ln K."""
        c = self.config
        return c.height * c.width * math.log(c.codes)
