"""cuBLAS and a GPU's memory, on the CPU: what `kernels/matmul/cublas.py` is tested against.

The routines are C functions with the parameters of NVIDIA's header, written down here a second
time. A product is computed from addresses and leading dimensions, as the manual defines it: column
j of a matrix begins `ld` numbers behind column j - 1, a matrix of a batch `stride` numbers behind
the one before, and what is outside of these matrices is not touched. The arrays are CuPy's own,
over the host's memory: they need no GPU as long as CuPy does not compute with them.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, c_int, c_longlong, c_size_t, c_void_p
from types import SimpleNamespace
from typing import Any

import cupy
import numpy as np
from minigen.kernels.matmul.cublas_handle import Gpu, declared

INVALID_VALUE = 7
HANDLE = 0xC0B1A5


def gpu_array(values: np.ndarray) -> Any:
    """A CuPy array at the same address and with the same strides as a NumPy array."""
    memory = cupy.cuda.UnownedMemory(values.ctypes.data, max(values.nbytes, 1), values, 0)
    start = cupy.cuda.MemoryPointer(memory, 0)
    return cupy.ndarray(values.shape, values.dtype, start, strides=values.strides)


def host(array: Any) -> np.ndarray:
    """The NumPy array at the same address and with the same strides."""
    interface = {
        "shape": array.shape,
        "typestr": array.dtype.str,
        "data": (array.data.ptr, False),
        "strides": array.strides,
        "version": 3,
    }
    if not array.size:
        return np.empty(array.shape, array.dtype)
    return np.asarray(SimpleNamespace(__array_interface__=interface, keep=array))


def matrix(address: int, real: Any, rows: int, columns: int, ld: int) -> np.ndarray:
    """(rows, columns) numbers that lie column by column, as a writable view."""
    assert address
    length = (columns - 1) * ld + rows
    numbers = np.frombuffer((real * length).from_address(address), np.dtype(real))
    strides = (numbers.itemsize, ld * numbers.itemsize)
    return np.lib.stride_tricks.as_strided(numbers, (rows, columns), strides)


def gemm(
    real: Any, handle: int, op_a: int, op_b: int, m: int, n: int, k: int, alpha: int,
    a: int, lda: int, step_a: int, b: int, ldb: int, step_b: int, beta: int,
    c: int, ldc: int, step_c: int, batch: int,
) -> int:  # fmt: skip
    """C = alpha op(A) op(B) + beta C for each of the batch; the checks are the manual's."""
    rows_a, rows_b = (k if op_a else m), (n if op_b else k)
    if handle != HANDLE or min(m, n, k, batch) < 0 or not {op_a, op_b} <= {0, 1}:
        return INVALID_VALUE
    if lda < max(1, rows_a) or ldb < max(1, rows_b) or ldc < max(1, m):
        return INVALID_VALUE
    size = ctypes.sizeof(real)
    scale, keep = real.from_address(alpha).value, real.from_address(beta).value
    for i in range(batch):
        left = matrix(a + i * step_a * size, real, rows_a, m if op_a else k, lda)
        right = matrix(b + i * step_b * size, real, rows_b, k if op_b else n, ldb)
        made = matrix(c + i * step_c * size, real, m, n, ldc)
        product = scale * ((left.T if op_a else left) @ (right.T if op_b else right))
        made[...] = product if keep == 0 else product + keep * made
    return 0


class FakeCublas:
    """The routines; `told` is what handles were set to, `calls` the products."""

    def __init__(self) -> None:
        self.told: list[tuple] = []
        self.calls: list[str] = []
        self.status = 0  # of the next products

        def create(handle: int) -> int:
            c_void_p.from_address(handle).value = HANDLE
            self.told.append(("create",))
            return 0

        def note(name: str) -> Any:
            def noted(handle: int, *values: Any) -> int:
                self.told.append((name, *values))
                return 0 if handle == HANDLE else 1

            return noted

        self.cublasCreate_v2 = CFUNCTYPE(c_int, c_void_p)(create)
        for name, types in {
            "cublasSetStream_v2": (c_void_p, c_void_p),
            "cublasSetWorkspace_v2": (c_void_p, c_void_p, c_size_t),
            "cublasSetMathMode": (c_void_p, c_int),
            "cublasSetPointerMode_v2": (c_void_p, c_int),
        }.items():
            setattr(self, name, CFUNCTYPE(c_int, *types)(note(name)))
        for letter, real in {"S": ctypes.c_float, "D": ctypes.c_double}.items():
            self._products(letter, real)

    def _products(self, letter: str, real: Any) -> None:
        sizes = (c_void_p, c_int, c_int, c_int, c_int, c_int)

        def plain(handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
            self.calls.append(f"{letter}gemm")
            return self.status or gemm(
                real, handle, op_a, op_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1
            )

        def batched(*arguments):
            self.calls.append(f"{letter}gemmStridedBatched")
            return self.status or gemm(real, *arguments)

        one, many = (c_void_p, c_int), (c_void_p, c_int, c_longlong)
        for name, types, function in (
            (f"cublas{letter}gemm_v2", (*sizes, c_void_p, *one, *one, c_void_p, *one), plain),
            (
                f"cublas{letter}gemmStridedBatched",
                (*sizes, c_void_p, *many, *many, c_void_p, *many, c_int),
                batched,
            ),
        ):
            setattr(self, name, CFUNCTYPE(c_int, *types)(function))


class HostGpu(Gpu):
    """A GPU whose memory is the host's, and whose cuBLAS is the fake one."""

    def __init__(self) -> None:
        self.library = FakeCublas()
        self.stream_in_use, self.device_in_use = 0, 0
        self.copies: list[tuple[int, ...]] = []
        memory = SimpleNamespace(
            ndarray=lambda shape, dtype: gpu_array(np.full(shape, np.nan, dtype)),
            zeros=lambda shape, dtype: gpu_array(np.zeros(shape, dtype)),
            cuda=SimpleNamespace(
                alloc=lambda count: SimpleNamespace(ptr=(len(self.library.told) + 1) << 20),
                runtime=SimpleNamespace(getDevice=lambda: self.device_in_use),
                get_current_stream=lambda device: SimpleNamespace(ptr=self.stream_in_use),
            ),
        )
        super().__init__(memory, declared(self.library))

    def copied(self, array: Any, shape: tuple[int, ...]) -> Any:
        self.copies.append(shape)
        return gpu_array(np.broadcast_to(host(array), shape).copy())

    def assign(self, out: Any, value: Any) -> Any:
        host(out)[...] = host(value) if isinstance(value, cupy.ndarray) else value
        return out
