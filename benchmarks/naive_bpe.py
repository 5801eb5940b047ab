"""Byte-pair encoding as algorithm 1 of Sennrich et al. has it, every pair counted anew for every
merge: what the tokenizer's training is checked against, and timed against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

Symbols = tuple[str, ...]


def learn(words: Mapping[str, int], alphabet: str, size: int, at_least: int) -> list[str]:
    """Merges, "left right" each, until there are `size` symbols or no pair occurs `at_least` times.

    Of pairs that occur equally often the one of the older symbols is merged first.
    """
    ages = {symbol: age for age, symbol in enumerate(alphabet)}
    splits: dict[Symbols, int] = {tuple(word): count for word, count in words.items()}
    merges: list[str] = []
    while len(ages) < size:
        counts: Counter[tuple[str, str]] = Counter()
        for symbols, count in splits.items():
            for pair in pairwise(symbols):
                counts[pair] += count
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], -ages[pair[0]], -ages[pair[1]]))
        if counts[best] < at_least:
            break
        merges.append(" ".join(best))
        ages.setdefault("".join(best), len(ages))
        merged: Counter[Symbols] = Counter()
        for symbols, count in splits.items():
            merged[merge(symbols, best)] += count
        splits = dict(merged)
    return merges


def merge(symbols: Symbols, pair: tuple[str, str]) -> Symbols:
    """The word with each occurrence of the pair made one symbol, from left to right."""
    result: list[str] = []
    i = 0
    while i < len(symbols):
        if symbols[i : i + 2] == pair:
            result.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            result.append(symbols[i])
            i += 1
    return tuple(result)
