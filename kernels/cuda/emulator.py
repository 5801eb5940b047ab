"""Running a CUDA C++ kernel on the CPU: the unchanged source, compiled by g++ with `emulator.h`.

Threads are fibers that take turns, warps move in lock step where an instruction concerns the whole
warp, and what the hardware does asynchronously happens as late as its rules allow. What it checks
while running, and what it cannot, is written at the top of `emulator.h`.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checking import KernelError
from . import cache, source

if TYPE_CHECKING:
    from .launch import CudaKernel

FLAGS = ("-std=c++17", "-O2", "-shared", "-fPIC", "-w")

# The entry that Python calls: it puts the kernel and its arguments into the emulator's hands.
ENTRY = """\
#include "{file}"
extern "C" const char* run(const unsigned* grid, const unsigned* block, unsigned shared,
                           long long schedule{parameters}) {{
  return emulator::launch(grid, block, shared, schedule, [=] {{ {name}({arguments}); }});
}}
"""


def problem() -> str:
    """Why the emulator cannot run here, or ""."""
    if _compiler() is None:
        return "the emulator of CUDA C++ needs a C++ compiler, and no g++ is on the PATH"
    return ""


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX") or "g++")


@functools.cache
def _library(file: str, name: str, defines: tuple, text: str) -> ctypes.CDLL:
    """The kernel as a shared library; `text` is the source, which a test may have changed."""
    if reason := problem():
        raise KernelError(reason)
    header = source.read("cuda/emulator.h")
    key = cache.digest(text, header, *sorted(source.included(file).items()), *FLAGS, name, *defines)

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            # beside its own includes, whatever text it has
            copied = Path(folder) / Path(file).name
            copied.write_text(text, encoding="utf-8")
            entry = Path(folder) / "entry.cpp"
            entry.write_text(_entry(file, text, name), encoding="utf-8")
            places = [f"-I{(source.ROOT / file).parent}", f"-I{source.ROOT / 'cuda'}"]
            macros = [f"-D{macro}={value}" for macro, value in defines]
            command = [str(_compiler()), *FLAGS, *places, *macros, str(entry), "-o", str(path)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise KernelError(f"{file} does not compile for the emulator:\n{done.stderr}")

    return ctypes.CDLL(str(cache.kept(f"{Path(file).stem}-{key}.so", build)))


def _entry(file: str, text: str, name: str) -> str:
    found = source.parameters(text)[name]
    declared = "".join(
        f", {'const ' if p.const else ''}{p.type}{'*' if p.pointer else ''} {p.name}" for p in found
    )
    return ENTRY.format(
        file=Path(file).name,
        name=name,
        parameters=declared,
        arguments=", ".join(p.name for p in found),
    )


_lock = threading.Lock()  # the emulator's state is global, as a block's threads are its fibers
_changed: dict[str, str] = {}  # sources that a test replaced: file -> text


def launch(kernel: CudaKernel, grid: Sequence[int], arguments: list[Any], schedule: int) -> None:
    """Run the kernel on NumPy arrays, block after block.

    Raises:
        KernelError: no compiler, or the emulator found the kernel breaking a rule.
    """
    text = _changed.get(kernel.file) or source.read(kernel.file)
    library = _library(kernel.file, kernel.name, tuple(sorted(kernel.defines.items())), text)
    run = library.run
    run.restype = ctypes.c_char_p
    block = (*((kernel.block,) if isinstance(kernel.block, int) else kernel.block), 1, 1)[:3]
    passed = [
        (p.ctype(a.ctypes.data) if a is not None else None) if p.pointer else p.ctype(a.item())
        for p, a in zip(kernel.parameters, arguments)
    ]
    three = ctypes.c_uint * 3
    with _lock:
        error = run(
            three(*grid), three(*block), ctypes.c_uint(kernel.shared), ctypes.c_longlong(schedule),
            *passed,
        )  # fmt: skip
    if error:
        raise KernelError(f"kernel {kernel.name}, in the emulator: {error.decode()}")
