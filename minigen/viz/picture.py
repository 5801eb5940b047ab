"""The geometry of a drawing: boxes of the size of their texts, curves, labels where there is room.

Sizes are in pixels; the drawing starts at (0, 0).  `minigen.viz.svg` writes it down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from minigen.viz.layering import Layers
from minigen.viz.placing import place
from minigen.viz.text import counted, text_width
from minigen.viz.trace import MODULE, OUTPUT, Trace, Vertex

TITLE, SMALL, LABEL = 13, 11, 10  # font sizes
PADDING = 12  # between text and the sides of its box
GAP, WIDEST_GAP = 46, 90  # between two ranks; more where edges lead far to the side
ASIDE = 90  # how far a label may stand out beyond the boxes, at either side
CLEAR = 8  # above and below the middle of a label, no curve comes near it


@dataclass
class Box:
    """A vertex in the picture: center x, top y, size; its lines of text: (text, size, bold)."""

    width: float
    height: float
    lines: list[tuple[str, int, bool]]
    x: float = 0.0
    y: float = 0.0

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass
class Label:
    """Small print beside an edge: its left end and the middle of its height."""

    text: str
    x: float
    y: float
    width: float


@dataclass
class Route:
    """An edge in the picture: a curve for every gap between two ranks that it bridges.

    A curve is (x above, x below, gap); in the ranks between, the edge goes straight down.
    """

    curves: list[tuple[float, float, int]]
    start: float
    end: float
    label: Label | None = None


class Picture:
    """Where everything in the drawing of a trace stands."""

    def __init__(self, graph: Trace, show_saved: bool = False) -> None:
        self.graph = graph
        self.boxes = [_box(vertex, show_saved) for vertex in graph.vertices]
        self.routes: list[Route] = []
        self.labels: list[Label] = []
        self._place()
        self._route()
        self._label()

    def _place(self) -> None:
        """Give every box its place; the drawing starts at (0, 0)."""
        graph = self.graph
        layers = Layers(len(graph.vertices), [(e.source, e.target) for e in graph.edges])
        layers.untangle()
        width = [box.width for box in self.boxes]
        width += [2.0] * (len(layers.rank) - len(width))

        def gap(a: int, b: int) -> float:
            return 22 if a < layers.count or b < layers.count else 16

        xs = place(layers, width, gap, [vertex.leaf for vertex in graph.vertices])
        left = min(x - w / 2 for x, w in zip(xs, width))
        self.xs = [round(x - left, 2) for x in xs]
        self.width = max(x + w / 2 for x, w in zip(self.xs, width))
        self.layers = layers
        self.rank_top: list[float] = []
        self.rank_bottom: list[float] = []
        y = 0.0
        for row in layers.rows:
            height = max((self.boxes[i].height for i in row if i < layers.count), default=0.0)
            for i in row:
                if i < layers.count:
                    box = self.boxes[i]
                    box.x, box.y = self.xs[i], y + (height - box.height) / 2
            self.rank_top.append(y)
            self.rank_bottom.append(y + height)
            aside = [abs(self.xs[a] - self.xs[b]) for a in row for b in layers.down[a]]
            y += height + min(GAP + 0.08 * max(0.0, max(aside, default=0.0) - 80), WIDEST_GAP)
        self.height = self.rank_bottom[-1]

    def _route(self) -> None:
        """Lead each edge through its dummies, from a port of one box to a port of another."""
        chains = self.layers.chains
        starts = self._ports(0, 1)
        ends = self._ports(-1, -2)
        for i, (edge, chain) in enumerate(zip(self.graph.edges, chains)):
            xs = [starts[i], *(self.xs[item] for item in chain[1:-1]), ends[i]]
            first = self.layers.rank[edge.source]
            curves = [(a, b, first + k) for k, (a, b) in enumerate(pairwise(xs))]
            self.routes.append(
                Route(curves, self.boxes[edge.source].bottom, self.boxes[edge.target].y)
            )

    def _ports(self, own: int, other: int) -> list[float]:
        """Where on its box each edge begins (or ends): side by side, one that is straight at the
        center."""
        chains = self.layers.chains
        at: dict[int, list[int]] = {}
        for i, chain in enumerate(chains):
            at.setdefault(chain[own], []).append(i)
        ports = [0.0] * len(chains)
        for item, edges in at.items():
            box = self.boxes[item]
            edges.sort(key=lambda i: self.xs[chains[i][other]])
            straight = [k for k, i in enumerate(edges)
                        if abs(self.xs[chains[i][other]] - box.x) < 1]  # fmt: skip
            pivot = straight[0] if len(straight) == 1 else (len(edges) - 1) / 2
            reach = max(pivot, len(edges) - 1 - pivot)
            step = min(18.0, (box.width / 2 - PADDING) / reach) if reach else 0.0
            for k, i in enumerate(edges):
                ports[i] = round(box.x + (k - pivot) * step, 2)
        return ports

    def _label(self) -> None:
        """Write beside each edge what there is room for, near its lower end if possible."""
        crowd: dict[int, list[tuple[float, float]]] = {}
        for route in self.routes:
            for above, below, gap in route.curves:
                crowd.setdefault(gap, []).append((above, below))
        written: dict[int, list[Label]] = {}
        for edge, route in zip(self.graph.edges, self.routes):
            texts = [f"{edge.argument} {edge.shape}"] if edge.argument else []
            for text in [*texts, edge.shape]:
                for above, below, gap in reversed(route.curves[-2:]):
                    label = self._room(
                        text, above, below, gap, crowd[gap], written.setdefault(gap, [])
                    )
                    if label is not None:
                        break
                if label is not None:
                    route.label = label
                    written[gap].append(label)
                    self.labels.append(label)
                    break

    @property
    def overhang(self) -> float:
        """How far the labels stand out, at the side where it is more."""
        aside = [max(-label.x, label.x + label.width - self.width) for label in self.labels]
        return max([0.0, *aside])

    def _room(
        self,
        text: str,
        above: float,
        below: float,
        gap: int,
        curves: Sequence[tuple[float, float]],
        labels: Sequence[Label],
    ) -> Label | None:
        """A place for `text` in the gap, right or left of the curve, that nothing else touches."""
        width = text_width(text, LABEL)
        height = self.rank_top[gap + 1] - self.rank_bottom[gap]
        own = above, below
        for part in (0.5, 0.34, 0.66):
            y = self.rank_bottom[gap] + part * height
            steps = _parameter(part - CLEAR / height), _parameter(part + CLEAR / height)
            low, high = _extent(own, steps)
            for left in (high + 5, low - 5 - width):
                right = left + width
                free = left >= -ASIDE and right <= self.width + ASIDE
                free = free and not any(
                    abs(y - b.y) < LABEL + 2 and left < b.x + b.width + 6 and b.x < right + 6
                    for b in labels
                )
                for curve in curves if free else ():
                    start, end = _extent(curve, steps)
                    away = 4 if curve == own else 9  # nearest to its own
                    free = free and not (start < right + away and left < end + away)
                if free:
                    return Label(text, left, y, width)
        return None


def _box(vertex: Vertex, show_saved: bool) -> Box:
    lines = [(vertex.title, TITLE, True)]
    if vertex.leaf or vertex.kind == OUTPUT:
        lines.append((f"{vertex.shape} {vertex.dtype}", SMALL, False))
    else:
        lines.append((vertex.shape, SMALL, False))
    if vertex.kind == MODULE:
        lines.append((counted(vertex.count, "operation"), SMALL, False))
    elif show_saved:
        lines += [(f"saves {name} {what}", LABEL, False) for name, what in vertex.saved]
    width = max(text_width(*line) for line in lines) + 2 * PADDING
    height = sum(line_height(size) for _, size, _ in lines) + 12
    return Box(max(width, 56.0), height, lines)


def line_height(size: int) -> float:
    return size + 4


def _extent(curve: tuple[float, float], steps: tuple[float, float]) -> tuple[float, float]:
    """Between which x a curve runs between two values of its Bézier parameter s.

    It is vertical at both ends: x = above + (below - above) s² (3 - 2 s).
    """
    above, below = curve
    first, second = (above + (below - above) * s * s * (3 - 2 * s) for s in steps)
    return min(first, second), max(first, second)


def _parameter(part: float) -> float:
    """The s at which a curve has come `part` of its way down: y = 1.5 s - 1.5 s² + s³, bisected."""
    low, high = 0.0, 1.0
    for _ in range(20):
        s = (low + high) / 2
        if 1.5 * s - 1.5 * s * s + s**3 < part:
            low = s
        else:
            high = s
    return (low + high) / 2
