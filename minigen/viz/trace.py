"""The graph behind a tensor, read into a plain list of vertices and edges.

The edges here point the way the values went: from the leaves through the operations to the
outputs; gradients flow back against them.  Everything is iterative, so that a chain of 10,000
operations is no problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from minigen import backend
from minigen.autograd import Node, Variable
from minigen.nn import Module, Parameter

PARAMETER, INPUT, OPERATION, OUTPUT = "parameter", "input", "operation", "output"
MODULE, CUT = "module", "cut"  # made by folding and cutting: minigen.viz.folding


@dataclass
class Vertex:
    """A leaf, an operation or an output; or what stands for several of them.

    title: the name of a leaf, or of the operation.  saved: what an operation keeps for its
    gradient, as (name, description).  count: how many operations a folded module stands for.
    """

    kind: str
    title: str
    shape: str
    dtype: str
    saved: list[tuple[str, str]] = field(default_factory=list)
    names: tuple[str, ...] = ()
    count: int = 1

    @property
    def leaf(self) -> bool:
        return self.kind in (PARAMETER, INPUT)


@dataclass(frozen=True)
class Edge:
    """From the vertex that made a value to the one that used it, by their places in the list.

    argument: as what it was used; one of these names has the gradient rule.
    shape: of the cotangent that flows back along the edge.
    """

    source: int
    target: int
    argument: str
    shape: str


@dataclass
class Trace:
    """Vertices and edges; no edge leads back to an earlier vertex.

    saved_bytes: the memory that the graph holds on to, parameters left out, each array once.
    unreached: names of those that ask for a gradient and get none.  hidden: operations cut off.
    """

    vertices: list[Vertex]
    edges: list[Edge]
    saved_bytes: int = 0
    unreached: list[str] = field(default_factory=list)
    hidden: int = 0

    @property
    def operations(self) -> int:
        return sum(v.count for v in self.vertices if v.kind in (OPERATION, MODULE))

    @property
    def leaves(self) -> int:
        return sum(v.leaf for v in self.vertices)


def trace(tensors: Any, params: Any = None) -> Trace:
    """Read the graph behind a tensor or a sequence of tensors.

    params: a Module, or tensors by name: of leaves, or of what was computed in between.
    Raises TypeError for what is no tensor, RuntimeError if nothing was recorded, or what was
    recorded is freed by now.
    """
    outputs = as_outputs(tensors)
    names = _names(params)
    roots = [output.grad_fn or output for output in outputs]
    nodes = nodes_behind(roots)
    vertices: list[Vertex] = []
    edges: list[Edge] = []
    place: dict[int, int] = {}  # id of a Node or a leaf -> its vertex

    def add(thing: Any, vertex: Vertex) -> int:
        place[id(thing)] = len(vertices)
        vertices.append(vertex)
        return place[id(thing)]

    for node in nodes:  # oldest first: a parent always comes before
        links = list(_links(node))
        for parent, _, _ in links:
            if id(parent) not in place:
                add(parent, _leaf(parent, names))
        target = add(node, _operation(node, names))
        edges += [Edge(place[id(p)], target, name, shape_text(s)) for p, name, s in links]
    for i, (output, root) in enumerate(zip(outputs, roots)):
        if id(root) not in place:
            add(root, _leaf(root, names))
        title = "output" if len(outputs) == 1 else f"output {i}"
        shape = shape_text(output.shape)
        edges.append(Edge(place[id(root)], len(vertices), "", shape))
        vertices.append(Vertex(OUTPUT, title, shape, _dtype(output.array.dtype)))
    parameters = [p for p in _tensors_of(params) if p.is_leaf]
    unreached = [
        " = ".join(names[id(p)]) for p in parameters if p.requires_grad and id(p) not in place
    ]
    return Trace(vertices, edges, saved_bytes(nodes, parameters), list(dict.fromkeys(unreached)))


def as_outputs(tensors: Any) -> list[Any]:
    """The tensors as a list, after checking that each has a graph behind it, or is a leaf of it."""
    outputs = [tensors] if isinstance(tensors, Variable) else tensors
    if not isinstance(outputs, list | tuple) or not outputs:
        raise TypeError(f"graph: expects a tensor or several, got {type(tensors).__name__}")
    for output in outputs:
        if not isinstance(output, Variable):
            raise TypeError(f"graph: expects tensors, got {type(output).__name__} among them")
        if not output.requires_grad:  # type: ignore[attr-defined]
            raise RuntimeError(
                "graph: the tensor does not require grad and has no grad_fn: nothing that led to "
                "it was recorded (requires_grad=True on a leaf? inside no_grad? detached?)"
            )
    return list(outputs)


def nodes_behind(roots: Iterable[Any]) -> list[Node]:
    """All nodes from which the roots were computed, with them, the oldest first.

    Raises RuntimeError if a node's edges are gone.
    """
    stack = [root for root in roots if isinstance(root, Node)]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.edges is None:
            raise RuntimeError(
                f"graph: what led to {node.operation.name} was freed by backward(). Draw it "
                "before, or give backward retain_graph=True."
            )
        for parent, _ in node.next_functions:
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: -node.age)


def saved_values(node: Node) -> Iterator[tuple[str, Any]]:
    """(name, value) of what a node keeps for its rules, each name once."""
    slots = node.operation.slots
    found: dict[str, Any] = {}
    for rule, _, values in node.edges or ():
        for want, value in zip(rule.wants if rule else (), values):
            if want >= 0:
                found.setdefault(slots[want], value)
    for name, value in zip(node.operation.parameters, node.inputs or ()):
        found.setdefault(name, value)
    yield from found.items()


def saved_bytes(nodes: Iterable[Node], apart_from: Iterable[Any] = ()) -> int:
    """The memory that the nodes hold on to, each array once, `apart_from` these tensors."""
    known = {id(backend.owner(tensor.array)) for tensor in apart_from}
    total = 0
    for node in nodes:
        for _, value in saved_values(node):
            for array in _arrays(value):
                owner = backend.owner(array)
                if id(owner) not in known:
                    known.add(id(owner))
                    total += owner.nbytes
    return total


def _arrays(value: Any) -> Iterator[Any]:
    """The arrays in a saved value: a tensor, an array, or a sequence of such."""
    value = getattr(value, "array", value)
    if isinstance(value, list | tuple):
        for part in value:
            yield from _arrays(part)
    elif hasattr(value, "nbytes") and hasattr(value, "strides"):
        yield value


def _links(node: Node) -> Iterator[tuple[Any, str, Any]]:
    """(parent, argument, shape of the cotangent) of each edge."""
    for rule, parent, _ in node.edges or ():
        if rule is None:  # one of several outputs, from their common node
            yield parent, "", node.shape
        elif rule.single:
            yield parent, rule.names[0], _shape(parent)
        else:
            many = len(rule.names) == 1
            for i, each in enumerate(parent):
                if each is not None:
                    name = f"{rule.names[0]}[{i}]" if many else rule.names[i]
                    yield each, name, _shape(each)


def _shape(thing: Any) -> Any:
    return thing.shape if isinstance(thing, Node) else thing.array.shape


def _operation(node: Node, names: Mapping[int, tuple[str, ...]]) -> Vertex:
    name = node.operation.name
    if node.index is not None:
        name = f"{name}[{node.index}]"
    labels = names.get(id(node), ())
    saved = [(n, ", ".join(map(_describe, arrays))) for n, v in saved_values(node)
             if (arrays := list(_arrays(v)))]  # fmt: skip
    title = " = ".join((*labels, name))
    return Vertex(OPERATION, title, shape_text(node.shape), _dtype(node.dtype), saved, labels)


def _leaf(leaf: Any, names: Mapping[int, tuple[str, ...]]) -> Vertex:
    labels = names.get(id(leaf), ())
    kind = PARAMETER if isinstance(leaf, Parameter) else INPUT
    title = " = ".join(labels) or ("parameter" if kind == PARAMETER else "input")
    return Vertex(kind, title, shape_text(leaf.array.shape), _dtype(leaf.array.dtype), names=labels)


def shape_text(shape: Any) -> str:
    """`(2, 3)`; equal shapes of several outputs together: `3 × (2, 3)`."""
    if isinstance(shape, list):
        runs: list[list] = []
        for each in shape:
            if runs and runs[-1][1] == each:
                runs[-1][0] += 1
            else:
                runs.append([1, each])
        return ", ".join(f"{n} × {tuple(s)}" if n > 1 else str(tuple(s)) for n, s in runs)
    return str(tuple(shape))


def _describe(array: Any) -> str:
    return f"{tuple(array.shape)} {_dtype(array.dtype)}"


def _dtype(dtype: Any) -> str:
    return str(dtype)


def _tensors_of(params: Any) -> list[Any]:
    if isinstance(params, Module):
        return [p for _, p in params.named_parameters()]
    return list(params.values()) if params is not None else []


def _names(params: Any) -> dict[int, tuple[str, ...]]:
    """The names of each tensor, by the id of its node, or its own if it is a leaf."""
    if params is None:
        return {}
    if isinstance(params, Module):
        pairs: Iterable = params.named_parameters(remove_duplicate=False)
    elif isinstance(params, Mapping):
        pairs = params.items()
    else:
        raise TypeError(
            f"graph: params is a Module or a dict of tensors by name, not {type(params).__name__}"
        )
    found: dict[int, tuple[str, ...]] = {}
    for name, tensor in pairs:
        if not isinstance(tensor, Variable):
            raise TypeError(f"graph: params[{name!r}] is no tensor, but {type(tensor).__name__}")
        key = id(tensor.grad_fn or tensor)  # type: ignore[attr-defined]
        found[key] = (*found.get(key, ()), str(name))
    return found
