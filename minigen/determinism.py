"""Whether the same program gives the same numbers, bit for bit."""

from __future__ import annotations

__all__ = ["are_deterministic_algorithms_enabled", "use_deterministic_algorithms"]

_enabled = False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask that the same program give the same numbers.

    It always does, on the CPU with the same number of threads, and on a GPU: no operation has a
    faster form that does not.  Sums into places that may be named more than once (`scatter_add`,
    `index_add`, the gradients of embeddings and of indexing) are sorted and made in one order, not
    by atomic additions in whatever order the threads of a GPU run.  What PyTorch leaves undefined
    on a GPU stays so: which of several values `scatter` or `x[index] = values` leaves at a place
    that is named more than once.

    >>> use_deterministic_algorithms(False)
    >>> are_deterministic_algorithms_enabled()
    False
    """
    global _enabled
    _enabled = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was last told."""
    return _enabled
