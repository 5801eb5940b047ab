"""Byte-pair encoding: P. Gage, "A New Algorithm for Data Compression", 1994; for words, R. Sennrich
et al., "Neural Machine Translation of Rare Words with Subword Units", 2016 (arXiv:1508.07909),
algorithm 1.

Begin with words as sequences of symbols. Count how often each pair of neighbours occurs, make the
most frequent pair a symbol of its own, and repeat. What was frequent becomes a single token; what
was rare stays in pieces. The list of merges, in the order they were learned, is the whole model: a
new word is encoded by doing them again, the oldest first.

Symbols are integers here. Which text they stand for does not matter to the algorithm.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]

_GONE = -1  # in the place of a symbol that was merged into the one before it


class PairCounts:
    """Words as symbols, and how often each pair of neighbours occurs in them, kept up to date.

    Algorithm 1 counts all pairs anew after every merge. But a merge changes only the words that
    hold its pair, usually few; this class knows them, and corrects the counts by the difference.
    """

    def __init__(self, words: Iterable[tuple[Sequence[int], int]]) -> None:
        """words: symbols, and how often the word occurs."""
        self.words: list[tuple[list[int], int]] = []
        self.counts: dict[Pair, int] = defaultdict(int)
        self.holders: dict[Pair, set[int]] = defaultdict(set)  # places in `words`; some in vain
        for place, (symbols, frequency) in enumerate(words):
            self.words.append((list(symbols), frequency))
            for pair in pairwise(symbols):
                self.counts[pair] += frequency
                self.holders[pair].add(place)
        self.queue = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.queue)

    def pop(self) -> tuple[Pair, int] | None:
        """The most frequent pair and its count; of equals, the one with the smaller left symbol,
        then the smaller right one: that of the older symbols. None if no pair is left.

        The queue holds counts as they were when they rose: never too low, so that the first entry
        is right if it is not out of date. One that is too high goes back with the count of today.
        """
        while self.queue:
            negative, pair = heapq.heappop(self.queue)
            count = self.counts.get(pair, 0)
            if count == -negative:
                return pair, count
            if 0 < count < -negative:
                heapq.heappush(self.queue, (-count, pair))
        return None

    def merge(self, pair: Pair, symbol: int) -> None:
        """Make the pair one symbol in every word that holds it."""
        differences: dict[Pair, int] = defaultdict(int)
        for place in self.holders.pop(pair):
            word, frequency = self.words[place]
            merged = replace(word, pair, symbol)
            if len(merged) == len(word):
                continue  # an earlier merge took one of the two away
            for old in pairwise(word):
                differences[old] -= frequency
            for new in pairwise(merged):
                differences[new] += frequency
                self.holders[new].add(place)
            self.words[place] = (merged, frequency)
        for changed, difference in differences.items():
            self.counts[changed] += difference
            if difference > 0:
                heapq.heappush(self.queue, (-self.counts[changed], changed))


def replace(word: Sequence[int], pair: Pair, symbol: int) -> list[int]:
    """The word with each occurrence of the pair replaced, from left to right.

    >>> replace([7, 7, 7, 2], (7, 7), 9)
    [9, 7, 2]
    """
    merged: list[int] = []
    place = 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            merged.append(symbol)
            place += 2
        else:
            merged.append(word[place])
            place += 1
    return merged


def merge_word(word: Iterable[int], merges: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Encode a word: do the merge of the lowest rank, at its first place, until none applies.

    merges: rank and new symbol, by pair. The symbols are a linked list and the possible merges a
    queue, so that a word of n symbols takes O(n log n) steps: a million spaces are no trap.

    >>> merge_word([1, 2, 1, 2, 3], {(1, 2): (0, 10), (10, 3): (1, 11)})
    [10, 11]
    """
    symbols = list(word)
    end = len(symbols)
    before, after = list(range(-1, end - 1)), list(range(1, end + 1))
    queue: list[tuple[int, int, Pair]] = []  # rank, place of the left symbol, pair

    def consider(left: int, right: int) -> None:
        if left >= 0 and right < end:
            pair = (symbols[left], symbols[right])
            if pair in merges:
                heapq.heappush(queue, (merges[pair][0], left, pair))

    for place in range(end - 1):
        consider(place, place + 1)
    while queue:
        _, left, pair = heapq.heappop(queue)
        right = after[left]
        if right == end or (symbols[left], symbols[right]) != pair:
            continue  # another merge took one of the two
        symbols[left], symbols[right] = merges[pair][1], _GONE
        after[left] = after[right]
        if after[left] < end:
            before[after[left]] = left
        consider(before[left], left)
        consider(left, after[left])
    return [symbol for symbol in symbols if symbol != _GONE]
