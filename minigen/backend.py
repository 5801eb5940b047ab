"""What minigen needs to know about NumPy and CuPy; dtypes, devices and random streams at one place.

An array on the `cpu` is a `numpy.ndarray`, an array on `cuda` a `cupy.ndarray`. The operations in
`minigen.ops` are written once, with NumPy's functions: CuPy's arrays answer these through
`__array_ufunc__` and `__array_function__`. Only what creates an array out of nothing has to ask for
a device, and asks here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.devices import CPU, array_module, beside, device, device_of, on_gpu, owner, to_device
from minigen.dispatch import (
    Operand,
    Windows,
    kernel,
    kernel_over,
    large,
    log1p_array,
    quiet,
    quiet_kernel,
    silent,
)
from minigen.dtypes import DTYPES
from minigen.random import Generator, default_generator, stream

__all__ = [
    "CPU", "Array", "Generator", "Operand", "Windows", "all_finite", "array_module", "as_array",
    "beside", "cast", "default_generator", "device", "device_of", "kernel", "kernel_over", "large",
    "log1p_array", "nonfinite_name", "on_gpu", "ones_like", "owner", "quiet", "quiet_kernel",
    "silent", "stream", "to_device", "zeros_like",
]  # fmt: skip

Array = Any  # numpy.ndarray or cupy.ndarray


def as_array(value: Any) -> Array:
    """An array, also where NumPy gave back one of its scalars."""
    known = hasattr(value, "flags") and not isinstance(value, np.generic)
    return value if known else np.asarray(value)


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
