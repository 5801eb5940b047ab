"""The losses of classification: `cross_entropy` of logits, `nll_loss` of log-probabilities.

The classes are dimension 1 of an input (N, C) or (N, C, d1, ...), or the only one of an input (C,).
Inside they come last: a matrix of (rows, classes), a row for each target.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.errors import ShapeError
from minigen.ops.indexing import marked
from minigen.ops.loss_reduction import chosen, reduced
from minigen.ops.reduction import sum
from minigen.ops.shape import reshape, unsqueeze
from minigen.ops.softmax import floating, log_softmax

__all__ = ["cross_entropy", "nll_loss"]


def _class_dim(shape: tuple) -> int:
    return 1 if len(shape) > 1 else 0


def _check(name: str, input: Any, target: Any, weight: Any) -> None:
    """Raise ShapeError or TypeError unless these are class indices that fit the input."""
    if target.array.dtype not in (np.int64, np.uint8):
        raise TypeError(f"{name}: class indices must be int64 or uint8, not {target.dtype}")
    dim, shape = _class_dim(input.shape), tuple(input.shape)
    if not shape or tuple(target.shape) != shape[:dim] + shape[dim + 1 :]:
        raise ShapeError(
            f"{name}: input of shape {shape}, with the classes in dimension {dim}, needs target of "
            f"shape {shape[:dim] + shape[dim + 1 :]}, got {tuple(target.shape)}"
        )
    if weight is not None:
        _check_weight(name, input, weight, shape[dim])


def _check_weight(name: str, input: Any, weight: Any, classes: int) -> None:
    if tuple(weight.shape) != (classes,):
        raise ShapeError(
            f"{name}: weight must have shape ({classes},), one for each class, got "
            f"{tuple(weight.shape)}"
        )
    if weight.dtype != input.dtype:
        raise TypeError(f"{name}: weight is {weight.dtype}, but input is {input.dtype}")
    if weight.requires_grad:
        raise ShapeError(f"{name}: offers no gradient for weight; use weight.detach()")


# --------------------------------------------------------------------- rows, and what they count


def _to_rows(array: Any) -> Any:
    """(N, C, d1, ...) as (N * d1 * ..., C)."""
    classes = array.shape[_class_dim(array.shape)]
    if array.ndim > 2:
        array = np.moveaxis(array, 1, -1)
    return array.reshape(math.prod(array.shape[:-1]), classes)


def _from_rows(rows: Any, shape: tuple) -> Any:
    """The inverse of `_to_rows`."""
    if len(shape) <= 2:
        return rows.reshape(shape)
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _read_targets(target: Any, classes: int, ignore_index: int) -> tuple[Any, Any]:
    """The class of each row, 0 where it is ignored, and which rows are (None: none of them).

    Raises IndexError for what is no class; on a GPU, which it would have to wait for, the loss of
    such a row becomes NaN.
    """
    index = target.reshape(-1).astype(np.int64, copy=False)
    if not index.size:
        return index, None
    if backend.on_gpu(index):
        ignored = index == ignore_index
        return np.where(ignored, 0, index), ignored
    inside = index.min() >= 0 and index.max() < classes
    if inside and not 0 <= ignore_index < classes:
        return index, None
    ignored = index == ignore_index
    index = np.where(ignored, 0, index)
    if not inside:
        wrong = ((index < 0) | (index >= classes)) & ~ignored
        if wrong.any():
            row = int(wrong.argmax())
            raise IndexError(
                f"target {int(index[row])} at position {row} is not a class in [0, {classes}), nor "
                f"ignore_index ({ignore_index})"
            )
    return index, ignored


def _row_counts(index: Any, ignored: Any, weight: Any, dtype: Any) -> Any:
    """What the loss of a row is multiplied by: the weight of its class, 0 where it is ignored."""
    counts = np.ones_like(index, dtype) if weight is None else weight[index]
    if ignored is not None:
        np.copyto(counts, 0, where=ignored)
    return counts


def _slopes(counts: Any, ignored: Any, reduction: str) -> Any:
    """The derivative of the result with respect to the loss of each row."""
    if reduction != "mean":
        return counts
    slopes = counts / counts.sum()
    if ignored is not None:
        np.copyto(slopes, 0, where=ignored)  # also where all are
    return slopes


def _combined(losses: Any, ignored: Any, counts: Any, reduction: str, shape: tuple) -> Any:
    losses = losses * counts
    if ignored is not None:
        np.copyto(losses, 0, where=ignored)  # even where the loss was NaN
    if reduction == "none":
        return losses.reshape(shape)
    return losses.sum() / counts.sum() if reduction == "mean" else losses.sum()


# ---------------------------------------------------------------------------- cross_entropy


def cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """log Σⱼ exp(xⱼ) - x_target for logits x (N, C), (N, C, d1, ...) or (C,).

    target: class indices in int64 of the shape of input without C; or probabilities of the shape of
    input, for -Σⱼ pⱼ log softmax(x)ⱼ.  weight (C,) multiplies the loss of a class, and the mean is
    then over the weights.  Indices equal to ignore_index do not count.  label_smoothing mixes that
    share of the uniform distribution into the target (Szegedy et al. 2016, arXiv:1512.00567,
    section 7).  Plain class indices run through the kernel `cross_entropy`.

    Raises IndexError for an index that is no class (on a GPU the loss is NaN instead),
    ShapeError or TypeError for what does not fit.

    >>> import minigen
    >>> cross_entropy(minigen.tensor([[0.0, 0.0], [0.0, 9.0]]), minigen.tensor([0, 1]))
    tensor(0.3466)
    """
    reduction = chosen("cross_entropy", reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise ShapeError(
            f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}"
        )
    if target.shape == input.shape:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    _check("cross_entropy", input, target, weight)
    if label_smoothing:
        return _smoothed(input, target, weight, ignore_index, reduction, label_smoothing)
    return _cross_entropy(input, target, weight, ignore_index, reduction)


@differentiable(promote=floating, saves=("index", "slopes", "logsumexp"))
def _cross_entropy(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    rows = _to_rows(input)
    index, ignored = _read_targets(target, rows.shape[1], ignore_index)
    with backend.quiet():
        counts = _row_counts(index, ignored, weight, rows.dtype)
        if index.size:
            losses, logsumexp = backend.kernel("cross_entropy", rows, index)
        else:
            losses = logsumexp = counts
        output = _combined(losses, ignored, counts, reduction, target.shape)
        return output, index, _slopes(counts, ignored, reduction), logsumexp


@_cross_entropy.joint_gradient("input")
def _(g: Any, input: Any, index: Any, slopes: Any, logsumexp: Any) -> Any:
    """(softmax(x) - onehot(target)) times the slope of the row."""
    if not index.size:
        return backend.zeros_like(input)
    rows, cotangent = _to_rows(input), slopes * g.reshape(-1)
    dx = backend.kernel("cross_entropy_backward", cotangent, rows, index, logsumexp)
    return _from_rows(dx, input.shape)


@_cross_entropy.formula
def _(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    logits = log_softmax(input, _class_dim(input.shape))
    return _nll_loss(logits, target, weight, ignore_index, reduction)


def _of_probabilities(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    dim = _class_dim(input.shape)
    if target.array.dtype.kind != "f" or input.ndim == 0:
        raise TypeError(
            "cross_entropy: a target of the shape of input holds probabilities, so it must be "
            f"floating-point and have a dimension of classes; got {target.dtype}, shape "
            f"{tuple(target.shape)}"
        )
    if ignore_index >= 0:
        raise ShapeError("cross_entropy: probabilities as target leave no ignore_index to ignore")
    if smoothing:
        target = target * (1 - smoothing) + smoothing / input.shape[dim]
    terms = log_softmax(input, dim) * target
    if weight is not None:
        _check_weight("cross_entropy", input, weight, input.shape[dim])
        terms = terms * reshape(weight, (-1,) + (1,) * (input.ndim - dim - 1))
    return reduced(-sum(terms, dim), reduction)


def _smoothed(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    """(1 - ε) times the loss of the target plus ε/C times the weighted losses of all classes."""
    dim = _class_dim(input.shape)
    classes = input.shape[dim]
    logits = log_softmax(input, dim)
    of_target = _nll_loss(logits, target, weight, ignore_index, reduction)
    if weight is not None:
        logits = logits * reshape(weight, (-1,) + (1,) * (input.ndim - dim - 1))
    of_all = _uniform(-sum(logits, dim), target, weight, ignore_index, reduction)
    return of_target * (1 - smoothing) + of_all * (smoothing / classes)


@differentiable
def _uniform_counts(
    losses: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> Any:
    """1 for rows that count, 0 for ignored ones; for a mean divided by the sum of the weights."""
    classes = np.iinfo(np.int64).max if weight is None else weight.shape[0]
    index, ignored = _read_targets(target, classes, ignore_index)
    counts = _row_counts(index, ignored, None, losses.dtype)
    if reduction == "mean":
        with backend.quiet():
            counts /= _row_counts(index, ignored, weight, losses.dtype).sum()
    return counts.reshape(losses.shape)


def _uniform(losses: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    losses = losses * _uniform_counts(losses, target, weight, ignore_index, reduction)
    return losses if reduction == "none" else sum(losses)


# --------------------------------------------------------------------------------- nll_loss


def nll_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """-x_target for log-probabilities x, as `log_softmax` gives them: the negative log-likelihood.

    Shapes, weight, ignore_index and errors as in `cross_entropy` with class indices.

    >>> import minigen
    >>> nll_loss(minigen.tensor([[-0.5, -0.9], [-2.0, -0.1]]), minigen.tensor([0, 1]))
    tensor(0.3000)
    """
    reduction = chosen("nll_loss", reduction, size_average, reduce)
    _check("nll_loss", input, target, weight)
    return _nll_loss(input, target, weight, ignore_index, reduction)


@differentiable(promote=floating)
def _nll_loss(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    rows = _to_rows(input)
    index, ignored = _read_targets(target, rows.shape[1], ignore_index)
    with backend.quiet():
        counts = _row_counts(index, ignored, weight, rows.dtype)
        losses = counts
        if index.size:
            chosen_ones = -rows[np.arange(len(index), like=index), index]
            losses = marked(chosen_ones, index, rows.shape[1])
        return _combined(losses, ignored, counts, reduction, target.shape)


@differentiable
def _nll_slopes(
    g: Any, shape: tuple, target: Any, weight: Any, ignore_index: int, reduction: str
) -> Any:
    """The derivative of the loss with respect to each element of the input: constant."""
    classes = shape[_class_dim(shape)]
    index, ignored = _read_targets(target, classes, ignore_index)
    rows = backend.array_module(g).zeros((len(index), classes), g.dtype)
    counts = _row_counts(index, ignored, weight, g.dtype)
    with backend.quiet():
        rows[np.arange(len(index), like=index), index] = -_slopes(counts, ignored, reduction)
    return _from_rows(rows, shape)


def _nll_gradient(
    g: Any, input_shape: tuple, target: Any, weight: Any, ignore_index: int, reduction: str
) -> Any:
    slopes = _nll_slopes(g, input_shape, target, weight, ignore_index, reduction)
    return slopes * (unsqueeze(g, _class_dim(input_shape)) if reduction == "none" else g)


_nll_loss.gradients(input=_nll_gradient)
