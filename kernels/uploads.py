"""How numbers of the host get into memory that a kernel reads.

Usually they are copied there. While a CUDA graph is being captured copying is not allowed, and a
number that is another one in the next step must be sent again before every replay; whoever captures
says how, with `ask`.

    fed(numbers, like)       float32 numbers that a function gives; asked again before every replay
    constant(array, like)    an array that stays what it is
    now(value)               the value, or what a function gives now: an option of a step
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .checking import KernelError

Array = Any  # numpy.ndarray or cupy.ndarray


class Uploads(NamedTuple):
    """How arrays get to the GPU while a graph is being captured."""

    fed: Callable[[Callable[[], np.ndarray]], Array]
    constant: Callable[[np.ndarray], Array]


_current: Callable[[], Uploads | None] = lambda: None  # noqa: E731


def ask(current: Callable[[], Uploads | None]) -> None:
    """Ask this function from now on how arrays get to the GPU; None means: as usual."""
    global _current
    _current = current


def replaced() -> bool:
    """Whether somebody else brings numbers to the GPU, and keeps what is brought."""
    return _current() is not None


def now(value: Any) -> Any:
    """The value itself, or what it gives if it is a function.

    >>> now(0.5), now(lambda: 0.25)
    (0.5, 0.25)
    """
    return value() if callable(value) else value


def settled(*options: Any) -> None:
    """For a rung that computes with options on the host: raise KernelError if one is a function.

    >>> settled(0.1, True)
    """
    if any(map(callable, options)):
        raise KernelError("a step whose numbers are computed with on the host cannot be captured")


def fed(numbers: Callable[[], Sequence[float]], like: Array) -> Array:
    """The numbers as a float32 array where `like` is.

    >>> fed(lambda: (1.0, 2.0), np.ones(3))
    array([1., 2.], dtype=float32)
    """

    def draw() -> np.ndarray:
        return np.array(numbers(), np.float32)

    uploads = _current()
    return _there(draw(), like) if uploads is None else uploads.fed(draw)


def constant(array: np.ndarray, like: Array) -> Array:
    """The array where `like` is."""
    uploads = _current()
    return _there(array, like) if uploads is None else uploads.constant(array)


def _there(array: np.ndarray, like: Array) -> Array:
    if isinstance(like, np.ndarray):
        return array
    import cupy

    return cupy.asarray(array)
