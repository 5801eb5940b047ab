"""From one loss for each element to the number that is asked for."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from minigen.errors import ShapeError
from minigen.ops.reduction import mean, sum

__all__: list[str] = []


def chosen(name: str, reduction: str, size_average: Any = None, reduce: Any = None) -> str:
    """`reduction`, or what the two arguments of PyTorch before 1.0 mean by it.

    Raises ShapeError for anything but "none", "mean" and "sum".

    >>> chosen("mse_loss", "sum")
    'sum'
    """
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            f"{name}: size_average and reduce are deprecated; use reduction={reduction!r}",
            stacklevel=3,
        )
    elif reduction not in ("none", "mean", "sum"):
        raise ShapeError(f"{name}: reduction must be 'none', 'mean' or 'sum', not {reduction!r}")
    return reduction


def reduced(losses: Any, reduction: str) -> Any:
    """The losses, their mean or their sum."""
    if reduction == "none":
        return losses
    return mean(losses) if reduction == "mean" else sum(losses)


def total(losses: Any, reduction: str) -> Any:
    """The same of a bare array; the mean of nothing is NaN."""
    if reduction == "none":
        return losses
    summed = np.add.reduce(losses, None)
    return summed if reduction == "sum" else summed * (1 / losses.size if losses.size else math.nan)


def share(reduction: str, *shapes: tuple) -> float:
    """What one element's loss contributes: 1/n to the mean over the broadcast shape, else 1."""
    return 1 / max(math.prod(np.broadcast_shapes(*shapes)), 1) if reduction == "mean" else 1.0


def compare_shapes(name: str, input: Any, target: Any) -> None:
    """Warn, as PyTorch does, of a loss between tensors that only broadcasting makes equal."""
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: target of shape {tuple(target.shape)} is broadcast with input of shape "
            f"{tuple(input.shape)}, which is rarely meant; give both the same shape",
            stacklevel=3,
        )
