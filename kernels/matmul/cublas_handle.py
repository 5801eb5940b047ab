"""cuBLAS through ctypes: the library, its routines, and a handle for every thread and device.

Threads do not share a handle. It works on one stream at a time, in memory that it is given, the
workspace: without it cuBLAS would allocate some while a graph is captured. Two streams run side by
side, so each has a workspace. What a thread leaves behind the next one takes.

The first product of a thread on a device makes the handle, and the first one on a stream the
workspace. A captured graph goes on using the workspace of the stream that it was captured on, so
graphs of one stream must not run side by side.

Source: NVIDIA, cuBLAS Library, sections "cuBLAS Context", "CUDA Graphs Support" and
"cublasSetWorkspace()".
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from ctypes import c_int, c_longlong, c_size_t, c_void_p
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..checking import KernelError

WORKSPACE = 32 << 20  # bytes, what NVIDIA recommends for a Hopper GPU; others need 4 MiB
DEFAULT_MATH = 0  # CUBLAS_DEFAULT_MATH: float32 is float32, no TF32
ON_HOST = 0  # CUBLAS_POINTER_MODE_HOST: where alpha and beta are

STATUS = {
    1: "NOT_INITIALIZED", 3: "ALLOC_FAILED", 7: "INVALID_VALUE", 8: "ARCH_MISMATCH",
    11: "MAPPING_ERROR", 13: "EXECUTION_FAILED", 14: "INTERNAL_ERROR", 15: "NOT_SUPPORTED",
    16: "LICENSE_ERROR",
}  # fmt: skip

# (handle, op, op, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc), and for a batch with the distances
# from one matrix to the next and their number.
_GEMM = (
    c_void_p, c_int, c_int, c_int, c_int, c_int,
    c_void_p, c_void_p, c_int, c_void_p, c_int, c_void_p, c_void_p, c_int,
)  # fmt: skip
_BATCHED = (
    c_void_p, c_int, c_int, c_int, c_int, c_int,
    c_void_p, c_void_p, c_int, c_longlong, c_void_p, c_int, c_longlong,
    c_void_p, c_void_p, c_int, c_longlong, c_int,
)  # fmt: skip
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "cublasCreate_v2": (c_void_p,),
    "cublasSetStream_v2": (c_void_p, c_void_p),
    "cublasSetWorkspace_v2": (c_void_p, c_void_p, c_size_t),
    "cublasSetMathMode": (c_void_p, c_int),
    "cublasSetPointerMode_v2": (c_void_p, c_int),
    "cublasSgemm_v2": _GEMM,
    "cublasDgemm_v2": _GEMM,
    "cublasSgemmStridedBatched": _BATCHED,
    "cublasDgemmStridedBatched": _BATCHED,
}


def declared(library: Any) -> SimpleNamespace:
    """The routines of the library that are used here, with the types of their parameters.

    Raises:
        AttributeError: it lacks one.
    """
    routines = SimpleNamespace()
    for name, parameters in PARAMETERS.items():
        routine = getattr(library, name)
        routine.argtypes, routine.restype = parameters, c_int
        setattr(routines, name, routine)
    return routines


def check(routine: str, status: int, about: str = "") -> None:
    """KernelError unless cuBLAS says that all went well."""
    if status:
        name = f"CUBLAS_STATUS_{STATUS.get(status, 'UNKNOWN')}"
        raise KernelError(f"matmul: {routine} returned {name} ({status}){about}")


class Handle:
    """A handle of cuBLAS with the workspaces that it has worked in."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.pointer = c_void_p()
        self.stream: int | None = None
        self.workspaces: dict[int, Any] = {}  # stream -> memory
        routines = gpu.routines
        check("cublasCreate_v2", routines.cublasCreate_v2(ctypes.byref(self.pointer)))
        check("cublasSetMathMode", routines.cublasSetMathMode(self.pointer, DEFAULT_MATH))
        check("cublasSetPointerMode_v2", routines.cublasSetPointerMode_v2(self.pointer, ON_HOST))

    def work_on(self, stream: int) -> None:
        """Turn to another stream, by its address."""
        if stream not in self.workspaces:
            self.workspaces[stream] = self.gpu.allocate(WORKSPACE)
        self.stream = None  # should one of the calls fail
        routines, memory = self.gpu.routines, self.workspaces[stream].ptr
        check("cublasSetStream_v2", routines.cublasSetStream_v2(self.pointer, stream))
        # in this order: the other call goes back to the workspace of cuBLAS's own
        status = routines.cublasSetWorkspace_v2(self.pointer, memory, WORKSPACE)
        check("cublasSetWorkspace_v2", status)
        self.stream = stream


