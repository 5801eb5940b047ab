"""What numbers a dtype can hold: `finfo` and `iinfo`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.dtypes import as_dtype, get_default_dtype

__all__ = ["finfo", "iinfo"]


class finfo:
    """The limits of a floating-point dtype, of the default one if none is given.

    bits; max and min, the largest and the smallest (most negative) number; eps, the gap between 1
    and the next number; smallest_normal, also called tiny; resolution, of the decimal digits that
    are always kept; dtype, its name.  Raises TypeError for a dtype that is not floating-point.

    >>> import minigen
    >>> finfo(minigen.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: Any = None) -> None:
        given = get_default_dtype() if type is None else as_dtype(type)
        if not given.is_floating_point:
            raise TypeError(f"finfo: needs a floating-point dtype, got {given}; see iinfo")
        limits = np.finfo(given.numpy)
        self.bits, self.dtype = int(limits.bits), given.name
        self.min, self.max = float(limits.min), float(limits.max)
        self.eps, self.resolution = float(limits.eps), float(f"1e-{limits.precision}")
        self.tiny = self.smallest_normal = float(limits.smallest_normal)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(("finfo", self.dtype))


class iinfo:
    """The limits of an integer dtype: bits, min, max, dtype.  Raises TypeError for another dtype.

    >>> import minigen
    >>> iinfo(minigen.uint8)
    iinfo(min=0, max=255, dtype=uint8)
    """

    def __init__(self, type: Any) -> None:
        given = as_dtype(type)
        if given.numpy.kind not in "iu":
            raise TypeError(f"iinfo: needs an integer dtype, got {given}; see finfo")
        limits = np.iinfo(given.numpy)
        self.bits, self.dtype = int(limits.bits), given.name
        self.min, self.max = int(limits.min), int(limits.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(("iinfo", self.dtype))
