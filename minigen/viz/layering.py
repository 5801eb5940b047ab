"""Where the boxes of a layered drawing stand: ranks, and the order within each.

The method of K. Sugiyama, S. Tagawa and M. Toda, "Methods for Visual Understanding of Hierarchical
System Structures", 1981, in the steps of E. Gansner et al., "A Technique for Drawing Directed
Graphs", 1993:

1. `ranks`: every edge leads downwards; a vertex stands as close to its users as it can.
2. `Layers`: an edge over several ranks becomes a chain of dummies, one in each rank between.
3. `Layers.untangle`: sweeps that put each vertex at the barycenter of its neighbours in the rank
   before, then exchange neighbours, as long as edges cross less.

Where they stand from left to right is decided in `minigen.viz.placing`.  Vertices are numbers from
0, edges pairs of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import pairwise

Pair = tuple[int, int]


def topological(count: int, edges: Sequence[Pair]) -> list[int]:
    """The vertices in an order in which every edge leads forward, otherwise by their numbers.

    Raises ValueError if there is a circle.

    >>> topological(3, [(2, 0), (0, 1)])
    [2, 0, 1]
    """
    targets: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in edges:
        targets[source].append(target)
        waiting[target] += 1
    free = [v for v in range(count) if not waiting[v]]
    order = []
    while free:
        v = heappop(free)
        order.append(v)
        for target in targets[v]:
            waiting[target] -= 1
            if not waiting[target]:
                heappush(free, target)
    if len(order) < count:
        raise ValueError("the graph has a circle")
    return order


def ranks(count: int, edges: Sequence[Pair]) -> list[int]:
    """The rank of each vertex, 0 at the top: edges lead down and are short.

    First every vertex stands right above its first user (longest paths from below); then those
    with more edges above than below move up, as far as what they use allows.

    >>> ranks(4, [(0, 1), (1, 2), (3, 2)])
    [0, 1, 2, 1]
    """
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        above[target].append(source)
        below[source].append(target)
    order = topological(count, edges)
    rank = [0] * count
    for v in reversed(order):
        rank[v] = min((rank[t] - 1 for t in below[v]), default=0)
    moved = True
    while moved:  # each move makes the sum of the lengths smaller
        moved = False
        for v in order:
            if len(above[v]) > len(below[v]):
                highest = max(rank[s] for s in above[v]) + 1
                moved |= highest != rank[v]
                rank[v] = highest
            elif below[v] and len(below[v]) > len(above[v]):
                lowest = min(rank[t] for t in below[v]) - 1
                moved |= lowest != rank[v]
                rank[v] = lowest
    top = min(rank, default=0)
    return [r - top for r in rank]


class Layers:
    """The vertices and dummies of each rank, from left to right.

    Items below `count` are vertices, the others dummies.  chains: for each edge the items that it
    leads through, its ends included.  up, down: the neighbours of each item in the ranks around.
    """

    def __init__(self, count: int, edges: Sequence[Pair]) -> None:
        self.count = count
        self.rank = ranks(count, edges)
        self.chains: list[list[int]] = []
        for source, target in edges:
            first = len(self.rank)
            between = range(self.rank[source] + 1, self.rank[target])
            self.rank += between
            self.chains.append([source, *range(first, first + len(between)), target])
        self.up: list[list[int]] = [[] for _ in self.rank]
        self.down: list[list[int]] = [[] for _ in self.rank]
        for chain in self.chains:
            for a, b in pairwise(chain):
                self.down[a].append(b)
                self.up[b].append(a)
        self.rows: list[list[int]] = [[] for _ in range(max(self.rank, default=-1) + 1)]
        self.place = [0] * len(self.rank)  # of each item in its row
        self._first_order()

    def _first_order(self) -> None:
        """As a walk from the lowest items upwards meets them, operands from left to right."""
        seen = [False] * len(self.rank)
        for start in range(len(self.rank)):
            stack = [start] if not self.down[start] else []
            while stack:
                item = stack.pop()
                if not seen[item]:
                    seen[item] = True
                    self.rows[self.rank[item]].append(item)
                    stack += reversed(self.up[item])
        self._number()

    def _number(self) -> None:
        for row in self.rows:
            for i, item in enumerate(row):
                self.place[item] = i

    def crossings(self) -> int:
        """How many pairs of edges cross."""
        return sum(self._crossings_below(row) for row in self.rows)

    def _crossings_below(self, row: Sequence[int]) -> int:
        """Between this row and the next: inversions, counted with a Fenwick tree."""
        place = self.place
        ends = [e for item in row for e in sorted(place[b] for b in self.down[item])]
        size = max(ends, default=0) + 1
        tree = [0] * (size + 1)
        total = 0
        for seen, end in enumerate(ends):
            i = end + 1
            while i:  # how many so far end at `end` or before
                total -= tree[i]
                i -= i & -i
            total += seen
            i = end + 1
            while i <= size:
                tree[i] += 1
                i += i & -i
        return total

    def untangle(self, sweeps: int = 24, patience: int = 8) -> None:
        """Reorder the rows until nothing is gained for `patience` sweeps; keep the best order.

        Ties are turned round only after some sweeps: operands had better stay in their order.
        """
        kept = self.place.__getitem__

        def turned(item: int) -> int:
            return -self.place[item]

        fewest, best = self.crossings(), [row[:] for row in self.rows]
        idle = 0
        for sweep in range(sweeps):
            if not fewest or idle > patience:
                break
            downwards = sweep % 2 == 0
            for row in self.rows if downwards else reversed(self.rows):
                ties = turned if sweep % 8 > 3 else kept
                self._sort(row, self.up if downwards else self.down, ties)
            self._exchange()
            now = self.crossings()
            idle += 1
            if now < fewest:
                fewest, best, idle = now, [row[:] for row in self.rows], 0
        self.rows = best
        self._number()
        self._order_operands()
        if self.crossings() > fewest:
            self.rows = best
            self._number()

    def _order_operands(self) -> None:
        """One more sweep upwards: what one item alone uses stands in the order of its operands."""
        self.rows = [row[:] for row in self.rows]
        operand = [0.0] * len(self.rank)
        for sources in self.up:
            for i, source in enumerate(sources):
                operand[source] = i
        for row in reversed(self.rows):
            self._sort(row, self.down, operand.__getitem__)

    def _sort(
        self, row: list[int], neighbours: list[list[int]], ties: Callable[[int], float]
    ) -> None:
        """Order a row by barycenters; items without neighbours keep their places."""
        center = {
            item: sum(self.place[n] for n in neighbours[item]) / len(neighbours[item])
            for item in row
            if neighbours[item]
        }
        ordered = iter(sorted(center, key=lambda item: (center[item], ties(item))))
        row[:] = [next(ordered) if item in center else item for item in row]
        for i, item in enumerate(row):
            self.place[item] = i

    def _exchange(self) -> None:
        """Exchange items that stand side by side while their edges cross less then."""
        for _ in range(8):
            gained = False
            for row in self.rows:
                for i in range(len(row) - 1):
                    a, b = row[i], row[i + 1]
                    if self._pair(a, b) > self._pair(b, a):
                        row[i], row[i + 1] = b, a
                        self.place[a], self.place[b] = i + 1, i
                        gained = True
            if not gained:
                return

    def _pair(self, left: int, right: int) -> int:
        """How many edges of two neighbours cross, if they stand in this order."""
        place = self.place
        return sum(
            place[x] > place[y]
            for side in (self.up, self.down)
            for x in side[left]
            for y in side[right]
        )
