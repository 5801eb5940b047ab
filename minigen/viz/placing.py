"""Where the items of each layer stand from left to right, so that long edges are straight.

U. Brandes and B. Köpf, "Fast and Simple Horizontal Coordinate Assignment", 2001: each item is
aligned with the median of its neighbours in the row before, which makes vertical blocks; the blocks
are packed.  This is done four times, from above and below, to the left and to the right, and each
item stands at the middle of the four places.  The blocks are packed by longest paths, which never
lets two of them overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from minigen.viz.layering import Layers, topological

Links = Sequence[Sequence[int]]


def place(
    layers: Layers, width: Sequence[float], gap: Callable[[int, int], float], light: Sequence[bool]
) -> list[float]:
    """The x of the center of every item; none overlaps its neighbour, or comes closer than `gap`.

    width: of every item.  light: the vertices that do not matter for what is straight (leaves):
    the chain of operations does not bend for them; they gather around their users.
    """
    up, down = _main(layers, light)
    crossed = _crossed(layers)
    found: list[list[float]] = []
    for rows, before in ((layers.rows, up), (layers.rows[::-1], down)):
        for sign in (1, -1):  # -1: a mirror image, packed to the other side
            turned = [row[::sign] for row in rows]
            roots = _align(turned, before, [sign * p for p in layers.place], crossed)
            found.append([sign * x for x in _pack(turned, roots, width, gap)])
    spans = [_span(xs, width) for xs in found]
    smallest = min(spans, key=lambda span: span[1] - span[0])
    for i, (xs, span) in enumerate(zip(found, spans)):
        side = i % 2
        shift = smallest[side] - span[side]
        found[i] = [x + shift for x in xs]
    xs = [sum(sorted(four)[1:3]) / 2 for four in zip(*found)]
    _gather(layers, xs, width, gap, light)
    return xs


def _span(xs: Sequence[float], width: Sequence[float]) -> tuple[float, float]:
    if not xs:
        return 0.0, 0.0
    return min(x - w / 2 for x, w in zip(xs, width)), max(x + w / 2 for x, w in zip(xs, width))


def _main(layers: Layers, light: Sequence[bool]) -> tuple[Links, Links]:
    """The neighbours above and below that an item may be aligned with.

    Those that an edge from a light vertex leads to count only if there is no other edge.
    """
    up: list[list[int]] = [[] for _ in layers.rank]
    down: list[list[int]] = [[] for _ in layers.rank]
    heavy = {chain[-1] for chain in layers.chains if not light[chain[0]]}
    for chain in layers.chains:
        last = chain[-1]
        for a, b in pairwise(chain):
            if b == last and light[chain[0]] and last in heavy:
                continue
            if b not in down[a]:
                down[a].append(b)
                up[b].append(a)
    return up, down


def _crossed(layers: Layers) -> set[tuple[int, int]]:
    """Segments that cross a segment between two dummies, which is to stay straight."""
    marked = set()
    for row in layers.rows[:-1]:
        segments = [(layers.place[a], layers.place[b], a, b) for a in row for b in layers.down[a]]
        inner = [s for s in segments if s[2] >= layers.count and s[3] >= layers.count]
        for p, q, a, b in segments:
            if a >= layers.count and b >= layers.count:
                continue
            if any((p - r) * (q - s) < 0 for r, s, _, _ in inner):
                marked.add((a, b))
    return marked


def _align(
    rows: Links, before: Links, position: Sequence[int], crossed: set[tuple[int, int]]
) -> list[int]:
    """The block of each item, named by its first item."""
    root = list(range(len(position)))
    for row in rows:
        last: float = -float("inf")
        for item in row:
            sources = sorted(before[item], key=position.__getitem__)
            middle = len(sources) - 1
            for source in sources[middle // 2 : middle // 2 + 1 + middle % 2]:
                free = root[item] == item
                straight = (source, item) not in crossed and (item, source) not in crossed
                if free and straight and last < position[source]:
                    root[item] = root[source]
                    last = position[source]
    return root


def _pack(
    rows: Links, root: Sequence[int], width: Sequence[float], gap: Callable[[int, int], float]
) -> list[float]:
    """The blocks as far left as they can be, then back to the right as far as others allow."""
    apart: dict[tuple[int, int], float] = {}
    for row in rows:
        for a, b in pairwise(row):
            key = root[a], root[b]
            apart[key] = max(apart.get(key, 0.0), (width[a] + width[b]) / 2 + gap(a, b))
    order = topological(len(root), list(apart))
    after: list[list[tuple[int, float]]] = [[] for _ in root]
    for (a, b), distance in apart.items():
        after[a].append((b, distance))
    x = [0.0] * len(root)
    for block in order:
        for other, distance in after[block]:
            x[other] = max(x[other], x[block] + distance)
    for block in reversed(order):
        if after[block]:
            x[block] = max(x[block], min(x[b] - distance for b, distance in after[block]))
    return [x[r] for r in root]


def _gather(
    layers: Layers,
    xs: list[float],
    width: Sequence[float],
    gap: Callable[[int, int], float],
    light: Sequence[bool],
) -> None:
    """Move the leaves of each row towards their users, between what stands fixed around them."""
    for row in layers.rows:
        start = 0
        for i in range(len(row) + 1):
            if i < len(row) and row[i] < layers.count and light[row[i]]:
                continue
            group = row[start:i]
            left = row[start - 1] if start else None
            right = row[i] if i < len(row) else None
            if group:
                _spread(layers, group, left, right, xs, width, gap)
            start = i + 1


def _spread(
    layers: Layers,
    group: Sequence[int],
    left: int | None,
    right: int | None,
    xs: list[float],
    width: Sequence[float],
    gap: Callable[[int, int], float],
) -> None:
    """Put the group as close to the users as its order allows: a least-squares fit.

    After the widths before it are taken off, an order with distances is an order without, and the
    best fit comes from pooling neighbours that stand the wrong way round; what lies outside the
    bounds is moved to them.
    """

    def apart(a: int, b: int) -> float:
        return (width[a] + width[b]) / 2 + gap(a, b)

    offset = [0.0]
    for a, b in pairwise(group):
        offset.append(offset[-1] + apart(a, b))
    low = -float("inf") if left is None else xs[left] + apart(left, group[0])
    high = float("inf") if right is None else xs[right] - apart(group[-1], right) - offset[-1]
    pools: list[tuple[float, int]] = []  # (mean, how many)
    for item, before in zip(group, offset):
        users = layers.down[item]
        mean = sum(xs[u] for u in users) / len(users) if users else xs[item]
        mean, count = mean - before, 1
        while pools and pools[-1][0] >= mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    fitted = [mean for mean, count in pools for _ in range(count)]
    for item, before, value in zip(group, offset, fitted):
        xs[item] = min(max(value, low), high) + before
