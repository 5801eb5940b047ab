"""How a default on a GPU is found, with times that somebody made up: nothing here is timed."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from minigen.kernels import choice_cuda, crossovers_cuda
from minigen.kernels.cuda import compiler

import minigen
from minigen import kernels

PAIR = ("attention", "float32")
FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"


@pytest.fixture
def crossovers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, on a machine that seems to have NVRTC."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    monkeypatch.setattr(compiler, "problem", lambda: "")
    monkeypatch.setattr(choice_cuda, "_broken", {})
    spec = importlib.util.spec_from_file_location("crossovers_gpu", FOLDER / "crossovers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_has_two_kernels_is_raced_by_both(crossovers: ModuleType) -> None:
    found = {(name, precision): rungs for name, precision, _, rungs in crossovers.contenders()}
    for name in ("attention", "attention_backward"):
        names = [rung.name for rung in found[name, "float32"]]
        assert names == ["cuda_flash", "cuda_flash_tf32x3"]
    names = [rung.name for rung in found["matmul", "tf32x3"]]
    assert names == ["cuda_tf32x3", "cuda_wgmma_tf32x3"]
    assert all(len(rungs) == 1 for key, rungs in found.items() if key not in crossovers.RIVALS)


@pytest.mark.parametrize("seconds", [0.25, 0.75])
def test_the_faster_kernel_becomes_the_default(
    crossovers: ModuleType, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"numpy": 1.0, "cuda_flash": 0.5, "cuda_flash_tf32x3": seconds}

    def compare(calls: dict[str, Any], **options: Any) -> dict[str, dict[str, float]]:
        return {name: {"seconds": times[name], "ratio": times[name]} for name in calls}

    monkeypatch.setattr(crossovers.device, "compare", compare)
    monkeypatch.setattr(crossovers, "on_gpu", lambda value: value)
    monkeypatch.setattr(crossovers, "SIZES", (1024, 16384))
    every = list(crossovers.contenders())
    monkeypatch.setattr(crossovers, "contenders", lambda: [c for c in every if c[:2] == PAIR])
    measured = crossovers.table()
    best = "cuda_flash_tf32x3" if seconds < 0.5 else "cuda_flash"
    rows = ((sys.maxsize, best, 1 / min(seconds, 0.5)),)
    assert measured == {"attention": {"float32": list(rows)}}
    written: dict[str, Any] = {}
    exec(crossovers.written(measured), written)
    assert written["MEASURED"]["attention"]["float32"] == rows
    monkeypatch.setattr(crossovers_cuda, "MEASURED", written["MEASURED"])
    record = kernels.registry.operation("attention")
    for level in choice_cuda.PRECISIONS:
        if level != "medium":  # which takes bfloat16
            assert choice_cuda.rows(record, "float32", "", level)[0][1].name == best


@pytest.mark.parametrize("refused", [None, "second"])
def test_calls_are_timed_in_graphs_if_all_can_be(
    crossovers: ModuleType, refused: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    capturing: list[Graph] = []

    class Graph:
        def __init__(self) -> None:
            self.made: list[str] = []

        def replay(self) -> list[str]:
            return self.made

    @contextlib.contextmanager
    def graph(made: Graph) -> Iterator[None]:
        capturing.append(made)
        yield
        capturing.pop()

    def call(name: str) -> None:
        if capturing and name == refused:
            raise RuntimeError("this waits for the GPU")
        if capturing:
            capturing[-1].made.append(name)

    monkeypatch.setattr(minigen.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(minigen.cuda, "graph", graph)
    calls = {name: functools.partial(call, name) for name in ("first", "second")}
    found, times = crossovers.in_graphs(calls)
    if refused:
        assert (found, times) == (calls, 1)
    else:
        assert times == crossovers.REPEATS > 1
        assert {name: replay() for name, replay in found.items()} == {
            name: [name] * times for name in calls
        }


def test_attention_is_measured_at_the_length_of_real_sequences(crossovers: ModuleType) -> None:
    draw = lambda *shape: np.zeros(shape, np.float32)  # noqa: E731
    for size in crossovers.SIZES:
        q, k, v, mask, causal = crossovers.examples("attention")[""](size, draw)
        assert q.size == k.size == v.size == size
        assert mask is None
        assert causal
    assert q.shape == (64, 1024, 64)
    grad, *rest = crossovers.examples("attention_backward")[""](1024, draw)
    assert grad.shape == rest[0].shape
    assert len(rest) == 7
