"""Folding modules and cutting off depth: what is left is still the same graph."""

from __future__ import annotations

from typing import Any

import pytest
from viz.graphs import gpt, mlp, read, vae

import minigen
from minigen import nn
from minigen.viz import graph
from minigen.viz.layering import topological


def titles(drawing: Any, kind: str) -> list[str]:
    return [v.title for v in drawing.trace.vertices if v.kind == kind]


def test_the_blocks_of_a_transformer_fold() -> None:
    loss, model = gpt()
    whole = graph(loss, model)
    drawing = graph(loss, model, fold="h.*")
    assert titles(drawing, "module") == ["h.0", "h.1"]
    assert titles(drawing, "parameter") == ["wte.weight", "wpe.weight", "ln_f.weight"]
    assert titles(drawing, "operation") == [
        "embedding", "getitem", "add", "add", "add", "layer_norm", "linear", "reshape",
        "cross_entropy",
    ]  # fmt: skip
    assert drawing.trace.operations == whole.trace.operations
    assert drawing.trace.saved_bytes == whole.trace.saved_bytes
    block = next(v for v in drawing.trace.vertices if v.title == "h.0")
    assert (block.shape, block.count) == ("(2, 8, 16)", 21)
    #  a block is drawn with one edge in and one out
    number = drawing.trace.vertices.index(block)
    assert sum(e.target == number for e in drawing.trace.edges) == 1
    assert sum(e.source == number for e in drawing.trace.edges) == 1


@pytest.mark.parametrize(
    ("build", "modules"),
    [
        *((build, modules) for build in (gpt, vae, mlp) for modules in (1, 2, 3, 4, "*")),
        (gpt, "h.0"), (gpt, ["h.*.attn", "h.1.mlp"]), (vae, ["fc2*", "nothing"]),
    ],
)  # fmt: skip
def test_whatever_is_folded_has_no_circle_and_loses_no_operation(build: Any, modules: Any) -> None:
    loss, model = build()
    drawing = graph(loss, model, fold=modules)
    trace = drawing.trace
    topological(len(trace.vertices), [(e.source, e.target) for e in trace.edges])
    assert all(e.source < e.target for e in trace.edges)
    assert trace.operations == graph(loss, model).trace.operations
    page = read(drawing.svg)
    assert len(page.nodes) == len(trace.vertices)
    assert {e.target for e in trace.edges} >= {
        i for i, v in enumerate(trace.vertices) if v.kind == "output"
    }


def test_a_module_around_others_stays_open() -> None:
    """The embedding's weight is used at both ends: folding it would swallow the model."""
    loss, model = gpt()
    assert "wte" not in titles(graph(loss, model, fold=2), "module")
    assert "wte.weight" in titles(graph(loss, model, fold=2), "parameter")


def test_interleaved_modules_do_not_make_a_circle() -> None:
    first = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    second = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model = nn.ModuleDict({"p": first, "q": second})
    x = minigen.ones(1, 2)
    #  p.a -> q.b and q.a -> p.b: each folded alone is fine, both together would be a circle
    y = second["b"](first["a"](x)) + first["b"](second["a"](x))
    drawing = graph(y, model, fold=1)
    assert len(titles(drawing, "module")) == 1
    assert len(titles(graph(y, model, fold=2), "module")) == 4


def test_a_shared_parameter_is_not_folded_away() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    drawing = graph(model["b"](model["a"](minigen.ones(1, 2))), model, fold=1)
    assert titles(drawing, "module") == ["a", "b"]
    assert titles(drawing, "operation") == []
    assert titles(drawing, "parameter") == ["a.weight = b.weight"]


def test_depth_counts_operations_from_the_output() -> None:
    loss, model = mlp()
    drawing = graph(loss, model, max_depth=2)
    assert titles(drawing, "operation") == ["linear", "mse_loss"]
    assert titles(drawing, "cut") == ["relu"]
    assert titles(drawing, "parameter") == ["2.weight", "2.bias"]
    assert drawing.trace.hidden == 2
    assert "4 operations, 2 leaves" in drawing.svg
    assert "2 operations further back not drawn." in drawing.svg
    whole = graph(loss, model)
    assert graph(loss, model, max_depth=99).svg == whole.svg


def test_what_cannot_be_meant_is_refused() -> None:
    loss, model = mlp()
    for depth in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="max_depth is a number"):
            graph(loss, model, max_depth=depth)
    for modules in (0, True):
        with pytest.raises(ValueError, match="fold is a depth"):
            graph(loss, model, fold=modules)
    for names, modules in ((model, "z.*"), (None, 1), ({"w": model[0].weight}, 1)):
        with pytest.raises(ValueError, match=r"fold=.* fits no parameter"):
            graph(loss, names, fold=modules)
