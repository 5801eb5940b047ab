"""What the Numba attention kernels are given: four-dimensional arrays and a mask in parts."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def four_dimensional(array: Array, lead: tuple[int, ...]) -> Array:
    """(…, T, E) broadcast to `lead` as (B, H, T, E), a view if possible, each row contiguous."""
    if not array.flags.aligned or (array.strides[-1] != array.itemsize and array.shape[-1] > 1):
        array = np.array(array, order="C")
    if array.shape[:-2] != lead:
        array = np.broadcast_to(array, (*lead, *array.shape[-2:]))
    if array.ndim == 4:
        return array
    if array.ndim < 4:
        return array[(None,) * (4 - array.ndim)]
    return array.reshape(-1, *array.shape[-3:])


def mask_parts(
    mask: Array | None, lead: tuple[int, ...], queries: int, keys: int, dtype: Any
) -> tuple[Array, Array, int, int, bool]:
    """A mask of any broadcastable shape as numbers to add, without spreading it out.

    Returns:
        numbers: the mask's own elements in C order; 0 and -inf for a boolean mask.
        starts: (heads,), where in `numbers` a head's mask starts.
        step_i, step_j: distance from query to query and from key to key, 0 where it broadcasts.
        masked: whether there is a mask at all.
    """
    heads = int(np.prod(lead))
    if mask is None:
        return np.zeros(1, dtype), np.zeros(1, np.int64), 0, 0, False
    if mask.dtype == bool:
        numbers = np.where(mask, dtype.type(0), dtype.type(-np.inf))
    else:
        numbers = np.array(mask, dtype, order="C")
    numbers = numbers.reshape((1,) * (len(lead) + 2 - numbers.ndim) + numbers.shape)
    strides = np.array(numbers.strides) // dtype.itemsize
    strides[np.array(numbers.shape) == 1] = 0
    np.broadcast_to(numbers, (*lead, queries, keys))  # raises if it does not fit
    index = np.indices(lead).reshape(len(lead), heads)
    starts = (index * strides[:-2, None]).sum(axis=0, dtype=np.int64)
    flat = numbers.reshape(-1)
    if flat.size == 0:
        flat = np.zeros(1, dtype)
    return flat, starts, int(strides[-2]), int(strides[-1]), True


def padded(count: int) -> int:
    """The count rounded up to whole tiles: 16 columns in float32, 8 in float64."""
    return (count + 15) // 16 * 16
