"""What the recipes of language models read: the plays, cut into windows, and what counting achieves
on them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Tensor
from minigen.data import NGram, load_shakespeare


def plays(characters: int | None) -> tuple[str, str]:
    """The first 90 % of the plays to train on, the last 10 % to validate with."""
    text = load_shakespeare()[:characters]
    cut_at = len(text) * 9 // 10
    return text[:cut_at], text[cut_at:]


def cut(ids: NDArray[np.int64], context: int) -> NDArray[np.int64]:
    """Windows (M, context + 1) such that every token but the first is predicted exactly once.

    The last ones are left out if they do not fill a window. Raises ValueError if none is filled.
    """
    count = (len(ids) - 1) // context
    if count == 0:
        raise ValueError(f"a text of {len(ids)} tokens does not fill a context of {context}")
    starts = np.arange(count)[:, None] * context
    return ids[starts + np.arange(context + 1)]


class Windows:
    """Every stretch of `length` tokens of a text, by where it begins: a dataset."""

    def __init__(self, ids: NDArray[np.int64], length: int) -> None:
        self.ids, self.length = ids, length

    def __len__(self) -> int:
        return len(self.ids) - self.length + 1

    def __getitem__(self, start: int) -> NDArray[np.int64]:
        return self.ids[start : start + self.length]


def gather(windows: list[NDArray[np.int64]]) -> Tensor:
    """N windows of T + 1 tokens -> (N, T + 1)."""
    return minigen.from_numpy(np.stack(windows))


@functools.cache
def count_ngrams(characters: int | None) -> dict[str, float]:
    """What counting achieves on the same split: the best of the n-grams up to order 4."""
    training, validation = plays(characters)
    symbols = "".join(sorted(set(training + validation)))
    losses = {
        order: NGram.fit(training, order, symbols).nats_per_character(validation)
        for order in (2, 3, 4)
    }
    best = min(losses, key=losses.__getitem__)
    return {"ngram_loss": losses[best], "ngram_order": best}


def text_scores(characters: int) -> Callable[[Mapping[str, float]], dict[str, list[Any]]]:
    """What `minigen evaluate` says of a language model besides its loss: that in other units.

    characters: how many of them it was measured on.
    """

    def scores(metrics: Mapping[str, float]) -> dict[str, list[Any]]:
        from minigen.metrics import Score, bits_per_dimension

        n, nats = characters, metrics["validation_loss"]
        return {
            "the same in other units": [
                Score("bits a character", bits_per_dimension(nats, 1), n, digits=3),
                Score("perplexity", math.exp(nats), n, digits=2),
            ]
        }

    return scores
