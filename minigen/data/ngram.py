"""A character n-gram model: what counting alone achieves, the value a neural model must beat.

Of order k it predicts a character c from the k characters h before it. Witten and Bell estimate how
likely something new is after h by how often something new came: of the n(h) characters seen after
h, t(h) were new at their time, one for each different character. Interpolated with the estimate
that forgets the oldest character of h (h'),

    p(c | h) = (n(h c) + t(h) p(c | h')) / (n(h) + t(h)),

and below order 0 stands the uniform distribution over the alphabet. If h was never seen,
p(c | h) = p(c | h'). Every p(. | h) sums to one.

Sources: I. H. Witten and T. C. Bell, "The zero-frequency problem", IEEE Transactions on Information
Theory 37(4), 1991, method C; in this interpolated form S. F. Chen and J. Goodman, "An empirical
study of smoothing techniques for language modeling", Computer Speech and Language 13, 1999.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minigen.data.tokenizers import CharTokenizer

Ids = NDArray[np.int64]
NEVER_SEEN = -1


@dataclass(frozen=True)
class _Counts:
    """What followed each context of one length.

    A context is known by its index in `keys` of the order below (the empty one is 0), and a context
    with the character after it by key = context * alphabet + character, so that integers of 64 bits
    suffice at any order.
    """

    keys: Ids  # (m,) sorted
    counts: Ids  # (m,) n(h c), beside its key
    totals: Ids  # (contexts,) n(h)
    types: Ids  # (contexts,) t(h)

    def find(self, contexts: Ids, characters: Ids, alphabet: int) -> Ids:
        """The index of each pair in `keys`, NEVER_SEEN for a pair that is not there."""
        wanted = contexts * alphabet + characters  # negative after NEVER_SEEN, as no key is
        index = np.searchsorted(self.keys, wanted)
        there = self.keys.take(index, mode="clip") == wanted
        return np.where(there, index, NEVER_SEEN)

    def interpolate(self, contexts: Ids, pairs: Ids, lower: NDArray) -> NDArray:
        """p(c | h) where the context was seen, `lower` = p(c | h') elsewhere."""
        seen = contexts != NEVER_SEEN
        n_hc = np.where(pairs == NEVER_SEEN, 0, self.counts[pairs])
        n_h, t_h = self.totals[contexts], self.types[contexts]
        seen &= n_h > 0  # the last context of the text may have nothing after it
        return np.where(seen, (n_hc + t_h * lower) / np.maximum(n_h + t_h, 1), lower)


class NGram:
    """Interpolated Witten-Bell n-gram over the characters of a text.

    `symbols` is the alphabet; it may hold characters that the training text lacks, which then get
    their share of the uniform distribution at the bottom.

    >>> model = NGram.fit("abracadabra", order=2)
    >>> model.symbols
    'abcdr'
    >>> model.next_character("ab").round(3)
    array([0.042, 0.021, 0.014, 0.014, 0.91 ])
    >>> round(model.nats_per_character("abra"), 3)
    0.538
    """

    def __init__(self, tokenizer: CharTokenizer, levels: list[_Counts]) -> None:
        self._tokenizer = tokenizer
        self._levels = levels

    @property
    def symbols(self) -> str:
        return self._tokenizer.symbols

    @property
    def order(self) -> int:
        """How many characters before it a prediction looks at, at most."""
        return len(self._levels) - 1

    @classmethod
    def fit(cls, text: str, order: int, symbols: str | None = None) -> NGram:
        """Count the n-grams of `text` up to `order` characters and the one after them.

        `symbols` are the characters of the alphabet (of `text` if None), in any order.
        Raises ValueError for a negative order, a text that is not longer than the order, or a text
        with a character outside `symbols`.
        """
        if order < 0:
            raise ValueError(
                f"NGram.fit: the order is a number of characters, 0 or more; got {order}"
            )
        if len(text) <= order:
            raise ValueError(
                f"NGram.fit: a text of {len(text)} characters holds no {order} with one after them"
            )
        tokenizer = CharTokenizer(text if symbols is None else symbols)
        ids = tokenizer.encode(text)
        alphabet = len(tokenizer)
        levels: list[_Counts] = []
        contexts, number = np.zeros(len(ids), np.int64), 1
        for k in range(order + 1):
            keys, index, counts = np.unique(
                contexts * alphabet + ids[k:], return_inverse=True, return_counts=True
            )
            of = keys // alphabet
            levels.append(
                _Counts(
                    keys=keys,
                    counts=counts,
                    totals=np.bincount(of, weights=counts, minlength=number).astype(np.int64),
                    types=np.bincount(of, minlength=number),
                )
            )
            # A context of k + 1 characters is a context of k and the character that followed it.
            contexts, number = index[:-1], len(keys)
        return cls(tokenizer, levels)

    def probabilities(self, text: str) -> NDArray[np.float64]:
        """p of each character of `text` after those before it, float64 (len(text),).

        The first characters have fewer before them and are predicted from these.
        Raises ValueError for a character outside the alphabet.
        """
        ids = self._tokenizer.encode(text)
        p = np.full(len(ids), 1 / len(self._tokenizer))
        contexts = np.zeros(len(ids), np.int64)
        for level in self._levels:
            pairs = level.find(contexts, ids, len(self._tokenizer))
            p = level.interpolate(contexts, pairs, p)
            contexts = np.concatenate([[NEVER_SEEN], pairs[:-1]]) if len(ids) else contexts
        return p

    def nats_per_character(self, text: str) -> float:
        """The mean of -ln p over the characters of `text`: its cross-entropy under this model.

        Raises ValueError for an empty text or a character outside the alphabet.
        """
        if not text:
            raise ValueError("NGram.nats_per_character: the text is empty")
        return float(-np.log(self.probabilities(text)).mean())

    def next_character(self, context: str) -> NDArray[np.float64]:
        """p(c | context) for each c of `symbols`, float64 (len(symbols),); it sums to one."""
        alphabet = len(self._tokenizer)
        before = self._tokenizer.encode(context)[-self.order :] if self.order else np.empty(0, int)
        p = np.full(alphabet, 1 / alphabet)
        for k, level in enumerate(self._levels[: len(before) + 1]):
            state = np.zeros(1, np.int64)
            for lower, character in zip(self._levels, before[len(before) - k :]):
                state = lower.find(state, np.array([character]), alphabet)
            contexts = np.repeat(state, alphabet)
            pairs = level.find(contexts, np.arange(alphabet), alphabet)
            p = level.interpolate(contexts, pairs, p)
        return p
