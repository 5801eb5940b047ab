"""What minigen needs to know about NumPy and CuPy; dtypes, devices and random streams at one place.

An array on the `cpu` is a `numpy.ndarray`, an array on `cuda` a `cupy.ndarray`. The operations in
`minigen.ops` are written once, with NumPy's functions: CuPy's arrays answer these through
`__array_ufunc__` and `__array_function__`. Only what creates an array out of nothing has to ask for
a device, and asks here. This file is also the only one that reaches into `minigen.kernels`.
"""

from __future__ import annotations

import contextvars
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigen.kernels as kernels
from minigen.devices import CPU, array_module, device, device_of, owner, to_device
from minigen.dtypes import DTYPES
from minigen.kernels import registry
from minigen.kernels.fused import log1p as log1p_array
from minigen.random import Generator, default_generator, stream

__all__ = [
    "CPU", "Array", "Generator", "all_finite", "array_module", "as_array", "cast",
    "default_generator", "device", "device_of", "kernel", "kernel_over", "large", "log1p_array",
    "nonfinite_name", "ones_like", "owner", "quiet", "silent", "stream", "to_device", "zeros_like",
]  # fmt: skip

Array = Any  # numpy.ndarray or cupy.ndarray


def as_array(value: Any) -> Array:
    """An array, also where NumPy gave back one of its scalars."""
    return (
        value
        if hasattr(value, "flags") and not isinstance(value, np.generic)
        else np.asarray(value)
    )


def ones_like(array: Array) -> Array:
    return np.ones_like(array)


def zeros_like(array: Array) -> Array:
    return np.zeros_like(array)


def cast(array: Array, to: np.dtype) -> Array:
    """The array, or tensor, in that dtype; itself if it has it already."""
    if hasattr(array, "astype"):
        return array.astype(to, copy=False)
    return array.to(DTYPES[to])


def all_finite(value: Any) -> bool:
    """Whether no element is NaN or infinite (what is no float always is finite)."""
    if isinstance(value, float):
        return math.isfinite(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind != "f" or bool(np.isfinite(value).all())


def nonfinite_name(array: Array) -> str:
    return "NaN" if bool(np.isnan(array).any()) else "an infinity"


def quiet() -> Any:
    """A context in which 1/0 and log(0) give inf and nan without a warning, as in PyTorch."""
    return np.errstate(all="ignore")


_silent = contextvars.Context()
_silent.run(np.seterr, all="ignore")

silent = _silent.copy
"""`silent().run(np.divide, a, b)`: as under `quiet()`, at a thirtieth of its cost.

NumPy keeps its error state in a context variable, so one NumPy function can run in a copy of a
context in which all is ignored (30 ns), which no other thread and no caller can see.
"""


# ------------------------------------------------------------------------------- kernels


def kernel(operation: str, *arrays: Array, **options: Any) -> Any:
    """Run the kernel that is chosen for this operation and these arrays."""
    return kernels.select(operation, *arrays)(*arrays, **options)


LARGE = 1024  # elements from which on asking for a kernel can pay


def large(array: Any) -> bool:
    """Whether to ask for a kernel where a few ufuncs do the same: it is a float32 or float64 array
    of NumPy's (no tensor, whose operations are recorded) of some size, or a kernel was swapped in.

    >>> large(np.ones(10)), large(np.ones(10_000)), large(np.ones(10_000, np.float16))
    (False, True, False)
    """
    if array.__class__ is not np.ndarray or (array.size < LARGE and not registry._overriding):
        return False
    return array.dtype.char in "fd"


@functools.lru_cache(256)
def _of_size(dtype: np.dtype, size: int) -> Array:
    """An array of that many elements, which takes the memory of one."""
    return np.broadcast_to(np.zeros((), dtype), (size,))


def kernel_over(operation: str, lists: Sequence[list[Array] | None], *options: Any) -> None:
    """Run a kernel that works in place on lists of arrays; the elements of all of the first list
    decide which. A kernel that was swapped in is called for one array of each list at a time,
    flat if that takes no copy."""
    first = lists[0]
    assert first
    if registry._overriding:
        for arrays in zip(*(column or [None] * len(first) for column in lists)):
            if all(a is None or a.flags.c_contiguous for a in arrays):
                arrays = tuple(a if a is None else a.reshape(-1) for a in arrays)
            kernel(operation, *arrays, *options)
        return
    size = sum(array.size for array in first)
    kernels.select(operation, _of_size(first[0].dtype, size))(*lists, *options)
