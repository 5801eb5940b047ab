"""What `inplace=True` means for a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigen.ops.inplace import in_place


def apply(function: Callable, input: Any, inplace: bool, *args: Any) -> Any:
    """`function(input, *args)`; if `inplace`, the result also replaces the values of `input`.

    As in PyTorch nothing is lost: the history of `input` becomes that of the result.  Unlike there
    nothing is gained either, since the result is computed beside it first.
    """
    return in_place(function)(input, *args) if inplace else function(input, *args)
