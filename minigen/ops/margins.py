"""Losses of scores that ask for a margin: of the right class over the others, of a sign."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import Variable
from minigen.errors import ShapeError, describe
from minigen.ops.activation import logsigmoid
from minigen.ops.indexing import check_range, take
from minigen.ops.loss_reduction import chosen, reduced
from minigen.ops.masking import fill_where
from minigen.ops.rectifiers import relu
from minigen.ops.reduction import mean, sum
from minigen.ops.scatter import gather
from minigen.ops.shape import unsqueeze

__all__ = ["multi_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss"]


def _floating(name: str, input: Any) -> None:
    if input.array.dtype.kind != "f":
        raise TypeError(f"{name}: needs floating-point scores, got {describe(input)}")


def soft_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """log(1 + exp(-y x)) for scores x and signs y, 1 or -1; without overflow for any x.

    >>> import minigen
    >>> soft_margin_loss(minigen.tensor([-100.0]), minigen.tensor([1.0]))
    tensor(100.)
    """
    reduction = chosen("soft_margin_loss", reduction, size_average, reduce)
    _floating("soft_margin_loss", input)
    return reduced(-logsigmoid(input * target), reduction)


def _check_classes(name: str, input: Any, target: Any, weight: Any) -> None:
    """Raise unless input is (N, C) or (C), the target (N) classes or one, the weight (C)."""
    _floating(name, input)
    shape = tuple(input.shape)
    if len(shape) > 2 or 0 in shape[-1:]:
        raise ShapeError(f"{name}: input must be (N, C) or (C), C > 0; got {describe(input)}")
    count = shape[0] if len(shape) == 2 else 1
    if target.ndim > 1 or target.numel() != count or (len(shape) == 2 and target.ndim != 1):
        raise ShapeError(
            f"{name}: target must hold one class for each of {count} inputs of shape {shape}, got "
            f"{describe(target)}"
        )
    if target.array.dtype != np.int64:
        raise TypeError(f"{name}: target must hold classes as int64, got {describe(target)}")
    classes = shape[-1] if shape else 1
    check_range(name, target.array, classes, 0)
    if isinstance(weight, Variable) and tuple(weight.array.shape) != (classes,):
        raise ShapeError(f"{name}: weight must be ({classes},), got {describe(weight)}")


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
    size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """w_y Σ_{i != y} max(0, margin - x_y + x_i)ᵖ / C: the right class y is to win by the margin.

    input: scores (N, C) or (C); target: classes (N), int64, or one.  p: 1 or 2.  weight: (C).
    Returns a number, with reduction "none" (N), or () for one input.
    Source: Crammer & Singer 2001, JMLR 2.

    >>> import minigen
    >>> multi_margin_loss(minigen.tensor([[1.0, 0.5, 0.25]]), minigen.tensor([0]))
    tensor(0.2500)
    """
    name = "multi_margin_loss"
    reduction = chosen(name, reduction, size_average, reduce)
    if p not in (1, 2):
        raise ShapeError(f"{name}: p must be 1 or 2, got {p}")
    _check_classes(name, input, target, weight)
    alone = target.ndim == 0
    scores = input.reshape(target.numel(), -1) if target.numel() else input
    classes = target.reshape(-1)
    column = unsqueeze(classes, 1)
    excess = relu(scores - gather(scores, 1, column) + margin)
    excess = excess if p == 1 else excess * excess
    if weight is not None:
        excess = excess * unsqueeze(take(weight, 0, classes), 1)
    own = np.arange(scores.shape[1], like=column.array) == column.array
    losses = mean(fill_where(excess, own, 0), 1)
    return reduced(losses.reshape(()) if alone else losses, reduction)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """-y log σ(x) - (1 - y) log(1 - σ(x)), times the weight, averaged over the last dimension.

    input: scores (..., C); target: 0 or 1, weight: both broadcast against it.  Returns a number,
    with reduction "none" (...).

    >>> import minigen
    >>> scores, labels = minigen.tensor([[0.0, 0.0]]), minigen.tensor([[1.0, 0.0]])
    >>> multilabel_soft_margin_loss(scores, labels)
    tensor(0.6931)
    """
    reduction = chosen("multilabel_soft_margin_loss", reduction, size_average, reduce)
    _floating("multilabel_soft_margin_loss", input)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    if not losses.ndim:
        raise IndexError("multilabel_soft_margin_loss: a bare number has no dimension of classes")
    return reduced(sum(losses, -1) / losses.shape[-1], reduction)
