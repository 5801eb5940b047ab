"""Running a CUDA C++ kernel on the CPU: the unchanged source, compiled by g++ with `emulator.h`.

Threads are fibers that take turns, warps move in lock step where an instruction concerns the whole
warp, and every load and store is looked at. What is checked while a kernel runs, and what cannot
be, is written at the top of `emulator.h`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checking import KernelError
from . import cache, source

if TYPE_CHECKING:
    from .launch import CudaKernel

# The machine is compiled once. A kernel is compiled with a call before each of its loads and stores
# (-fsanitize=thread; the functions that are called are the machine's own, not that sanitizer's),
# and with structures of four floats loaded and stored as one (no "scalar replacement").
MACHINE_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-w", "-fvisibility=hidden")
KERNEL_FLAGS = (
    *MACHINE_FLAGS,
    "-g1",
    "-gdwarf-4",
    "-fno-exceptions",
    "-fsanitize=thread",
    "-fno-tree-sra",
)
MACHINE = ("emulator_fibers.cpp", "emulator_memory.cpp", "emulator_warp.cpp")
HEADERS = ("emulator.h", "emulator_state.h", "primitives.cuh")

# The entry that Python calls: it puts the kernel into the machine's hands.
ENTRY = """\
#include "{file}"
__attribute__((no_sanitize_thread)) static void kernel(void** passed) {{
  {name}({arguments});
}}
extern "C" __attribute__((visibility("default"))) const char* run(const emulator::Launch& how) {{
  return emulator::launch(how, kernel);
}}
"""


class _Argument(ctypes.Structure):
    _fields_ = [
        ("array", ctypes.c_void_p),
        ("bytes", ctypes.c_longlong),  # -1 for a number
        ("name", ctypes.c_char_p),
        ("constant", ctypes.c_int),
    ]


class _Tallies(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_longlong)
        for name in (
            *("blocks", "barriers", "matrix_phases", "matrix_cost", "shared_phases"),
            *("shared_cost", "bytes_read", "bytes_written", "bytes_copied"),
        )
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_shared", ctypes.c_uint),
        ("early", ctypes.c_int),
        ("races", ctypes.c_int),
        ("schedule", ctypes.c_longlong),
        ("count", ctypes.c_int),
        ("arguments", ctypes.POINTER(_Argument)),
        ("tallies", ctypes.POINTER(_Tallies)),
    ]


@dataclass
class Run:
    """How kernels are emulated, and what they did: `with emulated() as run: ...; run.conflicts`.

    Args:
        schedule: the order in which threads run between two barriers: 0 by rising number, 1 by
            falling, and any other number is the seed of a random order.
        early: cp.async lands at once and wgmma reads when it is waited for; else the other way
            round.
        races: whether it is an error that two threads meet in shared memory, one writing, with no
            barrier between.

    All counts are over the launches so far.
    """

    schedule: int = 0
    early: bool = False
    races: bool = True
    launches: int = 0
    blocks: int = 0
    barriers: int = 0
    matrix_phases: int = 0  # ldmatrix: 8 rows of 16 bytes are a phase
    matrix_cost: int = 0
    shared_phases: int = 0  # ordinary loads and stores of shared memory: up to 128 bytes a phase
    shared_cost: int = 0
    bytes_read: int = 0  # of the arguments, by loads and cp.async
    bytes_written: int = 0
    bytes_copied: int = 0  # by cp.async

    @property
    def conflicts(self) -> float:
        """How many times a phase of ldmatrix took as long as one without a bank conflict."""
        return self.matrix_cost / self.matrix_phases if self.matrix_phases else 1.0

    @property
    def shared_conflicts(self) -> float:
        """The same for ordinary loads and stores of shared memory."""
        return self.shared_cost / self.shared_phases if self.shared_phases else 1.0


def problem() -> str:
    """Why the emulator cannot run here, or ""."""
    if _compiler() is None:
        return "the emulator of CUDA C++ needs a C++ compiler, and no g++ is on the PATH"
    return ""


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX") or "g++")


def _build(what: str, *arguments: object) -> None:
    done = subprocess.run([str(_compiler()), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise KernelError(f"{what} does not compile for the emulator:\n{done.stderr}")


@functools.cache
def _machine() -> tuple[Path, ...]:
    """The machine's object files."""
    texts = [source.read(f"cuda/{name}") for name in (*HEADERS, *MACHINE)]
    key = cache.digest(*texts, *MACHINE_FLAGS, _compiler())
    return tuple(
        cache.kept(
            f"{Path(name).stem}-{key}.o",
            lambda path, name=name: _build(  # type: ignore[misc]
                name, *MACHINE_FLAGS, "-c", source.ROOT / "cuda" / name, "-o", path
            ),
            sealed=True,
        )
        for name in MACHINE
    )


