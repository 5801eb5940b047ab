"""Drawings of autograd graphs: complete, true to the graph, and readable."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from viz.graphs import (
    GRAPHS,
    Page,
    dense,
    diamond,
    gpt,
    mlp,
    pieces,
    read,
    recurrence,
    second_order,
    strange_names,
    vae,
)  # fmt: skip

import minigen
from minigen import nn
from minigen.autograd import Node
from minigen.viz import graph


def walk(tensors: Any) -> Iterator[tuple[Any, Any]]:
    """(node, parent) for each edge of the graph, by what PyTorch offers for it, too."""
    roots = tensors if isinstance(tensors, list | tuple) else [tensors]
    stack = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        for parent, _ in node.next_functions:
            yield node, parent
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                stack.append(parent)


@pytest.fixture(params=GRAPHS, ids=lambda build: build.__name__)
def build(request: pytest.FixtureRequest) -> Callable:
    return request.param


@pytest.fixture(params=[False, True], ids=["plain", "saved"])
def page(build: Callable, request: pytest.FixtureRequest) -> Page:
    tensors, names = build()
    return read(graph(tensors, names, show_saved=request.param, title="A <title>").svg)


# ------------------------------------------------------------------ true to the graph


def test_every_node_and_edge_is_drawn_once(build: Callable) -> None:
    tensors, names = build()
    page = read(graph(tensors, names).svg)
    edges = list(walk(tensors))
    roots = tensors if isinstance(tensors, list | tuple) else [tensors]
    things = {id(t): t for edge in edges for t in edge} | {
        id(r.grad_fn or r): r.grad_fn or r for r in roots
    }
    operations = sum(isinstance(t, Node) for t in things.values())
    kinds = Counter(node.kind for node in page.nodes)
    assert kinds["operation"] == operations
    assert kinds["parameter"] + kinds["input"] == len(things) - operations
    assert kinds["output"] == len(roots)
    assert kinds.total() == len(things) + len(roots)

    def named(thing: Any) -> tuple[str, str]:
        if not isinstance(thing, Node):
            return "leaf", str(tuple(thing.array.shape))
        index = f"[{thing.index}]" if thing.index is not None else ""
        return thing.operation.name + index, str(thing.shape)

    def drawn(number: int) -> tuple[str, str]:
        vertex = graph_again.trace.vertices[number]
        name = "leaf" if vertex.leaf else vertex.title.split(" = ")[-1]
        return name, vertex.shape

    graph_again = graph(tensors, names)
    expected = Counter((named(p), named(n)) for n, p in edges if not isinstance(n.shape, list))
    found = Counter(
        (drawn(e.source), drawn(e.target))
        for e in page.edges
        if page.nodes[e.target].kind != "output" and "×" not in drawn(e.target)[1]
    )
    several = {key: n for key, n in expected.items() if "[(" not in key[0][1]}
    assert {key: n for key, n in found.items() if "×" not in key[0][1]} == several
    assert len(page.edges) == len(edges) + len(roots)


def test_arrows_lead_from_what_is_used_to_what_uses_it() -> None:
    x = minigen.ones(2, 3, requires_grad=True)
    page = read(graph((x.exp() @ minigen.ones(3, 4)).sum(), {"x": x}).svg)
    titles = [node.lines[0][0] for node in page.nodes]
    assert titles == ["x", "exp", "matmul", "sum", "output"]
    assert [node.lines[1][0] for node in page.nodes] == [
        "(2, 3) float32", "(2, 3)", "(2, 4)", "()", "() float32",
    ]  # fmt: skip
    assert [(e.source, e.target) for e in page.edges] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert [text for text, _ in page.labels] == [
        "input (2, 3)", "input (2, 3)", "input (2, 4)", "()",
    ]  # fmt: skip


def test_parallel_edges_are_two_curves() -> None:
    tensors, names = diamond()
    page = read(graph(tensors, names).svg)
    first, second = (e.points for e in page.edges if (e.source, e.target) == (0, 1))
    assert abs(first[0][0] - second[0][0]) > 5
    assert abs(first[-1][0] - second[-1][0]) > 5


def test_several_outputs_of_one_operation() -> None:
    drawing = graph(*pieces())
    titles = [v.title for v in drawing.trace.vertices]
    assert titles.count("split") == 1
    assert {"split[0]", "split[1]", "split[2]"} <= set(titles)
    split = drawing.trace.vertices[titles.index("split")]
    assert split.shape == "3 × (2, 2)"
    below = [e.shape for e in drawing.trace.edges if e.source == titles.index("split")]
    assert below == ["(2, 2)"] * 3
    arguments = [e.argument for e in drawing.trace.edges if e.argument.startswith("tensors")]
    assert arguments == ["tensors[0]", "tensors[1]", "tensors[2]"]


def test_a_double_backward_shows_the_graph_of_the_gradient() -> None:
    titles = Counter(v.title for v in graph(*second_order()).trace.vertices)
    assert titles["cos"] == titles["exp"] == titles["sin"] == titles["x"] == 1


def test_names_come_from_the_module_and_tied_ones_have_both() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    drawing = graph(model(minigen.ones(1, 3)), model)
    assert [v.title for v in drawing.trace.vertices if v.leaf] == ["0.weight = 1.weight"]


def test_kinds_of_leaves_are_told_apart() -> None:
    x = minigen.ones(1, 4, requires_grad=True)
    layer = nn.Linear(4, 2)
    kinds = {v.title: v.kind for v in graph(layer(x), layer).trace.vertices}
    assert kinds["weight"] == kinds["bias"] == "parameter"
    assert kinds["input"] == "input"


def test_what_the_gradient_does_not_reach_is_told() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "forgotten": nn.Linear(2, 2)})
    model["forgotten"].bias.requires_grad_(False)
    svg = graph(model["used"](minigen.ones(1, 2)), model).svg
    assert "Not reached: forgotten.weight." in svg
    assert "Not reached" not in graph(model["used"](minigen.ones(1, 2)), model["used"]).svg


def test_what_is_saved_is_listed_and_counted_once() -> None:
    x = minigen.ones(10, dtype=minigen.float64, requires_grad=True)
    y = x.exp()  # keeps its output
    drawing = graph(y * y, {"x": x}, show_saved=True)
    saved = {v.title: v.saved for v in drawing.trace.vertices}
    assert saved["exp"] == [("output", "(10,) float64")]
    assert saved["mul"] == [("other", "(10,) float64"), ("input", "(10,) float64")]
    assert drawing.trace.saved_bytes == 80
    assert "saves output (10,) float64" in [t for n in read(drawing.svg).nodes for t, _ in n.lines]
    assert graph(x * x, {"x": x}).trace.saved_bytes == 0  # it is there anyway


# ------------------------------------------------------------------ readable


def test_no_boxes_meet_and_all_are_on_the_page(page: Page) -> None:
    rects = [node.rect for node in page.nodes]
    assert not any(a.meets(b, 10) for a, b in combinations(rects, 2))
    edge = 20
    for rect in rects:
        assert edge <= rect.left
        assert rect.right <= page.width - edge
        assert rect.bottom <= page.height - edge


def test_texts_fit_into_their_boxes(page: Page) -> None:
    for node in page.nodes:
        for text, rect in node.lines:
            assert rect.left >= node.rect.left + 6, text
            assert rect.right <= node.rect.right - 6, text
            assert rect.top >= node.rect.top, text
            assert rect.bottom <= node.rect.bottom, text
        assert not any(a.meets(b) for (_, a), (_, b) in combinations(node.lines, 2))


def test_edges_lead_down_from_box_to_box_and_through_none(page: Page) -> None:
    for edge in page.edges:
        source, target = page.nodes[edge.source].rect, page.nodes[edge.target].rect
        (x0, y0), (x1, y1) = edge.points[0], edge.points[-1]
        assert y0 == pytest.approx(source.bottom, abs=0.02)
        assert source.left < x0 < source.right
        assert 0 < target.top - y1 < 7  # there stands the head of the arrow
        assert target.left < x1 < target.right
        heights = [y for _, y in edge.points]
        assert heights == sorted(heights)
        for x, y in edge.points[1:]:
            assert not any(node.rect.holds(x, y) for node in page.nodes)


def test_labels_touch_nothing(page: Page) -> None:
    assert not any(a.meets(b) for (_, a), (_, b) in combinations(page.labels, 2))
    for text, rect in page.labels:
        assert 10 < rect.left < rect.right < page.width - 10
        assert not any(rect.meets(node.rect) for node in page.nodes), text
        assert not any(rect.holds(x, y) for edge in page.edges for x, y in edge.points), text


def test_most_edges_have_a_label(build: Callable) -> None:
    tensors, names = build()
    page = read(graph(tensors, names).svg)
    enough = {"dense": 0.2, "recurrence": 0.85}.get(build.__name__, 0.9)
    assert len(page.labels) >= enough * len(page.edges)


def test_the_text_on_top_is_above_the_drawing_and_on_the_page(page: Page) -> None:
    top = min(node.rect.top for node in page.nodes)
    assert page.caption[0][0] == "A <title>"
    assert not any(a.meets(b) for (_, a), (_, b) in combinations(page.caption, 2))
    for text, rect in page.caption:
        assert rect.right <= page.width - 10, text
        assert rect.bottom < top, text


def test_few_edges_cross() -> None:
    """The residual network and its loss can be drawn without; the long edge included."""
    for build, most in ((mlp, 0), (gpt, 0), (recurrence, 0), (vae, 1), (dense, 219)):
        assert graph(*build()).picture.layers.crossings() <= most, build


def test_edges_at_one_box_do_not_cross_there(build: Callable) -> None:
    picture = graph(*build()).picture
    edges = list(zip(picture.graph.edges, picture.routes))
    for (one, a), (other, b) in combinations(edges, 2):
        if one.target == other.target:
            (x, end, _), (y, last, _) = a.curves[-1], b.curves[-1]
            assert (x - y) * (end - last) >= 0
        if one.source == other.source:
            (start, x, _), (first, y, _) = a.curves[0], b.curves[0]
            assert (x - y) * (start - first) >= 0


def test_a_chain_is_straight() -> None:
    x = minigen.ones(3, requires_grad=True)
    page = read(graph(x.exp().sin().cos().sum(), {"x": x}).svg)
    assert len({round(n.rect.left + n.rect.right, 1) for n in page.nodes}) == 1


def test_parameters_do_not_bend_the_chain_of_operations() -> None:
    tensors, model = mlp()
    page = read(graph(tensors, model).svg)
    centers = {round(n.rect.left + n.rect.right, 1) for n in page.nodes if n.kind != "parameter"}
    assert len(centers) == 1


# ------------------------------------------------------------------ text, bytes, files


def test_the_same_graph_gives_the_same_bytes(build: Callable) -> None:
    minigen.manual_seed(0)
    tensors, names = build()
    first = graph(tensors, names, show_saved=True)
    assert graph(tensors, names, show_saved=True).svg == first.svg
    minigen.manual_seed(0)
    tensors, names = build()
    again = graph(tensors, names, show_saved=True)
    assert (again.svg, str(again)) == (first.svg, str(first))


def test_names_are_escaped() -> None:
    tensors, names = strange_names()
    drawing = graph(tensors, names, title="<&>")
    titles = {node.lines[0][0] for node in read(drawing.svg).nodes}
    expected = {name.replace("\x07", "\ufffd").replace("\x00", "\ufffd") for name in names}
    assert expected <= titles


def test_the_drawing_needs_nothing_from_outside() -> None:
    svg = graph(*mlp()).svg
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<style|<script|<image|href|url\(|@import", svg)


def test_it_is_saved_whole(tmp_path: Path) -> None:
    tensors, names = mlp()
    drawing = graph(tensors, names, tmp_path / "a.svg")
    drawing.save(str(tmp_path / "b.SVG"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.svg", "b.SVG"]
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == drawing.svg == drawing._repr_svg_()
    with pytest.raises(ValueError, match=r"written as \.svg"):
        drawing.save(tmp_path / "c.png")


def test_looking_changes_nothing() -> None:
    x = minigen.ones(3, requires_grad=True)
    y = (x.exp() * x).sum()
    graph(y, {"x": x}, show_saved=True)
    y.backward()
    assert x.grad is not None


# ------------------------------------------------------------------ large ones, and errors


def chain(length: int) -> tuple[Any, Any]:
    x = minigen.ones(2, requires_grad=True)
    y = x
    for _ in range(length):
        y = y * x
    return y, {"x": x}


def test_a_long_chain_is_refused_or_cut_without_recursion() -> None:
    tensor, names = chain(10_000)
    with pytest.raises(ValueError, match=r"10,002 nodes .*max_nodes=500.*max_depth="):
        graph(tensor, names)
    drawing = graph(tensor, names, max_depth=20)
    assert len(drawing.trace.vertices) == 20 + 3
    assert drawing.trace.hidden == 10_000 - 20
    assert "9,980 operations further back not drawn." in drawing.svg


def test_a_long_chain_is_drawn_if_that_is_wanted() -> None:
    x = minigen.ones(2, requires_grad=True)
    y = x
    for _ in range(2_000):
        y = y.sin()
    page = read(graph(y, max_nodes=3_000).svg)
    assert len(page.edges) == 2_001
    assert len({node.rect.left for node in page.nodes if node.kind == "operation"}) == 1


def test_clear_errors() -> None:
    x = minigen.ones(2, requires_grad=True)
    for wrong in (3.0, [], {"x": x}, [x, 1]):
        with pytest.raises(TypeError, match="graph: expects"):
            graph(wrong)
    with pytest.raises(RuntimeError, match="nothing that led to it was recorded"):
        graph(minigen.ones(2))
    with pytest.raises(TypeError, match="Module or a dict"):
        graph(x.exp(), [x])
    with pytest.raises(TypeError, match=r"params\['y'\] is no tensor"):
        graph(x.exp(), {"y": 3})
    y = x.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"exp was freed by backward.*retain_graph=True"):
        graph(y)


def test_parameters_stand_near_their_users() -> None:
    """On average within 150 pixels in the Transformer, whose weight at both ends lies far away."""
    picture = graph(*gpt()).picture
    trace, boxes = picture.graph, picture.boxes
    away = [abs(boxes[e.source].x - boxes[e.target].x)
            for e in trace.edges if trace.vertices[e.source].leaf]  # fmt: skip
    assert sum(away) / len(away) < 150
