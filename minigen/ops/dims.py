"""How PyTorch counts dimensions: negative ones from the end, and a 0-d tensor as if it had one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import index
from typing import Any

from minigen.errors import ShapeError
from minigen.operation import NUMPY_NAMES

__all__: list[str] = []


def wrap_dim(dim: Any, ndim: int) -> int:
    """`dim` counted from the front.  Raises IndexError outside [-ndim, ndim - 1].

    >>> wrap_dim(-1, 3)
    2
    """
    n = ndim or 1
    dim = index(dim)
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim + n if dim < 0 else dim


def wrap_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """One dimension, several, or None for all, counted from the front.

    Raises IndexError outside the range, ShapeError if one is named twice.

    >>> wrap_dims((0, -1), 3), wrap_dims(None, 2)
    ((0, 2), (0, 1))
    """
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, tuple | list):
        return (wrap_dim(dim, ndim),)
    dims = tuple(wrap_dim(d, ndim) for d in dim)
    for d in dims:
        if dims.count(d) > 1:
            raise ShapeError(f"dim {d} appears multiple times in the list of dims {tuple(dim)}")
    return dims


def integers(given: tuple) -> tuple[int, ...]:
    """The sizes or dims of a call that may spread them out: f(2, 3) or f((2, 3)).

    >>> integers((2, 3)), integers(((2, 3),))
    ((2, 3), (2, 3))
    """
    spread_out = len(given) != 1 or not isinstance(given[0], tuple | list)
    return tuple(map(index, given if spread_out else given[0]))


def numpy_names(function: Callable) -> Callable:
    """Let a function take NumPy's `axis` and `keepdims` for `dim` and `keepdim`."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for alias, name in NUMPY_NAMES.items():
            if alias in kwargs:
                kwargs[name] = kwargs.pop(alias)
        return function(*args, **kwargs)

    return call