@functools.cache
def _library(file: str, name: str, defines: tuple, text: str, headers: tuple) -> ctypes.CDLL:
    """The kernel as a shared library, from its text and that of its headers, which a test may have
    changed."""
    if reason := problem():
        raise KernelError(reason)
    machine = _machine()
    key = cache.digest(
        text, *headers, ENTRY, *KERNEL_FLAGS, name, *defines, *(path.name for path in machine)
    )

    def build(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / Path(file).name
            for each, content in ((copied, text), *((Path(folder) / n, c) for n, c in headers)):
                each.write_text(content, encoding="utf-8")
            entry, compiled = Path(folder) / "entry.cpp", Path(folder) / "kernel.o"
            entry.write_text(_entry(file, text, name), encoding="utf-8")
            places = [f"-I{source.ROOT / 'cuda'}"]
            macros = [f"-D{macro}={value}" for macro, value in defines]
            _build(file, *KERNEL_FLAGS, *places, *macros, "-c", entry, "-o", compiled)
            _build(file, "-shared", compiled, *machine, "-o", path)

    return ctypes.CDLL(str(cache.kept(f"{Path(file).stem}-{key}.so", build, sealed=True)))


def _entry(file: str, text: str, name: str) -> str:
    arguments = [
        f"*({'const ' if p.const else ''}{p.type}{'*' if p.pointer else ''}*)passed[{i}]"
        for i, p in enumerate(source.parameters(text)[name])
    ]
    return ENTRY.format(file=Path(file).name, name=name, arguments=", ".join(arguments))


_lock = threading.Lock()  # the machine's state is global: one launch at a time
_changed: dict[str, str] = {}  # sources that a test replaced: file -> text


@contextlib.contextmanager
def changed(file: str, *replacements: tuple[str, str]) -> Iterator[None]:
    """A block in which a source or header is emulated with pieces of its text replaced: to plant a
    bug.

    Raises:
        ValueError: a piece is not in the source, or not once only.
    """
    before = _changed.get(file)
    text = before or source.read(file)
    for old, new in replacements:
        if text.count(old) != 1:
            raise ValueError(f"{file} has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    _changed[file] = text
    try:
        yield
    finally:
        if before is None:
            del _changed[file]
        else:
            _changed[file] = before


def launch(kernel: CudaKernel, grid: Sequence[int], arguments: list[Any], run: Run) -> None:
    """Run the kernel on NumPy arrays, block after block, and add what it did to `run`.

    Raises:
        KernelError: no compiler, or the emulator found the kernel breaking a rule.
    """
    paths = {"": kernel.file, **source.headers(kernel.file)}
    texts = {name: _changed.get(path) or source.read(path) for name, path in paths.items()}
    text = texts.pop("")
    defines = tuple(sorted(kernel.defines.items()))
    library = _library(kernel.file, kernel.name, defines, text, tuple(sorted(texts.items())))
    library.run.restype = ctypes.c_char_p
    block = (*((kernel.block,) if isinstance(kernel.block, int) else kernel.block), 1, 1)[:3]
    three, tallies = ctypes.c_uint * 3, _Tallies()
    numbers = [p.ctype(0 if p.pointer else a.item()) for p, a in zip(kernel.parameters, arguments)]
    passed = (_Argument * len(arguments))(
        *(_argument(*each) for each in zip(kernel.parameters, arguments, numbers))
    )
    how = _Launch(
        *(three(*grid), three(*block), kernel.shared, run.early, run.races, run.schedule),
        *(len(arguments), passed, ctypes.pointer(tallies)),
    )
    with _lock:
        error = library.run(ctypes.byref(how))
    if error:
        message = _with_lines(error.decode(errors="replace"), library._name)
        raise KernelError(f"kernel {kernel.name}, in the emulator: {message}")
    run.launches += 1
    for name, *_ in _Tallies._fields_:
        setattr(run, name, getattr(run, name) + getattr(tallies, name))


def _argument(parameter: source.Parameter, value: Any, number: Any) -> _Argument:
    name = parameter.name.encode()
    if not parameter.pointer:
        return _Argument(ctypes.addressof(number), -1, name, 1)
    if value is None:
        return _Argument(None, 0, name, parameter.const)
    return _Argument(value.ctypes.data, value.nbytes, name, parameter.const)


def _with_lines(message: str, library: str) -> str:
    """The message with "[123]", the place of an instruction, as the line it was compiled from."""
    found = re.search(r" \[(\d+)\]$", message)
    if found is None:
        return message
    place = hex(int(found[1]) - 1)  # inside the call that was being made
    tool, line = shutil.which("addr2line"), ""
    if tool:
        done = subprocess.run([tool, "-e", library, place], capture_output=True, text=True)
        if at := re.search(r"([^/\s]+:\d+)", done.stdout):
            line = f" ({at[1]})"
    return message[: found.start()] + line
