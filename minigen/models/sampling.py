"""How a language model writes: which token comes next, again and again, and the text they make.

A model gives logits x, one for each token of the vocabulary. Drawing from p = softmax(x) is honest
and often dull: thousands of tokens that are each almost impossible are together quite likely, and
one of them spoils a sentence. The cures, in the order in which they are applied:

| option               | what it does with the logits                      | source               |
| -------------------- | ------------------------------------------------- | -------------------- |
| `repetition_penalty` | lowers those of tokens that were there already    | Keskar et al. 2019   |
| `temperature`        | divides them: below 1 the likely becomes likelier | Ackley et al. 1985   |
| `top_k`              | leaves the k likeliest                            | Fan et al. 2018      |
| `top_p`              | leaves the likeliest that together have p         | Holtzman et al. 2020 |

Shapes: N sequences of T tokens, a vocabulary of V.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Generator, Tensor, nn
from minigen.nn import functional as F

# Reads tokens (N, T) that follow those of the calls before; logits of the next one, (N, V).
Reader = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.  Raises ValueError for options out of range.

    temperature:        0 or more; 0 always takes the likeliest token, the first of equals.
    top_k:              1 or more, or None for no limit; tokens as likely as the k-th stay, too.
    top_p:              0 to 1; 1 leaves all tokens, 0 the likeliest alone.
    repetition_penalty: above 0; 1 is none, the paper has 1.2.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0 or math.isinf(self.temperature):
            raise ValueError(f"temperature must be 0 or a positive number, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, got {self.top_k}")
        if not 0 <= self.top_p <= 1:
            raise ValueError(f"top_p must be from 0 to 1, got {self.top_p}")
        if not self.repetition_penalty > 0 or math.isinf(self.repetition_penalty):
            raise ValueError(
                f"repetition_penalty must be a positive number, got {self.repetition_penalty}"
            )

    def probabilities(self, logits: Tensor, seen: Tensor) -> Tensor:
        """What is drawn from: logits (N, V) after tokens (N, T) -> probabilities (N, V).

        >>> logits = minigen.tensor([[2.0, 1.0, 0.0]]).log_softmax(-1)
        >>> Sampling(top_k=2).probabilities(logits, minigen.tensor([[0]]))
        tensor([[0.7311, 0.2689, 0.0000]])
        """
        logits = penalize_repetition(logits, seen, self.repetition_penalty)
        if self.temperature == 0:
            return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(logits.dtype)
        logits = keep_likeliest(logits / self.temperature, self.top_k)
        return F.softmax(keep_nucleus(logits, self.top_p), dim=-1)

    def draw(self, logits: Tensor, seen: Tensor, generator: Generator | None = None) -> Tensor:
        """One token for each sequence: logits (N, V) after tokens (N, T) -> int64 (N, 1)."""
        if self.temperature == 0:  # which uses no random number
            logits = penalize_repetition(logits, seen, self.repetition_penalty)
            return logits.argmax(dim=-1, keepdim=True)
        return minigen.multinomial(self.probabilities(logits, seen), 1, generator=generator)


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens that were there already less likely: N. Keskar et al., "CTRL", 2019
    (arXiv:1909.05858), section 4.1.  Logits (N, V), tokens (N, T) -> (N, V).

    The paper divides their logits by the penalty, which would make those below 0 likelier; they are
    multiplied by it, as is the custom since.

    >>> penalize_repetition(minigen.tensor([[2.0, -2.0, 2.0]]), minigen.tensor([[0, 1, 1]]), 2.0)
    tensor([[ 1., -4.,  2.]])
    """
    if penalty == 1 or seen.shape[1] == 0:
        return logits
    scores = logits.gather(-1, seen)  # (N, V) -> (N, T)
    lowered = minigen.where(scores > 0, scores / penalty, scores * penalty)
    return logits.scatter(-1, seen, lowered)  # a token seen twice is written twice, as the same


def keep_likeliest(logits: Tensor, k: int | None) -> Tensor:
    """-inf for all but the k likeliest, and those as likely as the k-th: A. Fan et al.,
    "Hierarchical Neural Story Generation", 2018 (arXiv:1805.04833), section 5.  (N, V) -> (N, V).

    >>> keep_likeliest(minigen.tensor([[1.0, 3.0, 2.0, 2.0]]), 2)
    tensor([[-inf,   3.,   2.,   2.]])
    """
    if k is None or k >= logits.shape[-1]:
        return logits
    smallest = logits.topk(k, dim=-1).values[:, -1:]  # (N, 1): the k-th largest
    return logits.masked_fill(logits < smallest, -math.inf)


