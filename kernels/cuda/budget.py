"""What the shipped kernels may use of a GPU: registers, shared memory, and no spills at all.

    python -m minigen.kernels.cuda.budget            compile all and hold them to the budget
    python -m minigen.kernels.cuda.budget --write    make what they use now the budget

The budget is `budget.json`. A kernel that uses more than it did is slower on a GPU in ways that no
test of its results shows: registers that do not suffice are spilled to memory, and fewer blocks
share a multiprocessor. The compiler reports it without a GPU.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import compiler, source
from .launch import CudaKernel

FILE = Path(__file__).with_name("budget.json")

REGISTERS = 65_536  # of a multiprocessor
SHARED = {"sm_80": 163 << 10, "sm_90": 227 << 10, "sm_90a": 227 << 10}  # bytes a block, at most


def operations() -> tuple[str, ...]:
    """The folders of kernels/ that have CUDA C++ kernels, as in "matmul"."""
    return tuple(sorted(p.parents[1].name for p in source.ROOT.glob("*/cuda/__init__.py")))


def shipped(operation: str | None = None) -> tuple[CudaKernel, ...]:
    """Every kernel in every configuration that the library launches: `KERNELS` of the folders."""
    names = operations() if operation is None else (operation,)
    found: list[CudaKernel] = []
    for name in names:
        found += importlib.import_module(f"..{name}.cuda", __package__).KERNELS
    return tuple(found)


def architectures(kernel: CudaKernel) -> tuple[str, ...]:
    """What a kernel is compiled for: Hopper's own instructions, or Ampere and Hopper; Ampere only
    if its shared memory suffices."""
    if kernel.hopper:
        return ("sm_90a",)
    return ("sm_80", "sm_90") if kernel.shared <= SHARED["sm_80"] else ("sm_90",)


def title(kernel: CudaKernel, arch: str) -> str:
    """A line that tells a configuration from all others.

    >>> title(CudaKernel("matmul/cuda/tile.cu", "multiply", 256, {"DEPTH": 8}), "sm_90")
    'matmul/cuda/tile.cu multiply DEPTH=8 sm_90'
    """
    defines = [f"{name}={value}" for name, value in sorted(kernel.defines.items())]
    return " ".join([kernel.file, kernel.name, *defines, arch])


def usage(kernel: CudaKernel, arch: str) -> dict[str, int]:
    """Registers of a thread, bytes that are spilled, bytes of shared memory of a block."""
    used = kernel.compile(arch).kernels[kernel.name]
    return {**used, "shared": used["shared"] + kernel.shared}


def problems(
    kernel: CudaKernel, arch: str, budget: Mapping[str, Mapping[str, int]] | None = None
) -> list[str]:
    """What is wrong with a kernel's use of the GPU: nothing, if it keeps to the budget."""
    used, name = usage(kernel, arch), title(kernel, arch)
    allowed = (read() if budget is None else budget).get(name)
    found = list(kernel.compile(arch).warnings)
    if used["spills"]:
        found.append(f"{used['spills']} bytes are spilled")
    if used["registers"] * threads(kernel) > REGISTERS:
        found.append(f"{threads(kernel)} threads of {used['registers']} registers do not fit")
    if used["shared"] > SHARED.get(arch, SHARED["sm_90"]):
        found.append(f"{used['shared']} bytes of shared memory do not fit")
    if allowed is None:
        found.append("is not in the budget")
    else:
        found += [
            f"{used[what]} {what}, {allowed[what]} in the budget"
            for what in ("registers", "shared")
            if used[what] > allowed[what]
        ]
    return [f"{name}: {problem}" for problem in found]


def threads(kernel: CudaKernel) -> int:
    """Threads of a block."""
    sizes = kernel.block if isinstance(kernel.block, tuple) else (kernel.block,)
    return functools.reduce(int.__mul__, sizes)


@functools.cache
def read() -> dict[str, dict[str, int]]:
    """The budget: `title` -> registers and shared."""
    return json.loads(FILE.read_text(encoding="utf-8"))["kernels"]


def write(kernels: Iterable[CudaKernel]) -> None:
    """Make what these kernels use now the budget."""
    table: dict[str, Any] = {}
    for kernel in kernels:
        for arch in architectures(kernel):
            used = usage(kernel, arch)
            table[title(kernel, arch)] = {w: used[w] for w in ("registers", "shared")}
    content = {"nvrtc": compiler.version(), "kernels": dict(sorted(table.items()))}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    read.cache_clear()


def stale() -> list[str]:
    """Configurations in the budget that are not shipped any more."""
    known = {title(k, arch) for k in shipped() for arch in architectures(k)}
    return sorted(set(read()) - known)


def lines(folders: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """A line of a report for each kernel of these folders, and whether it keeps to the budget."""
    for folder in folders:
        for kernel in shipped(folder):
            for arch in architectures(kernel):
                used, found = usage(kernel, arch), problems(kernel, arch)
                line = (
                    f"{used['registers']:4} registers {used['shared']:7} B  {title(kernel, arch)}"
                )
                yield "\n".join([line, *(f"    WRONG: {problem}" for problem in found)]), not found


def main() -> int:
    """The command line; 1 if something is over the budget."""
    parser = argparse.ArgumentParser(description="Hold the CUDA C++ kernels to their budget.")
    parser.add_argument("--write", action="store_true", help="make their present use the budget")
    if parser.parse_args().write:
        write(shipped())
    right = True
    for line, good in lines(operations()):
        right &= good
        print(line)
    for name in stale():
        right = False
        print(f"{name}: is not shipped any more")
    return not right


if __name__ == "__main__":
    raise SystemExit(main())
