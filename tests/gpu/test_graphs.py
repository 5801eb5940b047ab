"""CUDA graphs on a GPU: the replayed steps of every recipe are the steps themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigen
from minigen import cuda
from minigen.cuda import CaptureError, CUDAGraph, graph
from minigen.training.recipes import RECIPES
from tests.training.replayed import check_replays

pytestmark = pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("recipe", RECIPES)
def test_replays_are_the_steps_themselves(recipe: str, tmp_path: Path) -> None:
    """`ar` trains in float64, for which Adam has no kernel."""
    check_replays(recipe, tmp_path, refused="on the host" if recipe == "ar" else "")


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_replays_in_other_precisions(precision: str, tmp_path: Path) -> None:
    minigen.set_float32_matmul_precision(precision)
    try:
        check_replays("gpt", tmp_path)
    finally:
        minigen.set_float32_matmul_precision("highest")


def test_what_a_graph_cannot_hold_is_refused_and_leaves_the_gpu_usable() -> None:
    x = minigen.ones(3, device="cuda")
    for step in (lambda: x.sum().item(), lambda: x[x > 0], lambda: minigen.rand(3).to("cuda")):
        with pytest.raises(CaptureError), graph(CUDAGraph()):
            step()
        assert (x + 1).tolist() == [2, 2, 2]


def test_memory_of_a_graph_is_its_own() -> None:
    """What is computed between replays does not land where a graph keeps its results."""
    x = minigen.rand(1000, 1000, device="cuda")
    g = CUDAGraph()
    with graph(g):
        y = (x @ x).relu() + 1
    g.replay()
    want = y.cpu().numpy()
    for _ in range(5):
        minigen.rand(1000, 1000, device="cuda") @ x  # in memory that the pool gave back, perhaps
        np.testing.assert_array_equal(y.cpu().numpy(), want)
    g.replay()
    np.testing.assert_array_equal(y.cpu().numpy(), want)
