"""From a CUDA C++ source to machine code, by NVRTC: the same on a machine with a GPU and without.

The compiler's own report (registers, spills, shared memory, warnings) comes with the code. CI holds
it against a budget, so what is checked there is what runs on a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import jit
from . import cache, source

FIX = "pip install 'minigen[cuda]'"


class Compiled(NamedTuple):
    """Machine code for one architecture, and what the compiler says about it."""

    cubin: Path
    arch: str
    kernels: Mapping[str, Mapping[str, int]]  # name -> registers, spills (bytes), shared (bytes)
    warnings: tuple[str, ...]


class CompileError(RuntimeError):
    """NVRTC refused a source; the message is its log."""


def problem() -> str:
    """Why nothing can be compiled here, or ""."""
    if (
        importlib.util.find_spec("cuda") is None
        or importlib.util.find_spec("cuda.bindings") is None
    ):
        return f"the compiler of CUDA C++ (NVRTC, in cuda-bindings) is not installed: {FIX}"
    return ""


@functools.cache
def _nvrtc() -> Any:
    if reason := problem():
        raise ImportError(reason)
    try:
        from cuda.bindings import nvrtc

        try:
            nvrtc.nvrtcVersion()  # the first call loads the library
        except Exception:
            if not _preload():
                raise
            nvrtc.nvrtcVersion()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ImportError(f"NVRTC cannot be loaded ({reason}): {FIX}") from error
    return nvrtc


def _preload() -> bool:
    """Load NVRTC from any folder that Python imports from: cuda-bindings look in this
    environment's own only."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in Path(folder).glob("*/lib/libnvrtc.so.*"):
            if "alt" not in library.name:
                ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
                return True
    return False


def version() -> str:
    """The version of NVRTC, as in "13.0"."""
    _, major, minor = _nvrtc().nvrtcVersion()
    return f"{major}.{minor}"


def options(arch: str, defines: Mapping[str, int]) -> list[str]:
    """What the compiler is told.

    >>> options("sm_90", {"HEAD": 64})[0]
    '--gpu-architecture=sm_90'
    """
    return [
        f"--gpu-architecture={arch}",
        "--std=c++17",
        "--ptxas-options=-v",
        "-lineinfo",
        *(f"-D{name}={value}" for name, value in sorted(defines.items())),
    ]


def compile_cubin(file: str, arch: str, defines: Mapping[str, int] | None = None) -> Compiled:
    """Machine code of a source file (its path inside kernels/) for `arch`, as in "sm_90".

    Cached by the hash of the source, its headers, the options and NVRTC's version.

    Raises:
        CompileError: with the compiler's log.
        ImportError: NVRTC is not there; the message says what to install.
    """
    flags = options(arch, defines or {})
    text, headers = source.read(file), source.included(file)
    stem = Path(file).stem
    key = cache.digest(text, *sorted(headers.items()), *flags, version())

    def write(path: Path) -> None:
        jit.announce(f"{stem}.cu", arch, seconds=1.0, cached=True)
        code, log = _compile(text, stem + ".cu", headers, flags)
        report = json.dumps({**_report(log), "sha256": hashlib.sha256(code).hexdigest()})
        (cache.folder() / f"{stem}-{key}.json").unlink(missing_ok=True)
        cache.kept(f"{stem}-{key}.json", lambda p: _write_text(p, report))
        path.write_bytes(code)

    for _ in range(2):  # what is damaged in the cache is compiled again
        cubin = cache.kept(f"{stem}-{key}.cubin", write)
        if (report := _kept_report(cubin)) is not None:
            break
        cubin.unlink(missing_ok=True)
    else:
        raise OSError(f"what is written to {cache.folder()} does not stay as it is")
    return Compiled(cubin, arch, report["kernels"], tuple(report["warnings"]))


def _kept_report(cubin: Path) -> Any:
    """The report that lies beside a cubin, or None if it is lost or not this cubin's."""
    try:
        report = json.loads(cubin.with_suffix(".json").read_text(encoding="utf-8"))
        whole = report["sha256"] == hashlib.sha256(cubin.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if whole else None


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _compile(
    text: str, name: str, headers: Mapping[str, str], flags: list[str]
) -> tuple[bytes, str]:
    nvrtc = _nvrtc()
    names = [h.encode() for h in headers]
    texts = [h.encode() for h in headers.values()]
    _, program = nvrtc.nvrtcCreateProgram(text.encode(), name.encode(), len(names), texts, names)
    (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), [f.encode() for f in flags])
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    report = log.rstrip(b"\0").decode(errors="replace")
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise CompileError(f"{name} does not compile ({' '.join(flags)}):\n{report}")
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    code = bytearray(size)
    nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(program)
    return bytes(code), report


def _report(log: str) -> dict[str, Any]:
    """What ptxas says of every kernel.

    >>> _report("ptxas info    : Compiling entry function 'f' for 'sm_90'\\n"
    ...         "    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\\n"
    ...         "ptxas info    : Used 40 registers, used 1 barriers, 2048 bytes smem\\n")["kernels"]
    {'f': {'registers': 40, 'spills': 16, 'shared': 2048}}
    """
    kernels: dict[str, dict[str, int]] = {}
    warnings, current, spills = [], "", 0
    for line in log.splitlines():
        if found := re.search(r"Compiling entry function '(\w+)'", line):
            current = found[1]
        elif found := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spills = int(found[1]) + int(found[2])
        elif found := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            kernels[current] = {
                "registers": int(found[1]),
                "spills": spills,
                "shared": int(shared[1]) if shared else 0,
            }
        elif re.search(r"warning|C75\d\d", line):
            warnings.append(line.strip())
    return {"kernels": kernels, "warnings": warnings}
