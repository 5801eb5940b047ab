"""The listing of a graph for a terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest
from viz.graphs import GRAPHS, diamond, gpt, pieces

import minigen
from minigen.viz import graph, graph_text


@pytest.mark.parametrize("build", GRAPHS, ids=lambda build: build.__name__)
def test_each_node_has_one_line_and_each_reference_a_definition(build: Any) -> None:
    tensors, names = build()
    trace = graph(tensors, names).trace
    lines = [re.sub(r"^[│├└─ ]*", "", line) for line in graph_text(tensors, names).split("\n")]
    defined = [m[1] for line in lines if (m := re.search(r"(?:^|: )\[(\d+)\] \S", line))]
    referred = [m[1] for line in lines if (m := re.search(r"(?:^|: )\[(\d+)\]$", line))]
    assert len(defined) == len(set(defined))
    assert set(referred) == set(defined)
    assert list(dict.fromkeys(map(int, referred + defined))) != [] or not defined
    assert len(lines) - len(referred) == len(trace.vertices)
    shared = [v for v in range(len(trace.vertices)) if sum(e.source == v for e in trace.edges) > 1]
    assert len(defined) == len(shared)
    assert len(referred) == sum(e.source in shared for e in trace.edges)


def test_a_diamond() -> None:
    assert graph_text(*diamond()) == "\n".join(
        [
            "output: (3,) float32",
            "add (3,)",
            "├─ input: exp (3,)",
            "│  └─ input: [1]",
            "├─ other: sin (3,)",
            "│  └─ input: [1]",
            "[1] y = mul (3,)",
            "├─ input: [2]",
            "├─ other: [2]",
            "└─ [2] x (3,) float32",
        ]
    )


def test_several_outputs_of_an_operation_refer_to_it() -> None:
    text = graph_text(*pieces())
    assert text.count("split 3 × (2, 2)") == 1
    assert text.count("split[0] (2, 2)") == 1


def test_what_is_saved() -> None:
    x = minigen.ones(2, requires_grad=True)
    assert graph_text(x.exp(), {"x": x}, show_saved=True).split("\n")[2:] == [
        "├─ saves output (2,) float32",
        "└─ input: x (2,) float32",
    ]


def test_folded_and_cut() -> None:
    loss, model = gpt()
    assert "h.1: 21 operations (2, 8, 16)" in graph_text(loss, model, fold="h.*")
    assert graph_text(loss, model, max_depth=2).endswith("linear (2, 8, 20) ...")


def margin(text: str) -> int:
    return max(len(re.match(r"[│├└─ ]*", line)[0]) for line in text.split("\n"))  # type: ignore[index]


def test_deep_graphs_do_not_drift_to_the_right() -> None:
    x = minigen.ones(2, requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y * x
    text = graph_text(y, {"x": x})
    assert len(text.split("\n")) > 10_000
    assert margin(text) <= 3
    stream = x
    for _ in range(300):
        stream = stream + stream.exp().sin()
    assert margin(graph_text(stream)) <= 6
    total = x
    for _ in range(300):
        total = total + minigen.ones(2, requires_grad=True).exp()
    assert margin(graph_text(total)) <= 6
    losses = [minigen.ones(2, requires_grad=True).exp() for _ in range(300)]
    assert margin(graph_text(sum(losses))) <= 6


def test_it_is_what_a_drawing_prints() -> None:
    tensors, names = diamond()
    assert str(graph(tensors, names)) == graph_text(tensors, names)
