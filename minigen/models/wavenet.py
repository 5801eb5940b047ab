"""WaveNet: A. van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016
(arXiv:1609.03499), at the size of an electrocardiogram.

A wave is a series of T values, each one of Q levels, and p(x) = Π_t p(x_t | x_1, …, x_{t-1}), their
equation 1. What came before is read by convolutions that look only backwards (section 2.1); their
gaps double from layer to layer, so that L layers see 2^L values. Each layer computes

    z = tanh(W_f * x) ⊙ σ(W_g * x)                                                      (2)

a filter and a gate, adds W_r z to its input (residual) and hands W_s z to the output (skip).
Unlike a recurrent network all T predictions are computed at once in training; writing takes one
step a value, and keeps of each layer what it will have to look back to.

Shapes: N waves of T values, Q levels, R channels inside, S channels of the skips.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

import minigen
from minigen import Generator, Tensor, nn
from minigen.models.sampling import Sampling
from minigen.models.sizes import require_sizes
from minigen.nn import functional as F


@dataclass(frozen=True)
class WaveNetConfig:
    """Six layers, which see 64 values."""

    levels: int = 256  # Q
    one_hot: bool = True  # what goes in: a vector for each level, or what is linear in its height
    layers: int = 6  # L
    channels: int = 32  # R
    skips: int = 64  # S

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.levels < 2:
            raise ValueError(f"levels must be 2 or more, got {self.levels}")

    @property
    def field(self) -> int:
        """How many values a prediction is made from."""
        return 2**self.layers


class Heights(nn.Module):
    """Levels (N, T) -> (N, T, R): a linear function of the height of a level and of the number it
    stands for, each scaled to mean 0 and deviation 1 over all levels.

    Takes the place of the embedding, for which two levels are unlike whether they are neighbours or
    far apart; where data are few, that neighbours are alike is better known from the start.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        numbers = np.stack([np.arange(levels), mu_law_decode(np.arange(levels), levels)], axis=1)
        scaled = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)  # (Q, 2)
        self.register_buffer("table", minigen.tensor(scaled), persistent=False)
        self.linear = nn.Linear(2, channels)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self.table.to(self.linear.weight.dtype)[ids])  # (N, T, 2) -> (N, T, R)


