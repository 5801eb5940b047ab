"""The threads of the BLAS library under NumPy: OpenBLAS, as it comes with NumPy's wheels.

    threads(), set_threads(n)     on how many it computes a product; RuntimeError without OpenBLAS
    with single_threaded():       products inside on one thread each, for parts of a job that run on
                                  several threads of `parallel` themselves

Two Python threads that ask for products at the same time share OpenBLAS's threads by waiting for
each other. With one thread a product they do not: each computes its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

__all__ = ["set_threads", "single_threaded", "threads"]


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


_lock = threading.Lock()
_blocks = 0  # `single_threaded` blocks that are open, in all threads
_outside = 1  # the number of threads outside of them


def threads() -> int:
    """On how many threads a product is computed, outside of `single_threaded`."""
    ask, _ = _functions()
    with _lock:
        return _outside if _blocks else int(ask())


def set_threads(number: int) -> None:
    """Compute products on that many threads, from the end of the last open `single_threaded`."""
    global _outside
    _, tell = _functions()
    with _lock:
        _outside = number
        if not _blocks:
            tell(ctypes.c_int(number))


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Inside, every product runs on one thread; without effect where BLAS is not OpenBLAS.

    >>> with single_threaded():
    ...     product = np.ones((2, 3)) @ np.ones((3, 2))
    """
    global _blocks, _outside
    found = _openblas()
    if found is None:
        yield
        return
    ask, tell = found
    with _lock:
        if not _blocks:
            _outside = int(ask())
            tell(ctypes.c_int(1))
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                tell(ctypes.c_int(_outside))
