"""What the ladders of the fused operations have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..jit import Lazy
from ..ladder import Expected, Operation, Rung

Array = Any


def like_first(x: Array, *_: Any, **__: Any) -> Expected:
    """One result like the first argument."""
    return ((x.shape, x.dtype),)


def like_second(_: Array, x: Array, *__: Any, **___: Any) -> Expected:
    """One result like the second argument."""
    return ((x.shape, x.dtype),)


def in_place(*_: Any, **__: Any) -> Expected:
    """Nothing is returned."""
    return ()


def fused(
    signature: str,
    reference: Callable[..., Any],
    plain: Callable[..., Any],
    loops: str,
    about: tuple[str, str],
    error: str,
    expected: Callable[..., Expected] = like_first,
    sized_by: int = 0,
    more: tuple[Rung, ...] = (),
) -> Operation:
    """An operation with three rungs, and those of the GPU; the numba one is `NAME_loop` of the
    module `loops`."""
    name = signature.partition("(")[0]
    ladder = (
        Rung("reference", reference, "the formula in float64", "defines the result"),
        Rung("numpy", plain, about[0], error),
        Rung("numba", Lazy(f".fused.{loops}", f"{name}_loop"), about[1], error),
        *more,
    )
    return Operation(name, signature, ladder, expected, sized_by)