class Layer(nn.Module):
    """(N, R, T) -> what goes on to the next layer (N, R, T), and to the output (N, S, T)."""

    def __init__(self, config: WaveNetConfig, gap: int) -> None:
        super().__init__()
        self.gap = gap
        self.filter_and_gate = nn.Conv1d(config.channels, 2 * config.channels, 2, dilation=gap)
        self.residual = nn.Conv1d(config.channels, config.channels, 1)
        self.skip = nn.Conv1d(config.channels, config.skips, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        reading = F.pad(x, (self.gap, 0))  # nothing came before the first value
        z = gated(self.filter_and_gate(reading))
        return x + self.residual(z), self.skip(z)

    def advance(self, before: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same for one value x (N, R), and that of `gap` values before: (N, R), (N, S).

        Of one value, a convolution is a product, which costs a fraction of the machinery.
        """
        taps = self.filter_and_gate
        weight = taps.weight.transpose(1, 2).flatten(1)  # (2 R, R, 2) -> (2 R, 2 R): both taps
        z = gated(F.linear(minigen.cat([before, x], dim=1), weight, taps.bias))
        return x + pointwise(self.residual, z), pointwise(self.skip, z)


def gated(both: Tensor) -> Tensor:
    """Equation 2: filters and gates (N, 2 R, ...) -> z (N, R, ...)."""
    filter, gate = both.chunk(2, dim=1)
    return filter.tanh() * gate.sigmoid()


def pointwise(layer: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution with kernels of one value, of one value: (N, C) -> (N, D)."""
    return F.linear(x, layer.weight[:, :, 0], layer.bias)


class WaveNet(nn.Module):
    """Levels int64 (N, T) -> logits of the level that follows each, (N, T, Q).

    >>> model = WaveNet(WaveNetConfig(levels=8, layers=3, channels=4, skips=4))
    >>> model(minigen.tensor([[1, 2, 3, 4]])).shape
    minigen.Size([1, 4, 8])
    """

    def __init__(self, config: WaveNetConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or WaveNetConfig()
        self.embedding = (nn.Embedding if c.one_hot else Heights)(c.levels, c.channels)
        self.layers = nn.ModuleList([Layer(c, 2**i) for i in range(c.layers)])
        self.hidden = nn.Conv1d(c.skips, c.skips, 1)
        self.head = nn.Conv1d(c.skips, c.levels, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids).transpose(1, 2)  # (N, T) -> (N, T, R) -> (N, R, T)
        skips = []
        for layer in self.layers:
            x, skip = layer(x)
            skips.append(skip)
        return self._output(skips)

    def _output(self, skips: list[Tensor]) -> Tensor:
        """The skips of all layers, each (N, S, T), -> logits (N, T, Q); figure 4 of the paper."""
        total = minigen.stack(skips).sum(dim=0)
        return self.head(F.relu(self.hidden(F.relu(total)))).transpose(1, 2)

    @minigen.no_grad()
    def generate(
        self,
        ids: Tensor,
        count: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Go on writing: levels (N, T), T >= 1, -> (N, T + count), one at a time.

        Every layer keeps its last `gap` inputs, so that a value costs L small products, however
        long the wave has become. `Sampling` explains the options.
        """
        how, nothing = Sampling(temperature, top_k, top_p), ids[:, :0]  # a wave may repeat itself
        memory = self._memory(len(ids))
        for t in range(ids.shape[1]):
            logits = self._advance(ids[:, t], memory)
        written = [ids]
        for _ in range(count):
            token = how.draw(logits, nothing, generator)  # (N, Q) -> (N, 1)
            written.append(token)
            logits = self._advance(token[:, 0], memory)
        return minigen.cat(written, dim=1)

    def _memory(self, waves: int) -> list[deque[Tensor]]:
        """Of each layer its last `gap` inputs (N, R), the oldest first; at the beginning zeros."""
        weight = self.head.weight
        nothing = minigen.zeros(
            waves, self.config.channels, dtype=weight.dtype, device=weight.device
        )
        return [deque([nothing] * layer.gap) for layer in self.layers]

    def _advance(self, token: Tensor, memory: list[deque[Tensor]]) -> Tensor:
        """One value (N,) through all layers, which remember it: logits of the next (N, Q)."""
        x = self.embedding(token[:, None])[:, 0]  # (N,) -> (N, 1) -> (N, 1, R) -> (N, R)
        total = 0.0
        for layer, past in zip(self.layers, memory):
            past.append(x)
            x, skip = layer.advance(past.popleft(), x)
            total = total + skip
        return pointwise(self.head, F.relu(pointwise(self.hidden, F.relu(total))))


def mu_law_encode(x: ArrayLike, levels: int = 256) -> NDArray[np.int64]:
    """Numbers in [-1, 1] as levels 0 to Q - 1, fine near 0 and coarse near 1 (section 2.2):

        f(x) = sign(x) ln(1 + μ|x|) / ln(1 + μ),   μ = Q - 1

    Raises ValueError for numbers outside.

    >>> mu_law_encode([-1.0, 0.0, 0.01, 1.0])
    array([  0, 128, 157, 255])
    """
    x = np.asarray(x, np.float64)
    if not (np.abs(x) <= 1).all():
        raise ValueError("mu_law_encode takes numbers from -1 to 1: scale the series first")
    mu = levels - 1
    compressed = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    return ((compressed + 1) / 2 * mu + 0.5).astype(np.int64)


def mu_law_levels(x: Tensor, levels: int = 256) -> Tensor:
    """`mu_law_encode` of a tensor, on its own device; numbers outside go to the outermost levels.

    >>> mu_law_levels(minigen.tensor([-1.0, 0.0, 0.01, 7.0]))
    tensor([  0, 128, 157, 255])
    """
    mu = levels - 1
    x = x.clamp(-1, 1)
    compressed = x.sign() * (x.abs() * mu).log1p() / math.log1p(mu)
    return ((compressed + 1) / 2 * mu + 0.5).long()


def mu_law_decode(ids: ArrayLike, levels: int = 256) -> NDArray[np.float64]:
    """The middle of each level, in [-1, 1].

    >>> mu_law_decode(mu_law_encode([-1.0, 0.01, 1.0])).round(3)
    array([-1.  ,  0.01,  1.  ])
    """
    mu = levels - 1
    compressed = 2 * np.asarray(ids, np.float64) / mu - 1
    return np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(mu)) / mu
