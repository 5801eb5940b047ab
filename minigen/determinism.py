"""Whether the same program gives the same numbers, bit for bit."""

from __future__ import annotations

import warnings

from minigen import cuda

__all__ = ["are_deterministic_algorithms_enabled", "use_deterministic_algorithms"]

_enabled = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask that the same program give the same numbers.

    On the CPU it always does, with the same number of threads: no operation has a faster form that
    does not.  On a GPU sums in `scatter_add`, `index_add` and gradients of indexing are made in
    whatever order its threads run, and there is no other form of them: where there is a GPU, asking
    raises RuntimeError, or warns if `warn_only`.

    >>> use_deterministic_algorithms(False)
    >>> are_deterministic_algorithms_enabled()
    False
    """
    global _enabled
    if mode and cuda.is_available():
        message = (
            "use_deterministic_algorithms: scatter_add, index_add and gradients of indexing are "
            "not deterministic on the GPU that is here; everything on the CPU is"
        )
        if not warn_only:
            raise RuntimeError(message)
        warnings.warn(message, stacklevel=2)
    _enabled = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was last told."""
    return _enabled
