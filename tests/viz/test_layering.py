"""Ranks, order and places of the items of a layered drawing, for random graphs."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen.viz.layering import Layers, ranks, topological
from minigen.viz.placing import place

Pairs = list[tuple[int, int]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Pairs]:
    """Vertices and edges that lead from lower to higher numbers; several may join the same two."""
    count = draw(st.integers(1, 14))
    pairs = list(combinations(range(count), 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=24)) if pairs else []
    return count, edges


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_edge_leads_down_and_none_can_be_shortened_alone(graph: tuple[int, Pairs]) -> None:
    count, edges = graph
    rank = ranks(count, edges)
    assert min(rank) == 0
    assert all(rank[a] < rank[b] for a, b in edges)

    def total(r: list[int]) -> int:
        return sum(r[b] - r[a] for a, b in edges)

    for v in range(count):
        for step in (-1, 1):
            moved = [r + step * (i == v) for i, r in enumerate(rank)]
            if all(moved[a] < moved[b] for a, b in edges):
                assert total(moved) >= total(rank)


def test_a_leaf_stands_right_above_its_user() -> None:
    #  0 -> 1 -> 2 -> 3 and a leaf 4 of 3
    assert ranks(5, [(0, 1), (1, 2), (2, 3), (4, 3)]) == [0, 1, 2, 3, 2]


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        topological(3, [(0, 1), (1, 2), (2, 1)])


def brute_crossings(layers: Layers) -> int:
    """Pairs of segments between the same ranks whose ends stand in opposite orders."""
    segments = [(layers.rank[a], layers.place[a], layers.place[b])
                for chain in layers.chains for a, b in pairwise(chain)]  # fmt: skip
    return sum(
        r == s and (p - q) * (v - w) < 0 for (r, p, v), (s, q, w) in combinations(segments, 2)
    )


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_crossings_are_counted_and_not_made_more(graph: tuple[int, Pairs]) -> None:
    layers = Layers(*graph)
    before = layers.crossings()
    assert before == brute_crossings(layers)
    items = sorted(item for row in layers.rows for item in row)
    layers.untangle()
    assert layers.crossings() == brute_crossings(layers) <= before
    assert sorted(item for row in layers.rows for item in row) == items
    for rank, row in enumerate(layers.rows):
        assert [layers.place[item] for item in row] == list(range(len(row)))
        assert all(layers.rank[item] == rank for item in row)


def test_a_tree_and_a_ladder_are_untangled() -> None:
    tree = [(2 * i + 1 + side, i) for i in (5, 3, 0, 6, 2, 1, 4) for side in (0, 1)]
    layers = Layers(15, [(14 - a, 14 - b) for a, b in tree])
    layers.untangle()
    assert layers.crossings() == 0
    crossed = Layers(8, [(0, 5), (1, 4), (2, 7), (3, 6), (0, 6), (2, 4)])
    assert crossed.crossings() > 0
    crossed.untangle()
    assert crossed.crossings() == 0


@given(graphs(), st.data())
@settings(max_examples=100, deadline=None)
def test_no_two_items_come_too_close(graph: tuple[int, Pairs], data: st.DataObject) -> None:
    count, edges = graph
    layers = Layers(count, edges)  # as it is, with all its crossings
    width = [data.draw(st.floats(10, 200)) for _ in range(count)]
    width += [2.0] * (len(layers.rank) - count)
    targets = {b for _, b in edges}
    light = [v not in targets and data.draw(st.booleans()) for v in range(count)]
    xs = place(layers, width, lambda a, b: 20.0, light)
    for row in layers.rows:
        for a, b in pairwise(row):
            assert xs[b] - xs[a] >= (width[a] + width[b]) / 2 + 20 - 1e-6
    #  a long edge is straight, whatever short ones cross it
    inner = [pair for chain in layers.chains for pair in pairwise(chain[1:-1])]
    place_of, rank = layers.place, layers.rank
    for a, b in inner:
        if not any(
            rank[a] == rank[c] and (place_of[a] - place_of[c]) * (place_of[b] - place_of[d]) < 0
            for c, d in inner
        ):
            assert xs[a] == pytest.approx(xs[b], abs=1e-6)


def test_a_long_edge_is_straight_between_its_ends() -> None:
    #  a chain of six and an edge over all of it
    edges = [(i, i + 1) for i in range(5)] + [(0, 5)]
    layers = Layers(6, edges)
    layers.untangle()
    xs = place(layers, [40.0] * 6 + [2.0] * 4, lambda a, b: 20.0, [False] * 6)
    assert len({round(xs[item], 6) for item in layers.chains[-1][1:-1]}) == 1
    assert len({round(xs[item], 6) for item in (1, 2, 3, 4)}) == 1


def test_leaves_gather_at_their_user() -> None:
    #  1 uses 0 and the leaves 2 and 3; 4 stands far to the right of them
    layers = Layers(4, [(0, 1), (2, 1), (3, 1)])
    xs = place(layers, [40.0] * 4, lambda a, b: 20.0, [False, False, True, True])
    assert xs[0] == xs[1]
    assert [xs[2] - xs[1], xs[3] - xs[1]] == [60, 120]
    #  nor does a leaf stay at the edge when its user is pushed aside by a wide box (0)
    layers = Layers(4, [(1, 3), (2, 3)])
    assert layers.rows == [[1, 2], [0, 3]]
    xs = place(layers, [400.0, 40.0, 40.0, 40.0], lambda a, b: 20.0, [False, True, False, False])
    assert xs[2] == xs[3]
    assert xs[1] == xs[2] - 60
