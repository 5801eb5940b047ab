"""Products of CuPy's arrays by cuBLAS, without CuPy in between.

    product(a, b)                       np.matmul, for arrays on either device
    layout(a.shape, a.strides, ...)     what cuBLAS is to be told about arrays that lie so

CuPy hands a product to cuBLAS as well, but takes some 40 microseconds for it, and refuses to while
a stream is captured into a CUDA graph. With a handle of our own (`cublas_handle.py`) neither is so.

cuBLAS counts column by column: what it takes for an (n, m) matrix with a leading dimension of
`pitch` numbers is, for us, (m, n) with rows `pitch` numbers apart. So it is asked for Cᵀ = Bᵀ Aᵀ,
and nothing is transposed. It reads an operand along or across (a transposed view), with any pitch
(some columns of a wider array), and batches with one distance from each matrix to the next, which
is 0 where all are the same one. Anything else is copied.

Source: NVIDIA, cuBLAS Library, "Data Layout" and "cublas<t>gemmStridedBatched()".
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..checking import describe
from .cublas_handle import Gpu, check, gpu_of

Array = Any  # numpy.ndarray or cupy.ndarray

LIMIT = 2**31 - 1  # sizes are C's int

# dtype -> the type's letter, 1 and 0 as cuBLAS takes them
SCALARS = {
    np.dtype(np.float32): ("S", ctypes.c_float(1), ctypes.c_float(0)),
    np.dtype(np.float64): ("D", ctypes.c_double(1), ctypes.c_double(0)),
}
NAMES = {  # dtype -> routine for one matrix, routine for a batch, 1, 0
    dtype: (
        f"cublas{letter}gemm_v2",
        f"cublas{letter}gemmStridedBatched",
        ctypes.byref(one),
        ctypes.byref(zero),
    )
    for dtype, (letter, one, zero) in SCALARS.items()
}


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a b, (…, m, k) @ (…, k, n), leading dimensions and 1-D operands as in `np.matmul`.

    float32 and float64 on a GPU go to cuBLAS, in their own precision (no TF32); the rest is
    `np.matmul`. On a GPU the result is C-contiguous, if it is not written into `out`, which must
    not share memory with a or b.

    Raises:
        ValueError: the shapes do not fit.
        KernelError: cuBLAS reports an error.

    >>> product(np.ones((2, 3)), np.ones(3))
    array([3., 3.])
    """
    kind: Any = type(a)
    if kind is np.ndarray:
        return np.matmul(a, b, out=out)
    gpu = gpu_of(kind)
    if gpu is not None and type(b) is kind:
        dtype = a.dtype
        if dtype in NAMES and b.dtype == dtype and (out is None or _fits(out, kind, dtype)):
            told = layout(a.shape, a.strides, b.shape, b.strides, dtype.itemsize)
            if told is not None:
                return _multiply(gpu, told, a, b, out)
    return _by_array_library(a, b, out)


def _fits(out: Array, kind: Any, dtype: Any) -> bool:
    return type(out) is kind and out.dtype == dtype


def _by_array_library(a: Array, b: Array, out: Array | None) -> Array:
    """The same by `np.matmul`, a batch that meets one matrix as one tall one."""
    if isinstance(a, np.ndarray) or out is not None:
        return np.matmul(a, b, out=out)
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous and a.size:
        rows = _by_array_library(a.reshape(-1, a.shape[-1]), b, None)
        return rows.reshape(*a.shape[:-1], b.shape[-1])
    made = np.matmul(a, b)
    return made if made.flags.c_contiguous else made.copy()


# ------------------------------------------------------------------ how operands lie


class Side(NamedTuple):
    """An operand as cuBLAS is told of it.

    transposed: whether what is stored as rows are its columns; pitch: numbers from one stored row
    to the next; step: from one matrix of the batch to the next; copied: None, or the shape which it
    is broadcast to and then copied in, before all this is true.
    """

    transposed: bool
    pitch: int
    step: int
    copied: tuple[int, ...] | None = None


NOWHERE = Side(False, 0, 0)


