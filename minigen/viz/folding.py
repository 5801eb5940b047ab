"""Making a large graph small: whole modules as one box, and a limit on how far back it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from minigen.viz.layering import topological
from minigen.viz.trace import CUT, MODULE, OPERATION, OUTPUT, Edge, Trace, Vertex


def fold(graph: Trace, modules: int | str | Sequence[str]) -> Trace:
    """Draw modules together: all down to a depth, or those whose path fits a pattern.

    modules: 1 for the modules right below the model, 2 for those below them, too; or `"h.*"`, or a
    list of such: each part between dots is matched by itself, `*` stands for any name.

    The graph does not say which module an operation came from, but the names of the parameters do:
    to a module belong the operations that use its parameters, and all on a path between two of
    them.  A module is left open if operations of another lie between its own (as with an embedding
    whose weight is used again at the end).
    """
    groups = _groups(graph, modules)
    owner = list(range(len(graph.vertices)))  # of each vertex: itself, or its folded module
    members: dict[int, tuple[str, list[int]]] = {}
    users = {v for found in groups.values() for v in found}
    for path, own in groups.items():
        inside = _between(graph, owner, own)
        foreign = (users - own) | set(members)
        if inside & foreign or any(owner[v] != v for v in own):
            continue
        first = min(inside)
        members[first] = path, sorted(inside)
        for v in inside:
            owner[v] = first
    return _contract(graph, owner, members)


def _groups(graph: Trace, modules: int | str | Sequence[str]) -> dict[str, set[int]]:
    """The operations that use parameters of each module to be folded, by its path."""
    if isinstance(modules, bool) or (isinstance(modules, int) and modules < 1):
        raise ValueError(f"graph: fold is a depth of 1 or more, or paths, not {modules!r}")
    paths: dict[int, str] = {}
    for i, vertex in enumerate(graph.vertices):
        found = {_module(name, modules) for name in vertex.names if vertex.leaf}
        if len(found) == 1 and (path := found.pop()):  # what several modules share belongs to none
            paths[i] = path
    groups: dict[str, set[int]] = {path: set() for path in paths.values()}
    for edge in graph.edges:
        if edge.source in paths and graph.vertices[edge.target].kind == OPERATION:
            groups[paths[edge.source]].add(edge.target)
    used = {path: own for path, own in groups.items() if own}
    if not used:
        raise ValueError(
            f"graph: fold={modules!r} fits no parameter in the graph: it needs the Module in "
            "params, and paths such as 'h.0' or 'h.*'"
        )
    return used


def _module(parameter: str, modules: int | str | Sequence[str]) -> str | None:
    """The path of the module that a parameter is folded into."""
    parts = parameter.split(".")[:-1]
    if isinstance(modules, int):
        return ".".join(parts[:modules]) or None
    for pattern in [modules] if isinstance(modules, str) else modules:
        wanted = pattern.split(".")
        if len(wanted) <= len(parts) and all(map(fnmatchcase, parts, wanted)):
            return ".".join(parts[: len(wanted)])
    return None


def _between(graph: Trace, owner: Sequence[int], own: set[int]) -> set[int]:
    """These vertices and all on paths between them."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for edge in graph.edges:
        source, target = owner[edge.source], owner[edge.target]
        if source != target:
            above.setdefault(target, []).append(source)
            below.setdefault(source, []).append(target)
    return _reached(own, above) & _reached(own, below)


def _reached(start: Iterable[int], neighbours: dict[int, list[int]]) -> set[int]:
    seen = set(start)
    stack = list(seen)
    while stack:
        for v in neighbours.get(stack.pop(), ()):
            if v not in seen:
                seen.add(v)
                stack.append(v)
    return seen


def _contract(
    graph: Trace, owner: Sequence[int], members: dict[int, tuple[str, list[int]]]
) -> Trace:
    """Put one vertex in place of the members of each module, and of the leaves they alone use."""
    targets: dict[int, set[int]] = {}
    for edge in graph.edges:
        targets.setdefault(edge.source, set()).add(owner[edge.target])
    gone = {
        i
        for i, vertex in enumerate(graph.vertices)
        if vertex.leaf and vertex.names and len(targets[i]) == 1 and targets[i] <= set(members)
    }
    vertices = list(graph.vertices)
    for first, (path, inside) in members.items():
        last = vertices[inside[-1]]
        saved = [pair for v in inside for pair in vertices[v].saved]
        count = len(inside)
        vertices[first] = Vertex(
            MODULE, path, last.shape, last.dtype, saved, names=(path,), count=count
        )
    edges: list[Edge] = []
    seen = set()
    for edge in graph.edges:
        source, target = owner[edge.source], owner[edge.target]
        folded = source in members or target in members
        if source == target or edge.source in gone or (folded and (source, target) in seen):
            continue
        seen.add((source, target))
        argument = "" if target in members else edge.argument
        edges.append(Edge(source, target, argument, edge.shape))
    kept = {i for i, o in enumerate(owner) if i == o and i not in gone}
    return _select(graph, vertices, edges, kept)


def _select(graph: Trace, vertices: list[Vertex], edges: list[Edge], kept: set[int]) -> Trace:
    """The graph of these vertices alone, numbered anew so that every edge leads forward."""
    pairs = [(e.source, e.target) for e in edges]
    order = [v for v in topological(len(vertices), pairs) if v in kept]
    number = {v: i for i, v in enumerate(order)}
    renamed = [
        Edge(number[e.source], number[e.target], e.argument, e.shape)
        for e in edges
        if e.source in kept and e.target in kept
    ]
    return Trace(
        [vertices[v] for v in order], renamed, graph.saved_bytes, graph.unreached, graph.hidden
    )


def cut(graph: Trace, max_depth: int) -> Trace:
    """Leave out what is more than `max_depth` operations away from the outputs.

    The first operations that are left out stand as empty boxes where the graph goes on.
    """
    if isinstance(max_depth, bool) or not isinstance(max_depth, int) or max_depth < 1:
        raise ValueError(f"graph: max_depth is a number of operations from 1, not {max_depth!r}")
    incoming: list[list[Edge]] = [[] for _ in graph.vertices]
    for edge in graph.edges:
        incoming[edge.target].append(edge)
    depth = {i: 0 for i, v in enumerate(graph.vertices) if v.kind == OUTPUT}
    queue = list(depth)
    for v in queue:  # it grows: breadth first
        for edge in incoming[v] if depth[v] <= max_depth else ():
            if edge.source not in depth:
                depth[edge.source] = depth[v] + 1
                queue.append(edge.source)
    vertices = list(graph.vertices)
    beyond = {v for v in depth if depth[v] > max_depth and not vertices[v].leaf}
    for v in beyond:
        old = vertices[v]
        vertices[v] = Vertex(CUT, old.title, old.shape, old.dtype)
    edges = [e for e in graph.edges if e.target not in beyond]
    result = _select(graph, vertices, edges, set(depth))
    shown = sum(vertices[v].count for v in depth if vertices[v].kind in (OPERATION, MODULE))
    result.hidden = graph.operations - shown
    return result
