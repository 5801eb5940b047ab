"""`graph`: a drawing of the autograd graph behind a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigen.viz.folding import cut, fold
from minigen.viz.listing import listing
from minigen.viz.picture import Picture
from minigen.viz.svg import render
from minigen.viz.trace import Trace, trace


class Drawing:
    """A graph, drawn: Jupyter shows it, `save` writes it, `str()` is the same for a terminal.

    svg: the text of the picture.  picture: where everything stands in it.  trace: the vertices and
    edges.
    """

    def __init__(self, graph: Trace, title: str | None = None, show_saved: bool = False) -> None:
        self.trace, self.title = graph, title
        self.picture = Picture(graph, show_saved)
        self.svg = render(self.picture, title)
        self._show_saved = show_saved

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return listing(self.trace, self._show_saved)

    def __repr__(self) -> str:
        return f"<Drawing: {self.trace.operations} operations, {self.trace.leaves} leaves>"

    def save(self, path: str | Path) -> None:
        """Write the picture; the file appears whole or not at all.

        Raises ValueError for a name that does not end in .svg.
        """
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise ValueError(f"graph: drawings are written as .svg, not {path.name!r}")
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(self.svg, encoding="utf-8")
        temporary.replace(path)


def graph(
    tensor: Any,
    params: Any = None,
    path: str | Path | None = None,
    *,
    show_saved: bool = False,
    max_depth: int | None = None,
    fold: int | str | Sequence[str] | None = None,
    max_nodes: int = 500,
    title: str | None = None,
) -> Drawing:
    """Draw what a tensor (or each of several) was computed from.

    Draw it before `backward()`, which frees the graph.

    params: a Module, or a dict of tensors by name: leaves, or what was computed in between.
    path: where to save the drawing, too.
    show_saved: list in each operation what it keeps for its gradient.
    max_depth: at most so many operations back from the outputs.
    fold: draw modules as one box: those down to this depth (1, 2, ...), or those whose path fits a
        pattern or one of several (`"h.*"`).  Needs a Module (or dotted names) in `params`.
    max_nodes: an error instead of a drawing that nobody can read.
    title: stands above it.
    Raises TypeError for what is no tensor, RuntimeError if nothing was recorded or it was freed,
    ValueError if there are too many nodes.

    >>> import minigen
    >>> from minigen import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> loss = (model(minigen.ones(3, 4)) ** 2).mean()
    >>> drawing = graph(loss, model)
    >>> drawing
    <Drawing: 5 operations, 4 leaves>
    >>> print(drawing)
    output: () float32
    mean ()
    pow (3, 1)
    linear (3, 1)
    ├─ weight: 2.weight (1, 8) float32
    ├─ bias: 2.bias (1,) float32
    relu (3, 8)
    linear (3, 8)
    ├─ weight: 0.weight (8, 4) float32
    └─ bias: 0.bias (8,) float32
    """
    found = _shown(trace(tensor, params), fold, max_depth)
    if len(found.vertices) > max_nodes:
        raise ValueError(
            f"graph: {len(found.vertices):,} nodes are too many to draw (max_nodes={max_nodes}); "
            "give max_depth=, fold= or a larger max_nodes=, or list them with graph_text"
        )
    drawing = Drawing(found, title, show_saved)
    if path is not None:
        drawing.save(path)
    return drawing


def graph_text(
    tensor: Any,
    params: Any = None,
    *,
    show_saved: bool = False,
    max_depth: int | None = None,
    fold: int | str | Sequence[str] | None = None,
) -> str:
    """The same graph for a terminal, from the output back to the leaves; see `graph`.

    What an operation was computed from stands below it: the operand with most behind it at the
    same margin, the others, and leaves, as branches.  What several operations use is printed once,
    with a number that they refer to.

    >>> import minigen
    >>> x = minigen.ones(2, requires_grad=True)
    >>> y = x.exp()
    >>> print(graph_text(y * y + y, {"x": x}))
    output: (2,) float32
    add (2,)
    ├─ input: mul (2,)
    │  ├─ input: [1]
    │  └─ other: [1]
    ├─ other: [1]
    [1] exp (2,)
    └─ input: x (2,) float32
    """
    return listing(_shown(trace(tensor, params), fold, max_depth), show_saved)


def _shown(found: Trace, modules: int | str | Sequence[str] | None, depth: int | None) -> Trace:
    if modules is not None:
        found = fold(found, modules)
    return found if depth is None else cut(found, depth)
