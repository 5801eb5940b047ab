"""Searches beside all sequences there are, over a model that is a table of probabilities."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest

import minigen
from minigen import Tensor
from minigen.models.beam_search import beam_search, greedy_search, length_penalty

START, END = 0, 1


@functools.cache
def logits_after(row: tuple[int, ...], vocabulary: int) -> np.ndarray:
    return np.random.default_rng(row).normal(0, 2, vocabulary)


class Table:
    """p(next | source, all tokens so far) as random numbers that follow from these alone."""

    def __init__(self, sources: int, vocabulary: int) -> None:
        self.rows = [(source,) for source in range(sources)]
        self.vocabulary = vocabulary

    def logits(self, row: tuple[int, ...]) -> np.ndarray:
        return logits_after(row, self.vocabulary)

    def logp(self, source: int, tokens: tuple[int, ...]) -> float:
        total, row = 0.0, (source, START)
        for token in tokens:
            logits = self.logits(row)
            total += logits[token] - np.log(np.exp(logits).sum())
            row = (*row, token)
        return total

    def __call__(self, tokens: Tensor) -> Tensor:
        self.rows = [(*row, int(t)) for row, t in zip(self.rows, tokens[:, 0], strict=True)]
        return minigen.tensor(np.stack([self.logits(row) for row in self.rows]))

    def select(self, rows: Tensor) -> None:
        self.rows = [self.rows[int(row)] for row in rows]


def start(sources: int) -> Tensor:
    return minigen.full((sources, 1), START, dtype=minigen.int64)


def everything(vocabulary: int, count: int) -> list[tuple[int, ...]]:
    """All sequences of at most `count` tokens of which the last, and no other, is END."""
    others = [token for token in range(vocabulary) if token != END]
    return [
        (*before, END)
        for length in range(count)
        for before in itertools.product(others, repeat=length)
    ]


def cut(row: np.ndarray) -> tuple[int, ...]:
    """Without what fills it up."""
    tokens = row.tolist()
    return tuple(tokens[: tokens.index(END) + 1]) if END in tokens else tuple(tokens)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_wide_beams_find_the_best_of_all_sequences(alpha: float) -> None:
    table = Table(sources=6, vocabulary=4)
    found, scores = beam_search(table, start(6), END, count=4, beams=200, alpha=alpha)
    for source, (row, score) in enumerate(zip(found.numpy(), scores)):
        exhaustive = {
            tokens: table.logp(source, tokens) / length_penalty(len(tokens), alpha)
            for tokens in everything(4, 4)
        }
        assert cut(row) == max(exhaustive, key=exhaustive.__getitem__)
        assert score == pytest.approx(max(exhaustive.values()), rel=1e-12)


def test_the_penalty_lengthens_answers() -> None:
    """That of equation 14 by hand; with a large alpha longer sequences win."""
    assert length_penalty(7, 0.6) == pytest.approx(((5 + 7) / 6) ** 0.6)
    mean = [
        np.mean([len(cut(row)) for row in beam_search(
            Table(20, 3), start(20), END, 5, beams=60, alpha=alpha)[0].numpy()])
        for alpha in (0.0, 1.0, 3.0)
    ]  # fmt: skip
    assert mean[0] < mean[1] < mean[2]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_one_beam_is_greedy_search(alpha: float) -> None:
    """Also for sources that end at different places, and those that never do."""
    table = Table(40, 5)
    greedy = greedy_search(Table(40, 5), start(40), END, count=6).numpy()
    found, scores = beam_search(table, start(40), END, count=6, beams=1, alpha=alpha)
    lengths = {len(cut(row)) for row in greedy}
    assert len(lengths) > 3
    assert any(END not in row for row in greedy)
    for source, (a, b, score) in enumerate(zip(greedy, found.numpy(), scores, strict=True)):
        assert cut(a) == cut(b)
        wanted = table.logp(source, cut(a)) / length_penalty(len(cut(a)), alpha)
        assert score == pytest.approx(wanted, rel=1e-12)


def test_more_beams_find_likelier_sequences() -> None:
    """Greedy search misses the best of some sources; four beams of fewer, 16 of hardly any."""
    table, sequences = Table(40, 4), everything(4, 4)
    best = [max(sequences, key=lambda tokens: table.logp(s, tokens)) for s in range(40)]
    missed = []
    for beams in (1, 4, 16):
        found, _ = beam_search(Table(40, 4), start(40), END, 4, beams, alpha=0.0)
        missed.append(sum(cut(row) != one for row, one in zip(found.numpy(), best, strict=True)))
    assert missed[0] > missed[1] > missed[2]
    assert missed[0] > 10
    assert missed[2] <= 2


def test_sources_do_not_disturb_each_other() -> None:
    """A batch gives what each source gives alone."""
    together, scores = beam_search(Table(8, 5), start(8), END, 6, beams=3)
    for source in range(8):
        alone = Table(1, 5)
        alone.rows = [(source,)]
        found, score = beam_search(alone, start(1), END, 6, beams=3)
        assert cut(found.numpy()[0]) == cut(together.numpy()[source])
        assert score[0] == pytest.approx(scores[source], rel=1e-12)


def test_greedy_search_stops_when_all_have_ended() -> None:
    found = greedy_search(Table(3, 2), start(3), END, count=500).numpy()
    assert found.shape[1] < 50
    for row in found:
        first = row.tolist().index(END)
        assert (row[first:] == END).all()


@pytest.mark.parametrize(
    "options", [{"beams": 0}, {"count": 0}, {"alpha": -1.0}, {"alpha": math.nan}]
)
def test_a_search_refuses(options: dict) -> None:
    with pytest.raises(ValueError, match="beam_search: expects"):
        beam_search(Table(1, 3), start(1), END, **({"count": 3} | options))
