"""Numba CUDA kernels on CuPy's arrays: whether they can run here, and how they are launched.

A module of such kernels decorates them with `numba.cuda.jit` and is imported only through
`LazyCuda`. CuPy allocates what they fill. Three things are settled here, once:

* Numba would synchronise with the GPU for every argument that another library made, in case that
  library works on another stream. Kernels run on CuPy's own stream, which orders them without.
* Numba warns when a grid has fewer blocks than a large GPU could run at once. That is true of every
  small example, and no mistake in it; the warning is off for these launches.
* Numba would take a NumPy array too, copy it to the GPU and back, and so be slower than no kernel;
  `require` refuses.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import warnings
from collections.abc import Callable
from typing import Any

from . import jit
from .checking import describe, device_of

Array = Any

MOST_BLOCKS = (2**31 - 1, 65535, 65535)  # of a grid, along x, y and z
EVERY_LANE = 0xFFFFFFFF  # all 32 threads of a warp, as the shuffles' first argument

_problem: str | None = None


def problem() -> str:
    """Why Numba's CUDA rungs cannot run here, or "". Imports CuPy when that is installed."""
    global _problem
    if reason := jit.problem():
        return reason
    if _problem is None:
        _problem = _find_problem()
    return _problem


def _find_problem() -> str:
    if "cupy" not in sys.modules and importlib.util.find_spec("cupy") is None:
        return "CuPy, which holds the arrays, is not installed"
    try:
        import cupy
    except ImportError as error:
        return f"importing CuPy failed: {error}"
    try:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            return "there is no NVIDIA GPU"
    except RuntimeError as error:  # CuPy's own class derives from it
        return f"no NVIDIA driver answers CuPy ({error})"
    return ""


class LazyCuda(jit.Lazy):
    """A function of a module of Numba CUDA kernels; `problem` says why it cannot run here."""

    def problem(self) -> str:
        """Why not, or ""."""
        return problem()

    def load(self) -> Callable[..., Any]:
        """The function itself. Raises ImportError, with the reason, if it cannot run."""
        if self._function is None and (reason := problem()):
            raise ImportError(f"kernel {self.__name__} cannot run here: {reason}")
        return super().load()


def array_module(array: Array) -> Any:
    """The library that allocates results: CuPy."""
    import cupy

    return cupy


def require(operation: str, *arrays: Array) -> tuple[Array, ...]:
    """The arrays in C order, copied if they are not.

    Raises:
        TypeError: one of them is not on the GPU, or not of the first one's dtype.
    """
    for array in arrays:
        if device_of(array) != "cuda":
            raise TypeError(
                f"{operation} on the GPU takes CuPy arrays, got {describe(array)}; "
                "copy it there with cupy.asarray"
            )
        if array.dtype != arrays[0].dtype or array.dtype.name not in ("float32", "float64"):
            kinds = ", ".join(map(describe, arrays))
            raise TypeError(f"{operation} takes arrays all float32 or all float64, got {kinds}")
    return tuple(in_order(array) for array in arrays)


def in_order(array: Array) -> Array:
    """The array in C order: itself if it already is."""
    return array if array.flags.c_contiguous else array_module(array).ascontiguousarray(array)


def blocks(*sizes: tuple[int, int]) -> tuple[int, ...]:
    """How many blocks of so many cover each extent.

    >>> blocks((100, 32), (7, 8))
    (4, 1)
    """
    return tuple(-(-extent // block) for extent, block in sizes)


def launch(kernel: Any, grid: tuple[int, ...], threads: tuple[int, ...], *arguments: Any) -> None:
    """Start a kernel on CuPy's current stream, on the GPU of the first argument.

    Raises:
        ValueError: the grid is larger than any GPU takes.
    """
    for count, most, axis in zip(grid, MOST_BLOCKS, "xyz"):
        if count > most:
            raise ValueError(f"{count} blocks along {axis} are too many; a GPU takes {most}")
    import cupy

    cuda = _cuda()
    stream = cupy.cuda.get_current_stream().ptr
    there = [
        cuda.as_cuda_array(x, sync=False) if hasattr(x, "__cuda_array_interface__") else x
        for x in arguments
    ]
    with cuda.gpus[arguments[0].device.id], warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grid size", category=Warning)
        queue = cuda.external_stream(stream) if stream else 0
        kernel[grid, threads, queue](*there)


@functools.cache
def _cuda() -> Any:
    from numba import cuda

    return cuda
