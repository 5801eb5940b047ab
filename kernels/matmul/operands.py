"""What the Numba rungs of matmul work on: matrices with any strides, in a batch or alone."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = Any

KEPT = 2**23  # bytes of scratch memory that a thread keeps, a dtype

_kept = threading.local()


class Operands(NamedTuple):
    """C = A B for every matrix of a batch.

    a, b: (…, m, k) and (…, k, n), views with the same leading dimensions; where these broadcast,
    nothing is repeated in memory. c: (…, m, n), C-contiguous and unset; zeros if k is 0. result: c
    in the shape that the caller is to have.
    """

    a: Array
    b: Array
    c: Array
    result: Array


def operands(a: Array, b: Array) -> Operands:
    """The operands of a @ b, leading dimensions and 1-D operands as in `np.matmul`.

    Where all matrices of a meet the same b and lie one after the other, they are one tall matrix.

    >>> work = operands(np.ones((5, 2, 3)), np.ones((3, 4)))
    >>> work.a.shape, work.c.shape, work.result.shape
    ((10, 3), (10, 4), (5, 2, 4))
    """
    left = _aligned(a if a.ndim > 1 else a[None])
    right = _aligned(b if b.ndim > 1 else b[:, None])
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"matmul: {a.shape} @ {b.shape} have different inner dimensions")
    (m, k), n = left.shape[-2:], right.shape[-1]
    empty = np.empty if k else np.zeros
    if left.ndim == right.ndim == 2:
        c = empty((m, n), a.dtype)
        result = c if a.ndim == b.ndim == 2 else c.reshape(a.shape[:-1] + b.shape[1:])
        return Operands(left, right, c, result)
    if right.ndim == 2 and left.flags.c_contiguous:
        rows = math.prod(left.shape[:-1])
        c = empty((rows, n), a.dtype)
        return Operands(left.reshape(rows, k), right, c, c.reshape(a.shape[:-1] + b.shape[1:]))
    lead = left.shape[:-2]
    if lead != right.shape[:-2]:
        lead = np.broadcast_shapes(lead, right.shape[:-2])
        left = np.broadcast_to(left, lead + left.shape[-2:])
        right = np.broadcast_to(right, lead + right.shape[-2:])
    c = empty((*lead, m, n), a.dtype)
    whole = a.ndim > 1 and b.ndim > 1
    return Operands(left, right, c, c if whole else c.reshape(_shape(lead, a, b)))


def _shape(lead: tuple[int, ...], a: Array, b: Array) -> tuple[int, ...]:
    return (*lead, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ()))


def _aligned(array: Array) -> Array:
    return array if array.flags.aligned else np.array(array, order="C")


def matrix_by_matrix(product: Callable[[Array, Array, Array], Any], a: Array, b: Array) -> Array:
    """a @ b by a kernel for matrices, `product(a, b, c)`."""
    work = operands(a, b)
    for index in np.ndindex(work.c.shape[:-2]):
        product(work.a[index], work.b[index], work.c[index])
    return work.result


def starts(batch: Array) -> Array:
    """How many numbers behind the first matrix of a batch each one begins, in C order.

    >>> starts(np.broadcast_to(np.ones((3, 1, 2, 2)), (3, 2, 2, 2)))
    array([0, 0, 4, 4, 8, 8])
    """
    return _starts(batch.shape[:-2], batch.strides[:-2], batch.itemsize)


@functools.lru_cache(maxsize=256)
def _starts(lead: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Array:
    distance = np.zeros(1, np.int64)
    for size, stride in zip(lead, strides):
        distance = np.add.outer(distance, np.arange(size) * (stride // itemsize)).ravel()
    return distance


def scratch(count: int, dtype: Any) -> Array:
    """So many unset numbers, in memory that each thread keeps from call to call.

    Fresh memory would cost a page fault every 4096 bytes, in every call. What is too much to keep
    is fresh nevertheless.
    """
    if count * dtype.itemsize > KEPT:
        return np.empty(count, dtype)
    kept = _kept.__dict__.get(dtype)
    if kept is None or kept.size < count:
        kept = _kept.__dict__[dtype] = np.empty(count, dtype)
    return kept