class _Lent(dict[int, Handle]):
    """The handles of a thread by device, given back when the thread ends."""

    def __init__(self, idle: list[tuple[int, Handle]]) -> None:
        self.idle = idle

    def __del__(self) -> None:
        self.idle.extend(self.items())


class _Mine(threading.local):
    def __init__(self, idle: list[tuple[int, Handle]]) -> None:  # once in every thread
        self.handles = _Lent(idle)


class Gpu:
    """What a product needs of CuPy and of cuBLAS; a test has one that works in host memory."""

    def __init__(self, cupy: Any, routines: Any) -> None:
        self.routines = routines
        self.empty, self.zeros = cupy.ndarray, cupy.zeros
        self.allocate = cupy.cuda.alloc
        self.device = cupy.cuda.runtime.getDevice
        self.current_stream = cupy.cuda.get_current_stream
        self._idle: list[tuple[int, Handle]] = []
        self._mine = _Mine(self._idle)

    def copied(self, array: Any, shape: tuple[int, ...]) -> Any:
        """The array broadcast to a shape, as a C-contiguous copy."""
        return np.broadcast_to(array, shape).copy()

    def assign(self, out: Any, value: Any) -> Any:
        """out, all of it overwritten."""
        out[...] = value
        return out

    def handle(self) -> Handle:
        """This thread's on the current device, turned to CuPy's current stream."""
        device = self.device()
        handle = self._mine.handles.get(device)
        if handle is None:
            handle = self._mine.handles[device] = self._taken(device)
        stream = self.current_stream(device).ptr
        if stream != handle.stream:
            handle.work_on(stream)
        return handle

    def _taken(self, device: int) -> Handle:
        """One that a thread has left behind, or a new one."""
        for lent in tuple(self._idle):
            with contextlib.suppress(ValueError):  # another thread was quicker
                if lent[0] == device:
                    self._idle.remove(lent)
                    return lent[1]
        return Handle(self)


_gpus: dict[type, Gpu | None] = {}  # type of an array -> how its products are computed


def gpu_of(kind: type) -> Gpu | None:
    """How arrays of this type are multiplied by cuBLAS, None where that is left to CuPy.

    It is where cuBLAS cannot be loaded, and where a module stands in CuPy's place which computes on
    the CPU.
    """
    try:
        return _gpus[kind]
    except KeyError:
        _gpus[kind] = _found(kind)
        return _gpus[kind]


def _found(kind: type) -> Gpu | None:
    cupy = sys.modules.get("cupy")
    if cupy is None or kind is not getattr(cupy, "ndarray", None):
        return None
    if not hasattr(cupy.cuda.Device, "compute_capability"):  # a stand-in: `choice_cuda.py`
        return None
    try:
        # CuPy's own binding finds the library where it lies, in a package or in the toolkit. Once
        # it is loaded, its name is enough.
        from cupy_backends.cuda.libs import cublas  # noqa: F401

        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        windows = sys.platform == "win32"
        name = f"cublas64_{major}.dll" if windows else f"libcublas.so.{major}"
        return Gpu(cupy, declared(ctypes.CDLL(name)))
    except (ImportError, OSError, AttributeError):
        return None
