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
    on_gpu: tuple[Callable[..., Any], str] | None = None,
    more: tuple[Rung, ...] = (),
    cuda: tuple[str, str] | None = None,
    refuses: Callable[..., str] | None = None,
) -> Operation:
    """An operation with its rungs; the numba one is `NAME_loop` of the module `loops`.

    on_gpu: what CuPy's arrays need instead of the plain function, and what to say about it. more:
    rungs of Numba's on a GPU. cuda is (module in fused/cuda/, about) of a CUDA C++ rung, the
    function `NAME_cuda`, and `refuses` says which arrays it does not take.
    """
    name = signature.partition("(")[0]
    apart = [] if on_gpu is None else [Rung("cupy", on_gpu[0], on_gpu[1], error, device="cuda")]
    ladder: tuple[Rung, ...] = (
        Rung("reference", reference, "the formula in float64", "defines the result"),
        Rung("numpy", plain, about[0], error, portable=on_gpu is None),
        *apart,
        Rung("numba", Lazy(f".fused.{loops}", f"{name}_loop"), about[1], error),
        *more,
    )
    if cuda is not None:
        function = Lazy(f".fused.cuda.{cuda[0]}", f"{name}_cuda", numba=False)
        single = ("float32",)
        ladder += (Rung("cuda", function, cuda[1], error, "cuda", single, refuses=refuses),)
    return Operation(name, signature, ladder, expected, sized_by)