class Layout(NamedTuple):
    """C = A B as cuBLAS is told of it: `batch` products of (m, k) by (k, n).

    shape: the result's; lead: its leading dimensions; a, b: NOWHERE if there is nothing to add up.
    """

    shape: tuple[int, ...]
    lead: tuple[int, ...]
    m: int
    n: int
    k: int
    batch: int
    a: Side = NOWHERE
    b: Side = NOWHERE


@functools.lru_cache(maxsize=4096)
def layout(
    a_shape: tuple[int, ...], a_strides: tuple[int, ...],
    b_shape: tuple[int, ...], b_strides: tuple[int, ...], itemsize: int,
) -> Layout | None:  # fmt: skip
    """How to ask for a @ b, from the shapes and strides (in bytes) alone; None: sizes beyond int.

    A training step meets the same shapes over and over, so it is worked out once.

    Raises:
        ValueError: the shapes do not fit.

    >>> told = layout((5, 2, 3), (48, 24, 4), (3, 4), (4, 12), 4)  # columns of a wider array; w.T
    >>> told.m, told.n, told.k, told.batch
    (10, 4, 3, 1)
    >>> told.a.pitch, told.b.pitch, told.b.transposed
    (6, 3, True)
    """
    if not a_shape or not b_shape:
        raise ValueError("matmul: both factors need at least 1 dimension")
    left, left_strides, right, right_strides = a_shape, a_strides, b_shape, b_strides
    if len(a_shape) == 1:
        left, left_strides = (1, *a_shape), (0, *a_strides)
    if len(b_shape) == 1:
        right, right_strides = (*b_shape, 1), (*b_strides, 0)
    if left[-1] != right[-2]:
        raise ValueError(f"matmul: {a_shape} @ {b_shape} have different inner dimensions")
    lead = np.broadcast_shapes(left[:-2], right[:-2])
    shape = (*lead, *a_shape[-2:-1], *(b_shape[-1:] if len(b_shape) > 1 else ()))
    (m, k), n, batch = left[-2:], right[-1], math.prod(lead)
    if 0 in (m, k, n, batch):
        return Layout(shape, lead, m, n, k, batch)
    a = _side(left, left_strides, lead, itemsize)
    b = _side(right, right_strides, lead, itemsize)
    if len(b_shape) == 1 and b.copied is not None:
        b = b._replace(copied=b_shape)
    if batch > 1 and math.prod(right[:-2]) == 1:  # all meet the same b: perhaps one tall matrix
        strides = left_strides if a.copied is None else _contiguous(left, itemsize)
        tall = _matrix(batch * m, k, _step(left[:-1], strides[:-1]), strides[-1], itemsize)
        if tall is not None:
            a, m, batch = Side(*tall, 0, a.copied), batch * m, 1
    if max(m, n, k, batch, a.pitch, b.pitch) > LIMIT:
        return None
    return Layout(shape, lead, m, n, k, batch, a, b)


