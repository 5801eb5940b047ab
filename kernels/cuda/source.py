"""A CUDA C++ source file as data: its text, what it includes, and what its kernels take.

A kernel is declared `extern "C" __global__ void name(parameters)`. Reading the parameters out of
the source is what lets one launcher check every argument, on a GPU and in the emulator alike: raw
kernel launches take any pointer, and a float64 array or a transposed view would be read as
something else without a word.
"""

from __future__ import annotations

import ctypes
import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]  # the folder kernels/

# C type -> (dtypes of an array behind a pointer, NumPy scalar, ctypes scalar)
_TYPES: dict[str, tuple[tuple[str, ...], Any, Any]] = {
    "float": (("float32",), np.float32, ctypes.c_float),
    "double": (("float64",), np.float64, ctypes.c_double),
    "bf16": (("uint16",), np.uint16, ctypes.c_ushort),
    "int": (("int32",), np.int32, ctypes.c_int),
    "u32": (("uint32",), np.uint32, ctypes.c_uint),
    "long long": (("int64",), np.int64, ctypes.c_longlong),
    "u64": (("uint64",), np.uint64, ctypes.c_ulonglong),
    "u8": (("uint8", "bool"), np.uint8, ctypes.c_ubyte),
}

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)'
)
_PARAMETER = re.compile(r"^(const )?([\w ]+?) ?(\*)? ?(?:__restrict__ )?(\w+)$")
_INCLUDE = re.compile(r'^\s*#include "([^"]+)"', re.M)


class Parameter(NamedTuple):
    """One parameter of a kernel."""

    name: str
    type: str  # as in C, without const and *
    pointer: bool
    const: bool

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that an array for this pointer may have."""
        return _TYPES[self.type][0]

    @property
    def scalar(self) -> Any:
        """The NumPy type of a number for this parameter."""
        return _TYPES[self.type][1]

    @property
    def ctype(self) -> Any:
        """The ctypes type that is passed for this parameter."""
        return ctypes.c_void_p if self.pointer else _TYPES[self.type][2]


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def parameters(text: str) -> dict[str, tuple[Parameter, ...]]:
    """The kernels of a source and what each takes.

    Raises:
        ValueError: a parameter of a type that the launchers do not know.

    >>> found = parameters('extern "C" __global__ void f(const float* __restrict__ x, int n) {}')
    >>> [(p.name, p.type, p.pointer) for p in found["f"]]
    [('x', 'float', True), ('n', 'int', False)]
    """
    kernels = {}
    for name, inside in _KERNEL.findall(without_comments(text)):
        read = []
        for part in filter(None, (" ".join(p.split()) for p in inside.split(","))):
            match = _PARAMETER.match(part)
            if match is None or match[2] not in _TYPES:
                raise ValueError(f"kernel {name}: parameter {part!r} is of no known type")
            read.append(Parameter(match[4], match[2], match[3] is not None, match[1] is not None))
        kernels[name] = tuple(read)
    return kernels


@functools.cache
def read(file: str) -> str:
    """The text of a source file, named by its path inside kernels/."""
    return (ROOT / file).read_text(encoding="utf-8")


@functools.cache
def headers(file: str) -> dict[str, str]:
    """Every header that a source file includes, directly or not: the name in quotes and its path
    inside kernels/.

    Headers lie beside the file that includes them or in kernels/cuda/. The emulator's, which only
    g++ reads, is left out.
    """
    found: dict[str, str] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop()
        for name in _INCLUDE.findall(read(path)):
            if name in found or name == "emulator.h":
                continue
            beside = str(Path(path).parent / name)
            found[name] = beside if (ROOT / beside).is_file() else f"cuda/{name}"
            waiting.append(found[name])
    return found


def included(file: str) -> dict[str, str]:
    """The same with the text of each header."""
    return {name: read(path) for name, path in headers(file).items()}
