"""On how many threads NumPy computes matrix products, and minigen its own kernels.

NumPy's other functions use one thread.  The products are those of the BLAS library that NumPy was
built with; the OpenBLAS that comes with NumPy's wheels can be asked and told, others cannot.
"""

from __future__ import annotations

from minigen.dispatch import kernels

__all__ = ["get_num_threads", "set_num_threads"]


def get_num_threads() -> int:
    """On how many threads matrix products on the CPU are computed, and at most each kernel.

    Raises RuntimeError if NumPy has another BLAS library than OpenBLAS.
    """
    return kernels.blas.threads()


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
    kernels.blas.set_threads(number)
    kernels.parallel.set_threads(number)
