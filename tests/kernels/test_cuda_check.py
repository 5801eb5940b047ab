"""`minigen kernels check`: rungs in CUDA C++ beside the formula, in the emulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minigen.kernels import Rung, registry
from minigen.kernels.cuda import CudaKernel, check
from minigen.kernels.cuda.launch import empty

SOURCE = """
#include "primitives.cuh"
extern "C" __global__ void power(const float* x, float* y, int n) {
  int i = blockIdx.x * 64 + threadIdx.x;
  if (i < n) y[i] = expf(x[i]);
}
"""


class Mine:
    """A rung of `exp` in CUDA C++."""

    module = ".fused.cuda.mine"

    def __init__(self, folder: Path, source: str) -> None:
        (folder / "power.cu").write_text(source)
        self.kernel = CudaKernel(str(folder / "power.cu"), "power", 64)

    def __call__(self, x: Any) -> Any:
        y = empty(x, x.shape)
        self.kernel((-(-x.size // 64),), x, y, x.size)
        return y


@pytest.fixture
def examined(tmp_path: Path) -> Callable[..., check.Outcome]:
    """What is found of a rung with a piece of its source replaced."""

    def run(old: str = "", new: str = "", name: str = "mine") -> check.Outcome:
        folder = tmp_path / f"{abs(hash((old, new)))}"
        folder.mkdir()
        mine = Rung(name, Mine(folder, SOURCE.replace(old, new)), "", "", device="cuda")
        exp = registry.operation("exp")
        (outcome,) = check.outcomes(dataclasses.replace(exp, rungs=(*exp.rungs, mine)))
        return outcome

    return run


def test_a_right_rung_is_ok(examined: Callable) -> None:
    outcome = examined()
    assert outcome.right
    assert 0 < outcome.error < 1e-6
    assert outcome.line("exp").startswith("exp mine ")
    assert outcome.line("exp").endswith(" ok")


def test_a_wrong_rung_is_not(examined: Callable) -> None:
    outcome = examined("y[i] = expf(x[i])", "y[i] = expf(x[i]) + 1e-3f")
    assert not outcome.right
    assert outcome.line("exp").endswith("WRONG: at most 1e-05 is right")
    assert examined("y[i] = expf(x[i])", "y[i] = expf(x[i]) + 1.1e-3f", "mine_bf16").right


def test_a_result_that_is_missing_is_wrong(examined: Callable) -> None:
    outcome = examined("i < n", "i < n - 1")
    assert np.isnan(outcome.error)
    assert not outcome.right


def test_what_the_emulator_refuses_is_said(examined: Callable) -> None:
    outcome = examined("i < n", "i <= n")
    assert not outcome.right
    assert "WRONG: kernel power, in the emulator: block" in outcome.line("exp")


def test_only_rungs_of_a_folder_named_cuda_count() -> None:
    for name in registry.operations():
        for rung in check.cuda_rungs(registry.operation(name)):
            assert rung.device == "cuda"
            assert ".cuda." in repr(rung.function)
    assert check.cuda_rungs(registry.operation("tanh")) == []


def test_results_in_place_and_nested_are_compared() -> None:
    x, y = np.ones(4, np.float32), np.full(4, 2.0)
    assert check._distance((x, (y, 3)), (x, (y, 3))) == 0
    assert check._distance((x, (y + 1, 3)), (x, (y, 3))) == pytest.approx(0.5)
