"""What the shipped CUDA C++ kernels use of a GPU, compiled without one, against the budget."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from minigen.kernels.cuda import CudaKernel, budget, source

from .cuda_specimens import HOPPER, PRODUCT, SOFTMAX

# Kernels of one file are compiled together: one test each file, so that files compile side by side.
FILES: dict[str, list[CudaKernel]] = defaultdict(list)
for kernel in budget.shipped():
    FILES[kernel.file].append(kernel)


@pytest.mark.parametrize("file", FILES)
def test_shipped_kernels_keep_to_the_budget(file: str) -> None:
    found = [
        problem
        for kernel in FILES[file]
        for arch in budget.architectures(kernel)
        for problem in budget.problems(kernel, arch)
    ]
    assert found == [], "python -m minigen.kernels.cuda.budget --write, if this is meant"


def test_every_source_is_shipped_and_nothing_else_is_in_the_budget() -> None:
    sources = {str(p.relative_to(source.ROOT)) for p in source.ROOT.glob("*/cuda/*.cu")}
    assert sources == set(FILES)
    assert budget.stale() == []


@pytest.mark.parametrize("kernel", [PRODUCT, SOFTMAX, HOPPER], ids=lambda k: k.name)
def test_an_overspent_budget_is_noticed(kernel: CudaKernel) -> None:
    (arch,) = budget.architectures(kernel)[-1:]
    used, name = budget.usage(kernel, arch), budget.title(kernel, arch)
    assert budget.problems(kernel, arch, {name: used}) == []
    less = {name: {**used, "registers": used["registers"] - 1}}
    (problem,) = budget.problems(kernel, arch, less)
    assert "in the budget" in problem
    assert "registers" in problem
    (problem,) = budget.problems(kernel, arch, {name: {**used, "shared": used["shared"] - 1}})
    assert "shared" in problem
    (problem,) = budget.problems(kernel, arch, {})
    assert problem.endswith("is not in the budget")


def test_spills_are_noticed(tmp_path: Path) -> None:
    """A kernel that needs more registers than its bounds leave it."""
    (tmp_path / "greedy.cu").write_text(
        """extern "C" __global__ void __launch_bounds__(1024, 2) greedy(float* x) {
  float values[128];
#pragma unroll
  for (int i = 0; i < 128; i++) values[i] = x[threadIdx.x + i * 1024];
#pragma unroll
  for (int i = 0; i < 128; i++) x[threadIdx.x * 128 + i] = values[i] * values[127 - i];
}
"""
    )
    greedy = CudaKernel(str(tmp_path / "greedy.cu"), "greedy", 1024)
    assert any("are spilled" in p for p in budget.problems(greedy, "sm_90", {}))


def test_what_does_not_fit_is_noticed() -> None:
    used = budget.usage(PRODUCT, "sm_90")
    crowded = CudaKernel(PRODUCT.file, "product", 65_536 // used["registers"] + 32)
    assert any("registers do not fit" in p for p in budget.problems(crowded, "sm_90", {}))
    large = CudaKernel(SOFTMAX.file, "softmax", 128, shared=200 << 10)
    assert budget.architectures(large) == ("sm_90",)
    assert any("shared memory do not fit" in p for p in budget.problems(large, "sm_80", {}))


def test_serialised_wgmma_is_noticed(tmp_path: Path) -> None:
    """Sums that are read before the wait make the compiler insert waits, and warn."""
    text = Path(HOPPER.file).read_text()
    assert text.count("    wgmma_commit();\n") == 1
    changed = text.replace("    wgmma_commit();\n", "    sums[0] += 1;\n    wgmma_commit();\n")
    (tmp_path / "hopper.cu").write_text(changed)
    kernel = CudaKernel(str(tmp_path / "hopper.cu"), "hopper", 128, {}, HOPPER.shared, hopper=True)
    assert any("wgmma" in p for p in budget.problems(kernel, "sm_90a", {}))


def test_the_command_finds_the_kernels() -> None:
    program = (
        "import runpy\n"
        "names = runpy.run_module('minigen.kernels.cuda.budget', run_name='as_a_command')\n"
        "print(len(names['shipped']()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == [str(len(budget.shipped()))], done.stderr


def test_the_budget_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "FILE", tmp_path / "budget.json")
    budget.write([SOFTMAX])
    try:
        assert json.loads(budget.FILE.read_text())["nvrtc"]
        assert [n.split()[1:] for n in budget.read()] == [
            ["softmax", a] for a in ("sm_80", "sm_90")
        ]
        assert budget.problems(SOFTMAX, "sm_80") == []
    finally:
        budget.read.cache_clear()
