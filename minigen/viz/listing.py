"""The graph as an indented listing, from the outputs back to the leaves.

What several operations use stands below the one through which all of them lead to the output: its
immediate dominator (R. Prosser, "Applications of Boolean Matrices to the Analysis of Flow
Diagrams", 1959).  The largest of the parts below an operation goes on at its own margin, the others
are indented, so that a branch is less than half of what it branches off from: a residual stream is
a trunk, a chain of any length stays at its margin, n operations need no more than log2(n) margins.
"""

from __future__ import annotations

from minigen.viz.text import counted
from minigen.viz.trace import CUT, MODULE, OUTPUT, Edge, Trace, Vertex


def listing(graph: Trace, show_saved: bool = False) -> str:
    """One line for every operation, leaf, and reference to one of them by its number."""
    tree = _Tree(graph)
    roots = tree.below[-1]
    outputs = [v for v in roots if graph.vertices[v].kind == OUTPUT]
    shared = [v for v in reversed(roots) if graph.vertices[v].kind != OUTPUT]
    lines: list[str] = []
    # what stands before the vertex in its line, the vertex, and what stands before its branches
    stack: list[tuple[str, int | None, str]] = [("", v, "") for v in reversed([*outputs, *shared])]
    while stack:
        lead, v, margin = stack.pop()
        if v is None:
            lines.append(lead)
            continue
        vertex = graph.vertices[v]
        lines.append(lead + tree.number(v) + _words(vertex))
        branches, trunk = tree.branches(v)
        if show_saved:
            branches = [(f"saves {n} {what}", None) for n, what in vertex.saved] + branches
        following: list[tuple[str, int | None, str]] = []
        for i, (text, branch) in enumerate(branches):
            last = trunk is None and i == len(branches) - 1
            corner, bar = ("└─ ", "   ") if last else ("├─ ", "│  ")
            following.append((margin + corner + text, branch, margin + bar))
        if trunk is not None:
            following.append((margin, trunk, margin))
        stack += reversed(following)
    return "\n".join(lines)


def _words(vertex: Vertex) -> str:
    if vertex.leaf:
        return f"{vertex.title} {vertex.shape} {vertex.dtype}"
    if vertex.kind == OUTPUT:
        return f"{vertex.title}: {vertex.shape} {vertex.dtype}"
    if vertex.kind == MODULE:
        return f"{vertex.title}: {counted(vertex.count, 'operation')} {vertex.shape}"
    return f"{vertex.title} {vertex.shape}" + " ..." * (vertex.kind == CUT)


class _Tree:
    """The tree of dominators: which vertex every way from `v` to an output leads through first."""

    def __init__(self, graph: Trace) -> None:
        self.graph = graph
        count = len(graph.vertices)
        self.incoming: list[list[Edge]] = [[] for _ in range(count)]
        users: list[list[int]] = [[] for _ in range(count)]
        for edge in graph.edges:
            self.incoming[edge.target].append(edge)
            users[edge.source].append(edge.target)
        self.above = [-1] * count  # -1: the end of all things, below every output
        self.below: list[list[int]] = [[] for _ in range(count + 1)]
        depth = [0] * count + [-1]
        for v in range(count - 1, -1, -1):  # users come before what they use
            oldest_first = sorted(users[v])
            common = oldest_first[0] if oldest_first else -1
            for other in oldest_first[1:]:
                while common != other:
                    if depth[common] >= depth[other]:
                        common = self.above[common]
                    else:
                        other = self.above[other]
            self.above[v] = common
            depth[v] = depth[common] + 1
        self.size = [1] * (count + 1)
        for v, dominator in enumerate(self.above):
            self.below[dominator].append(v)
            self.size[dominator] += self.size[v]
        self.shared = [len(found) > 1 for found in users]
        self.numbers: dict[int, int] = {}  # of what is shared, in the order of the listing

    def number(self, v: int) -> str:
        return f"[{self.numbers.setdefault(v, len(self.numbers) + 1)}] " if self.shared[v] else ""

    def branches(self, v: int) -> tuple[list[tuple[str, int | None]], int | None]:
        """(text, vertex or None for a mere reference) below `v`, and what goes on at its margin."""
        own = self.below[v]
        operations = [b for b in own if not self.graph.vertices[b].leaf]
        trunk = max(operations, key=self.size.__getitem__, default=None)
        found: list[tuple[str, int | None]] = []
        for edge in self.incoming[v]:
            label = f"{edge.argument}: " if edge.argument else ""
            if self.shared[edge.source]:
                found.append((label + self.number(edge.source).strip(), None))
            elif edge.source != trunk:
                found.append((label, edge.source))
        found += [("", b) for b in reversed(own) if self.shared[b] and b != trunk]
        return found, trunk