def keep_nucleus(logits: Tensor, p: float) -> Tensor:
    """-inf for all but the nucleus: A. Holtzman et al., "The Curious Case of Neural Text
    Degeneration", 2020 (arXiv:1904.09751), section 3.1.  (N, V) -> (N, V).

    The nucleus is the smallest set of the likeliest tokens whose probabilities add up to p or more
    (equation 2); of equally likely tokens, those with smaller ids come first.

    >>> keep_nucleus(minigen.tensor([[0.1, 0.5, 0.4]]).log(), 0.6).exp()
    tensor([[0.0000, 0.5000, 0.4000]])
    """
    if p == 1:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)  # 2 x (N, V)
    total = F.softmax(ordered, dim=-1).cumsum(-1)
    # A token is out if those before it reach p; before the first there is nothing, and it stays.
    out = minigen.cat([minigen.zeros_like(total[:, :1], dtype=minigen.bool), total[:, :-1] >= p], 1)
    place = order.argsort(dim=-1)  # where in the order each token stands
    return logits.masked_fill(out.gather(-1, place), -math.inf)


def next_token(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Draw one token from softmax(logits / temperature): (N, V) -> int64 (N, 1).

    `Sampling` explains the options, and has more.

    >>> next_token(minigen.tensor([[0.0, 5.0, 1.0]]), temperature=0)
    tensor([[1]])
    """
    nothing = minigen.zeros(logits.shape[0], 0, dtype=minigen.int64, device=logits.device)
    return Sampling(temperature, top_k).draw(logits, nothing, generator)


# ------------------------------------------------------------------------------- sequences


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode and nothing is recorded; then as it was. A model that
    is in evaluation mode already is left alone: to ask all its modules, token by token, takes a
    tenth of the time of writing."""
    training = model.training
    if training:
        model.eval()
    try:
        with minigen.no_grad():
            yield
    finally:
        if training:
            model.train()


def write_tokens(
    read: Reader,
    ids: Tensor,
    count: int,
    sampling: Sampling,
    generator: Generator | None = None,
) -> Iterator[Tensor]:
    """Go on writing after tokens (N, T): `count` times the next one, (N, 1)."""
    unread = ids
    for _ in range(count):
        token = sampling.draw(read(unread), ids, generator)
        yield token
        ids, unread = minigen.cat([ids, token], dim=1), token  # (N, T) -> (N, T + 1)


def generate(
    read: Reader,
    ids: Tensor,
    count: int,
    sampling: Sampling,
    generator: Generator | None = None,
) -> Tensor:
    """Tokens (N, T) -> (N, T + count)."""
    return minigen.cat([ids, *write_tokens(read, ids, count, sampling, generator)], dim=1)


# ------------------------------------------------------------------------------- text


class Tokenizer(Protocol):
    """What writing text needs of a tokenizer; those of `minigen.data` have it."""

    def encode(self, text: str) -> NDArray[np.int64]: ...
    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]: ...


def write_text(
    read: Reader,
    tokenizer: Tokenizer,
    prompt: str,
    count: int,
    sampling: Sampling,
    generator: Generator | None = None,
    stop: Sequence[str] = (),
    device: str = "cpu",
) -> Iterator[str]:
    """What the model writes after a prompt, piece by piece as it is written, of `count` tokens at
    most.  Pieces are whole characters, even where tokens are not.

    stop: the text ends before the first of these; "HAMLET." would, before his next line.
    device: where the model is.
    Raises ValueError, at once, if the prompt has no token or cannot be encoded, or a stop is empty.
    """
    if not all(stop):
        raise ValueError("write_text: an empty stop would end every text before it begins")
    ids = minigen.from_numpy(tokenizer.encode(prompt)[None]).to(device)  # (1, T)
    if ids.shape[1] == 0:
        raise ValueError("write_text: the prompt must have at least one token")
    tokens = write_tokens(read, ids, count, sampling, generator)
    return until(stop, tokenizer.decode_stream(int(token) for token in tokens))


def until(stop: Sequence[str], pieces: Iterable[str]) -> Iterator[str]:
    """The text of some pieces up to the first of the stops, which may lie across pieces.

    What may be the beginning of a stop is held back until that is known; no piece is taken after
    the one that completes a stop.

    >>> list(until(["<end>"], ["one <", "two", " <e", "nd> three", "four"]))
    ['one ', '<two', ' ']
    """
    held = ""
    for piece in pieces:
        held += piece
        ends = [held.find(s) for s in stop if s in held]
        if ends:
            if min(ends):
                yield held[: min(ends)]
            return
        safe = len(held) - max((_overlap(held, s) for s in stop), default=0)
        if safe:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` with which `stop` begins."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
