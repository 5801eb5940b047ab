"""On how many threads NumPy computes matrix products, and minigen its own kernels.

NumPy's other functions use one thread.  The products are those of the BLAS library that NumPy was
built with; the OpenBLAS that comes with NumPy's wheels can be asked and told, others cannot.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minigen.dispatch import kernels

__all__ = ["get_num_threads", "set_num_threads"]


@functools.cache
def _openblas() -> tuple[Callable, Callable] | None:
    """(ask, tell) of the OpenBLAS that came with NumPy, or None."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".libs", package / ".dylibs")
    for path in (path for folder in folders for path in sorted(folder.glob("*openblas*"))):
        library = ctypes.CDLL(str(path))  # it is loaded already: the same one
        for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_",
                     "scipy_openblas_{}_num_threads", "openblas_{}_num_threads"):  # fmt: skip
            if hasattr(library, name.format("set")):
                return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None


def _functions() -> tuple[Callable, Callable]:
    found = _openblas()
    if found is None:
        raise RuntimeError(
            "NumPy's matrix products come from a library that minigen cannot ask for its threads "
            "(numpy.show_config() names it); set OMP_NUM_THREADS, or the variable of that library, "
            "before Python is started"
        )
    return found


def get_num_threads() -> int:
    """On how many threads matrix products on the CPU are computed, and at most each kernel.

    Raises RuntimeError if NumPy has another BLAS library than OpenBLAS.
    """
    return int(_functions()[0]())


def set_num_threads(number: int, /) -> None:
    """Compute matrix products and kernels on the CPU on that many threads; the library of the
    products may have a maximum.

    Raises TypeError for anything but a whole number, RuntimeError for one below 1, and if NumPy has
    another BLAS library than OpenBLAS.

    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"set_num_threads: expects a whole number, got {type(number).__name__}")
    if number < 1:
        raise RuntimeError(f"set_num_threads: expects a positive number of threads, got {number}")
    _functions()[1](ctypes.c_int(number))
    kernels.parallel.set_threads(number)
