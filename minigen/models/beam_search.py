"""Which answer a model gives: the likeliest token again and again, or a search for the likeliest
sequence.

Greedy search cannot take a token back, and the likeliest sequence need not begin with the likeliest
token.  Beam search keeps the B likeliest beginnings, extends each by every token, and keeps the B
likeliest of all these.  With B = 1 it is greedy search, with B as large as the number of all
beginnings it finds the likeliest sequence; what B = 4 misses is little.

Longer sequences are less likely, because each token multiplies by a number below 1.  What has ended
is therefore compared by

    s(y, x) = log p(y | x) / lp(y),   lp(y) = (5 + |y|)^alpha / (5 + 1)^alpha

(equation 14, without coverage, of Y. Wu et al., "Google's Neural Machine Translation System", 2016,
arXiv:1609.08144), |y| tokens with the one that ends it.

Shapes: N sources, B beams, a vocabulary of V.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Tensor
from minigen.nn import functional as F

Ids = NDArray[np.int64]
Numbers = NDArray[np.float64]


class Writer(Protocol):
    """What a search asks of a model."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """Tokens (M, 1) that follow those of the calls before -> logits of the next, (M, V)."""

    def select(self, rows: Tensor) -> None:
        """Go on with these rows, int64 (M,), in this order; one may be there twice."""


def greedy_search(write: Writer, start: Tensor, end: int, count: int) -> Tensor:
    """The likeliest token each time, until all have written `end`, or `count` tokens.

    start: int64 (N, 1) -> (N, T) without it, T <= count; after its `end` a row is filled with it.
    """
    token, written = start, []
    ended = minigen.zeros(start.shape[0], 1, dtype=minigen.bool, device=start.device)
    for _ in range(count):
        token = write(token).argmax(dim=-1, keepdim=True)  # (N, V) -> (N, 1)
        token = token.masked_fill(ended, end)
        written.append(token)
        ended = ended | (token == end)
        if bool(ended.all()):
            break
    return minigen.cat(written, dim=1)


def length_penalty(length: int, alpha: float) -> float:
    """lp(y) of equation 14: 1 for a single token, or for alpha = 0, and more for longer ones.

    >>> length_penalty(1, 0.6), round(length_penalty(13, 1.0), 3)
    (1.0, 3.0)
    """
    return ((5 + length) / (5 + 1)) ** alpha


def beam_search(
    write: Writer, start: Tensor, end: int, count: int, beams: int = 4, alpha: float = 0.6
) -> tuple[Tensor, NDArray[np.float64]]:
    """The sequences with the highest s(y, x) that were found, of `count` tokens at most.

    start: int64 (N, 1) -> (N, T) without it, filled up as by `greedy_search`, and s(y, x), float64
    (N,).  A source is done when `beams` of its sequences have ended; one of which none has ended
    within `count` tokens gives the likeliest beginning.
    Raises ValueError for fewer than one beam or token, or a negative alpha.
    """
    if beams < 1 or count < 1 or not alpha >= 0:
        raise ValueError(
            "beam_search: expects beams >= 1, count >= 1 and alpha >= 0, got "
            f"{beams}, {count} and {alpha}"
        )
    n, token = start.shape[0], start
    search = _Search.begun(n, end, beams, alpha)
    for _ in range(count):
        steps = F.log_softmax(write(token).to(minigen.float64), dim=-1).cpu().numpy()
        came_from = search.extend(steps.reshape(n, -1, steps.shape[-1]))  # (N B, V) -> (N, B, V)
        if search.done():
            break
        write.select(minigen.from_numpy(came_from.reshape(-1)).to(start.device))
        last = np.ascontiguousarray(search.beams[:, :, -1]).reshape(-1, 1)  # (N, B) -> (N B, 1)
        token = minigen.from_numpy(last).to(start.device)
    tokens, scores = search.result()
    return minigen.from_numpy(tokens).to(start.device), scores


class _Search:
    """The beams of N sources, and the best sequence of each that has ended."""

    def __init__(self, end: int, width: int, alpha: float, logp: Numbers, beams: Ids) -> None:
        self.end, self.width, self.alpha = end, width, alpha
        self.logp = logp  # (N, B) of each beginning; -inf where there is none
        self.beams = beams  # (N, B, tokens so far)
        self.best = list(beams[:, 0])  # N sequences
        self.scores = np.full(len(beams), -math.inf)  # s(y, x) of these
        self.ended = np.zeros(len(beams), np.int64)  # how many have ended

    @classmethod
    def begun(cls, sources: int, end: int, width: int, alpha: float) -> _Search:
        """With one beam, in which nothing is written."""
        return cls(end, width, alpha, np.zeros((sources, 1)), np.empty((sources, 1, 0), np.int64))

    def extend(self, steps: Numbers) -> Ids:
        """Go on with the likeliest, after the log-probabilities (N, B, V) of the next token.

        Returns which of the N B rows each new beam comes from, (N, B).
        """
        n, old, vocabulary = steps.shape
        total = (self.logp[:, :, None] + steps).reshape(n, -1)  # (N, B, V) -> (N, B V)
        # Twice as many as are wanted: at most one of V continuations of a beam ends.
        order = np.argsort(-total, axis=1, kind="stable")[:, : 2 * self.width]
        beam, token = np.divmod(order, vocabulary)
        row = np.arange(n)[:, None]
        logp = total[row, order]
        extended = np.concatenate([self.beams[row, beam], token[:, :, None]], axis=2)
        self._put_aside(logp, extended)
        ends = token == self.end
        keep = np.argsort(ends, axis=1, kind="stable")[
            :, : self.width
        ]  # the others, in their order
        self.logp = np.where(ends, -math.inf, logp)[row, keep]
        self.beams = extended[row, keep]
        return (row * old + beam)[row, keep]

    def _put_aside(self, logp: Numbers, extended: Ids) -> None:
        """Remember what ends among the first B; what ends further down is not likely enough."""
        ends = (extended[:, : self.width, -1] == self.end) & np.isfinite(logp[:, : self.width])
        penalty = length_penalty(extended.shape[2], self.alpha)
        for source, rank in np.argwhere(ends):
            score = logp[source, rank] / penalty
            if self.ended[source] < self.width and score > self.scores[source]:
                self.best[source], self.scores[source] = extended[source, rank], score
            self.ended[source] += 1

    def done(self) -> bool:
        """Whether no source has a reason to go on."""
        return bool(((self.ended >= self.width) | np.isneginf(self.logp).all(axis=1)).all())

    def result(self) -> tuple[Ids, Numbers]:
        """Tokens (N, T), filled up with `end`, and scores (N,)."""
        best, scores = list(self.best), self.scores.copy()
        for source in np.flatnonzero(self.ended == 0):  # the first beam is the likeliest
            best[source] = self.beams[source, 0]
            penalty = length_penalty(self.beams.shape[2], self.alpha)
            scores[source] = self.logp[source, 0] / penalty
        tokens = np.full((len(best), max(map(len, best))), self.end, np.int64)
        for row, sequence in zip(tokens, best):
            row[: len(sequence)] = sequence
        return tokens, scores
