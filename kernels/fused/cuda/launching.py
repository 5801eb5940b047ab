"""The kernels of this folder in all their configurations, and what each launch has to decide."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...checking import device_of
from ...cuda import CudaKernel

Array = Any  # numpy.ndarray or cupy.ndarray

THREADS = 256  # of a block, in all kernels but those on columns
NARROW = 512  # columns up to which a warp has a row to itself, else a block: `rows.cuh`
COLUMNS_BLOCKS = {"sum_partial": (32, 32), "add_rows": (32, 8)}  # lanes and slices: columns.cu
PACK = 4  # elements a thread of elementwise.cu
CHUNK = 4096  # elements a block of updates.cu

# Layer normalisation's gradient: blocks that walk over the rows, and so rows of partial sums. Four
# a multiprocessor of an H100, a fixed number lest results depend on the GPU.
WALKERS = 512

ROWS = {
    "softmax": ("softmax", "softmax_backward", "log_softmax", "log_softmax_backward"),
    "cross_entropy": ("cross_entropy", "cross_entropy_backward"),
    "layer_norm": ("layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward"),
}
FLAT = {
    "elementwise": ("gelu", "gelu_tanh", "gelu_backward", "gelu_tanh_backward", "dropout"),
    "updates": ("adam", "sgd", "square_sums", "clip_factor", "scale"),
}


def _source(stem: str) -> str:
    return f"fused/cuda/{stem}.cu"


@functools.cache
def on_rows(stem: str, name: str, warps: int, vector: int, shared: int = 0) -> CudaKernel:
    """A kernel on rows with so many warps a row and columns a step."""
    block = (32 * warps, THREADS // (32 * warps))
    defines = {"WARPS": warps, "VECTOR": vector}
    return CudaKernel(_source(stem), name, block, defines, shared)


@functools.cache
def flat(stem: str, name: str) -> CudaKernel:
    """A kernel on elements, or on arrays as flat memory."""
    return CudaKernel(_source(stem), name, THREADS)


@functools.cache
def on_columns(name: str) -> CudaKernel:
    """A kernel that sums over rows."""
    return CudaKernel(_source("columns"), name, COLUMNS_BLOCKS[name])


KERNELS = (
    *(
        on_rows(stem, name, warps, vector)
        for stem, names in ROWS.items()
        for name in names
        for warps in (1, 8)
        for vector in (1, 4)
    ),
    *(flat(stem, name) for stem, names in FLAT.items() for name in names),
    on_columns("sum_partial"),
    on_columns("add_rows"),
)


def shape_of_team(columns: int) -> tuple[int, int]:
    """(warps a row, columns a step) for rows of that width.

    >>> shape_of_team(512), shape_of_team(513)
    ((1, 4), (8, 1))
    """
    return (1 if columns <= NARROW else 8), (4 if columns % 4 == 0 else 1)


def rows_a_block(warps: int) -> int:
    """How many rows a block works on at once.

    >>> rows_a_block(1), rows_a_block(8)
    (8, 1)
    """
    return THREADS // (32 * warps)


def ceil_div(size: int, by: int) -> int:
    """size / by, rounded up."""
    return -(-size // by)


def ready(array: Array) -> Array:
    """The array as a kernel reads it, in C order from a multiple of 16 bytes: itself, or a copy."""
    if array.flags.c_contiguous and address(array) % 16 == 0:
        return array
    return array.copy(order="C")


def address(array: Array) -> int:
    """Where an array's memory begins."""
    return int(array.data.ptr) if device_of(array) == "cuda" else int(array.ctypes.data)


def module_of(array: Array) -> Any:
    """numpy or cupy, whichever made the array."""
    if device_of(array) == "cuda":
        import cupy

        return cupy
    return np