def _side(
    shape: tuple[int, ...], strides: tuple[int, ...], lead: tuple[int, ...], itemsize: int
) -> Side:
    """One operand (…, rows, columns) in a batch of shape `lead`: as it is, or else copied."""
    for copied in (None, shape, (*lead, *shape[-2:])):
        if copied is not None:
            shape, strides = copied, _contiguous(copied, itemsize)
        found = _matrix(shape[-2], shape[-1], strides[-2], strides[-1], itemsize)
        own = (1,) * (len(lead) - len(shape) + 2) + shape[:-2]
        steps = (0,) * (len(own) - len(shape) + 2) + strides[:-2]
        step = _step(lead, [0 if size == 1 else step for size, step in zip(own, steps)])
        if found is not None and step is not None and step >= 0 and step % itemsize == 0:
            return Side(*found, step // itemsize, copied)
    raise AssertionError("a C-contiguous batch is one that cuBLAS takes")


def _matrix(
    rows: int, columns: int, down: int | None, along: int, itemsize: int
) -> tuple[bool, int] | None:
    """(transposed, pitch) of a matrix with strides of `down` and `along` bytes, if it has them.

    A stride along which there is but one number says nothing.
    """
    if down is None:
        return None
    for transposed, count, length, outer, inner in (
        (False, rows, columns, down, along),
        (True, columns, rows, along, down),
    ):
        pitch = outer if count > 1 else length * itemsize
        dense = inner == itemsize or length == 1
        if dense and pitch >= length * itemsize and pitch % itemsize == 0:
            return transposed, pitch // itemsize
    return None


def _step(sizes: Sequence[int], strides: Sequence[int]) -> int | None:
    """The one distance at which dimensions walked through in C order take us on, None without one.

    >>> _step((2, 3, 1), (60, 20, 7)), _step((2, 3), (20, 60)), _step((4, 5), (0, 0))
    (20, None, 0)
    """
    step, count = None, 1
    for size, stride in zip(reversed(sizes), reversed(strides)):
        if size == 1:
            continue
        if step is None:
            step = stride
        elif stride != step * count:
            return None
        count *= size
    return step or 0


def _contiguous(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The strides of a C-contiguous array, in bytes."""
    strides = [itemsize]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides))


@functools.lru_cache(maxsize=4096)
def _place(told: Layout, strides: tuple[int, ...], itemsize: int) -> tuple[int, int] | None:
    """(pitch, step) with which cuBLAS can write C into an array of the result's shape, or None."""
    if told.shape and strides == _contiguous(told.shape, itemsize):
        return told.n, told.m * told.n
    if len(told.shape) != len(told.lead) + 2:  # a vector, with gaps
        return None
    down: int | None = strides[-2]
    step = _step(told.lead, strides[:-2])
    if told.m != told.shape[-2]:  # one tall matrix
        down, step = _step(told.shape[:-1], strides[:-1]), 0
    found = _matrix(told.m, told.n, down, strides[-1], itemsize)
    if found is None or found[0] or found[1] > LIMIT or step is None or step % itemsize:
        return None
    pitch, step = found[1], step // itemsize
    apart = told.batch == 1 or step >= (told.m - 1) * pitch + told.n  # no two in the same place
    return (pitch, step) if apart else None


# ------------------------------------------------------------------ the call


def _multiply(gpu: Gpu, told: Layout, a: Array, b: Array, out: Array | None) -> Array:
    """C = A B as `layout` has told."""
    dtype = a.dtype
    if out is not None and out.shape != told.shape:
        raise ValueError(f"matmul: out has the shape {out.shape}, and the product {told.shape}")
    if told.a is NOWHERE:
        return gpu.zeros(told.shape, dtype) if out is None else gpu.assign(out, 0)
    c, place = out, out is not None and _place(told, out.strides, dtype.itemsize)
    if not place:
        c, place = gpu.empty(told.shape, dtype), (told.n, told.m * told.n)
    if told.a.copied is not None:
        a = gpu.copied(a, told.a.copied)
    if told.b.copied is not None:
        b = gpu.copied(b, told.b.copied)
    _gemm(gpu, told, a, b, c, *place)
    return c if out is None or out is c else gpu.assign(out, c)


def _gemm(gpu: Gpu, told: Layout, a: Array, b: Array, c: Array, pitch: int, step: int) -> None:
    """Cᵀ = Bᵀ Aᵀ for every matrix of the batch."""
    _, _, m, n, k, batch, left, right = told
    single, batched, one, zero = NAMES[a.dtype]
    handle = gpu.handle()
    if batch == 1:
        name = single
        status = getattr(gpu.routines, name)(
            handle.pointer, right.transposed, left.transposed, n, m, k,
            one, b.data.ptr, right.pitch, a.data.ptr, left.pitch, zero, c.data.ptr, pitch,
        )  # fmt: skip
    else:
        name = batched
        status = getattr(gpu.routines, name)(
            handle.pointer, right.transposed, left.transposed, n, m, k,
            one, b.data.ptr, right.pitch, right.step, a.data.ptr, left.pitch, left.step,
            zero, c.data.ptr, pitch, step, batch,
        )  # fmt: skip
    if status:
        check(name, status, f" for {describe(a)} @ {describe(b)}")
