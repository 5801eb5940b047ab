"""Losses: what a model is to make small.

Those of classification stand in `cross_entropy` and `margins`, those of distances in `distances`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.backend import log1p_array, quiet
from minigen.dtypes import promote
from minigen.errors import ShapeError
from minigen.ops.activation import logsigmoid
from minigen.ops.comparison import where
from minigen.ops.cross_entropy import cross_entropy, nll_loss
from minigen.ops.distances import (
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    margin_ranking_loss,
    pairwise_distance,
    triplet_margin_loss,
)
from minigen.ops.elementwise import clamp
from minigen.ops.functions import exp, log
from minigen.ops.loss_reduction import chosen, compare_shapes, reduced, share, total
from minigen.ops.margins import multi_margin_loss, multilabel_soft_margin_loss, soft_margin_loss
from minigen.ops.reduction import sum
from minigen.ops.shape import expand, unsqueeze
from minigen.ops.softmax import floating

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss",
    "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_soft_margin_loss", "nll_loss", "pairwise_distance", "poisson_nll_loss",
    "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
]  # fmt: skip


def _floats(operands: Sequence) -> Sequence:
    """As `promote`; at least one operand has to be floating-point."""
    operands = promote(operands)
    if operands[0].dtype.kind != "f":
        raise TypeError(f"needs floating-point tensors, not {operands[0].dtype}; use x.float()")
    return operands


# --------------------------------------------------------------------- differences to a target


def _weighted(name: str, losses: Any, input: Any, weight: Any, reduction: str, over: bool) -> Any:
    """Losses times weight; the mean is over the weights if `over` says so, else over elements."""
    if tuple(weight.shape) != tuple(input.shape):
        raise ShapeError(
            f"{name}: weight must have the shape of input, {tuple(input.shape)}, got "
            f"{tuple(weight.shape)}"
        )
    losses = losses * weight
    if reduction == "mean" and over:
        return sum(losses) / sum(weight)
    return reduced(losses, reduction)


@differentiable(promote=_floats)
def _mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    difference = input - target
    if reduction == "none":
        return difference * difference
    flat = difference.reshape(-1)
    squares = np.dot(flat, flat)
    if reduction == "sum":
        return squares
    return squares * (1 / flat.size if flat.size else math.nan)


def _mse_gradient(g: Any, input: Any, target: Any, reduction: str) -> Any:
    return g * (2 * share(reduction, input.shape, target.shape)) * (input - target)


_mse_loss.gradients(
    input=_mse_gradient,
    target=lambda g, input, target, reduction: _mse_gradient(g, target, input, reduction),
)


def mse_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """(x - y)², averaged over all elements.

    reduction "none" or "sum"; weight, of the shape of input, makes it a weighted mean.  Warns where
    the shapes differ and broadcast.

    >>> import minigen
    >>> mse_loss(minigen.tensor([1.0, 2.0]), minigen.tensor([0.0, 0.0]))
    tensor(2.5000)
    """
    reduction = chosen("mse_loss", reduction, size_average, reduce)
    compare_shapes("mse_loss", input, target)
    if weight is None:
        return _mse_loss(input, target, reduction)
    losses = _mse_loss(input, target, "none")
    return _weighted("mse_loss", losses, input, weight, reduction, over=True)


def l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """|x - y|, averaged over all elements.  Arguments as in `mse_loss`.

    >>> import minigen
    >>> l1_loss(minigen.tensor([1.0, 2.0]), minigen.tensor([0.0, 0.0]))
    tensor(1.5000)
    """
    reduction = chosen("l1_loss", reduction, size_average, reduce)
    compare_shapes("l1_loss", input, target)
    losses = abs(input - target)
    if weight is None:
        return reduced(losses, reduction)
    return _weighted("l1_loss", losses, input, weight, reduction, over=True)


@differentiable(promote=floating)
def _huber(difference: Any, delta: float) -> Any:
    """d²/2 where |d| <= delta, else delta (|d| - delta/2): c (|d| - c/2), c = min(|d|, delta)."""
    size = np.abs(difference)
    capped = np.minimum(size, delta)
    return capped * (size - capped / 2)


_huber.gradients(difference=lambda g, difference, delta: g * clamp(difference, -delta, delta))


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """(x - y)²/2 up to |x - y| = delta, from there on delta (|x - y| - delta/2).

    Arguments as in `mse_loss`, but a weighted mean is over the elements.
    Source: Huber, Robust Estimation of a Location Parameter, Ann. Math. Statist. 35 (1964).

    >>> import minigen
    >>> huber_loss(minigen.tensor([0.5, 3.0]), minigen.tensor([0.0, 0.0]), reduction="none")
    tensor([0.1250, 2.5000])
    """
    reduction = chosen("huber_loss", reduction)
    if delta <= 0:
        raise ShapeError(f"huber_loss: delta must be positive, got {delta}")
    compare_shapes("huber_loss", input, target)
    losses = _huber(input - target, delta)
    if weight is None:
        return reduced(losses, reduction)
    return _weighted("huber_loss", losses, input, weight, reduction, over=False)


def smooth_l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    beta: float = 1.0,
) -> Any:  # fmt: skip
    """huber_loss with delta = beta, divided by beta: the absolute difference, round at 0.

    Source: Girshick 2015, arXiv:1504.08083, equation 3.

    >>> import minigen
    >>> smooth_l1_loss(minigen.tensor([0.5, 3.0]), minigen.tensor([0.0, 0.0]), reduction="none")
    tensor([0.1250, 2.5000])
    """
    reduction = chosen("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise ShapeError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    compare_shapes("smooth_l1_loss", input, target)
    difference = input - target
    return reduced(_huber(difference, beta) / beta if beta else abs(difference), reduction)


# ----------------------------------------------------------------------- binary cross-entropy


@differentiable(promote=_floats, saves=("decay",))
def _bce_with_logits(input: Any, target: Any, reduction: str = "mean") -> Any:
    """max(x, 0) - x y + log(1 + exp(-|x|)): exp never overflows."""
    if backend.large(input) and target.shape == input.shape:
        losses = backend.kernel("binary_cross_entropy", input, target)
        return total(losses, reduction), None
    decay = np.empty_like(input)
    np.abs(input, out=decay)
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    losses = np.empty_like(input)
    np.maximum(input, 0, out=losses)
    losses -= input * target
    losses += log1p_array(decay)  # last, lest a small one is rounded away
    return total(losses, reduction), decay


def _bce_gradient_of_logits(g: Any, input: Any, target: Any, reduction: str, decay: Any) -> Any:
    """dx = sigmoid(x) - y, where sigmoid(x) is 1 / (1 + decay), below 0 decay / (1 + decay)."""
    g = g * share(reduction, input.shape)
    if decay is None:
        cotangent = backend.as_array(g).astype(input.dtype, copy=False)
        return backend.kernel("binary_cross_entropy_backward", cotangent, input, target)
    dx = np.maximum(decay, (input > 0).astype(decay.dtype))
    dx /= decay + 1
    dx -= target
    dx *= g
    return dx


_bce_with_logits.gradients(
    input=_bce_gradient_of_logits,
    target=lambda g, input, reduction: -input * (g * share(reduction, input.shape)),
)


@_bce_with_logits.formula
def _(input: Any, target: Any, reduction: str) -> Any:
    return reduced((1 - target) * input - logsigmoid(input), reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Any:  # fmt: skip
    """-y log sigmoid(x) - (1 - y) log(1 - sigmoid(x)), averaged; no overflow for any x.

    input, target: of one shape, target in [0, 1].  weight multiplies the loss, pos_weight its first
    term; both broadcast.  Raises ShapeError if the shapes differ.

    >>> import minigen
    >>> y = minigen.tensor([1.0, 0.0])
    >>> binary_cross_entropy_with_logits(minigen.tensor([0.0, -200.0]), y)
    tensor(0.3466)
    """
    name = "binary_cross_entropy_with_logits"
    reduction = chosen(name, reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ShapeError(
            f"{name}: target of shape {tuple(target.shape)} must have the shape of input, "
            f"{tuple(input.shape)}"
        )
    for given, tensor in (("input", input), ("target", target)):
        if tensor.array.dtype.kind != "f":
            raise TypeError(f"{name}: {given} must be floating-point, not {tensor.dtype}")
    if weight is None and pos_weight is None:
        return _bce_with_logits(input, target, reduction)
    if pos_weight is None:
        losses = _bce_with_logits(input, target, "none")
    else:
        losses = (1 - target) * input - (1 + (pos_weight - 1) * target) * logsigmoid(input)
    return reduced(losses if weight is None else losses * weight, reduction)


def _check_probability(what: str, values: Any) -> None:
    if backend.on_gpu(values):
        return  # to look at the numbers is to wait for the GPU: `_bce` marks the losses
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        name = "binary_cross_entropy"
        raise ShapeError(
            f"{name}: all elements of {what} must be between 0 and 1, got {values.min()} to "
            f"{values.max()}; use sigmoid, or {name}_with_logits"
        )


@differentiable(promote=_floats)
def _bce(input: Any, target: Any, reduction: str = "mean") -> Any:
    _check_probability("input", input)
    _check_probability("target", target)
    with quiet():
        of_one = np.maximum(np.log(input), -100)
        of_one *= target
        of_zero = np.fmax(log1p_array(-input), -100)  # fmax: it is NaN at x = 1
        losses = (target - 1) * of_zero
        losses -= of_one
    if backend.on_gpu(losses):
        outside = (input < 0) | (input > 1) | (target < 0) | (target > 1)
        losses = np.where(outside, losses.dtype.type(np.nan), losses)
    return total(losses, reduction)


def _bce_gradient(g: Any, input: Any, target: Any, reduction: str) -> Any:
    slope = (input - target) / clamp((1 - input) * input, 1e-12)
    return slope * (g * share(reduction, input.shape))


def _bce_target_gradient(g: Any, input: Any, reduction: str) -> Any:
    slope = clamp(log(1 - input), -100) - clamp(log(input), -100)
    return slope * (g * share(reduction, input.shape))


_bce.gradients(input=_bce_gradient, target=_bce_target_gradient)


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """-y log x - (1 - y) log(1 - x) for probabilities x, logarithms not below -100.

    input, target: any one shape, elements in [0, 1]; weight broadcasts.  Raises ShapeError if the
    shapes differ or an element is no probability.  With logits at hand, the loss that takes them is
    the more accurate.

    >>> import minigen
    >>> binary_cross_entropy(minigen.tensor([0.5, 0.0]), minigen.tensor([1.0, 1.0]))
    tensor(50.3466)
    """
    name = "binary_cross_entropy"
    reduction = chosen(name, reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ShapeError(
            f"{name}: target of shape {tuple(target.shape)} must have the shape of input, "
            f"{tuple(input.shape)}"
        )
    if target.dtype != input.dtype:
        raise TypeError(f"{name}: target is {target.dtype}, but input is {input.dtype}")
    if weight is None:
        return _bce(input, target, reduction)
    return reduced(_bce(input, target, "none") * expand(weight, tuple(input.shape)), reduction)


# ------------------------------------------------------------------------- of distributions


@differentiable
def _times_log(p: Any) -> Any:
    """p log p, and 0 at p = 0."""
    with quiet():
        return np.where(p == 0, p.dtype.type(0), p * np.log(p))


_times_log.gradients(p=lambda g, p: g * (log(p) + 1))


def kl_div(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    log_target: bool = False,
) -> Any:  # fmt: skip
    """p (log p - x) for log-probabilities x and probabilities p: KL(p ‖ exp(x)), term by term.

    log_target: target holds log p.  reduction "batchmean" divides the sum by the first dimension,
    which is the mean divergence of the rows; "mean" divides by all elements, and warns.

    >>> import minigen
    >>> x, p = minigen.tensor([[0.5, 0.5]]).log(), minigen.tensor([[1.0, 0.0]])
    >>> kl_div(x, p, reduction="batchmean")
    tensor(0.6931)
    """
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "kl_div: reduction 'mean' divides by all elements; the divergence as it is defined is "
            "reduction='batchmean'",
            stacklevel=2,
        )
    by_row = reduction == "batchmean"
    reduction = chosen("kl_div", "sum" if by_row else reduction, size_average, reduce)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        losses = _times_log(target) - target * input
    divergence = reduced(losses, reduction)
    return divergence / input.shape[0] if by_row and input.ndim else divergence


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """(log v + (x - y)² / v) / 2, v = max(var, eps): how unlikely y is under Normal(x, v).

    var: of the shape of input, or without its last dimension, or with one dimension of size 1, or a
    number.  full adds the constant log(2π)/2.  The gradient passes by the lower bound eps.
    Source: Nix & Weigend, ICNN 1994.

    >>> import minigen
    >>> x, y = minigen.tensor([0.0, 1.0]), minigen.tensor([0.0, 3.0])
    >>> gaussian_nll_loss(x, y, minigen.tensor([1.0, 1.0]))
    tensor(1.)
    """
    reduction = chosen("gaussian_nll_loss", reduction)
    if isinstance(var, int | float):
        var = input.detach() * 0 + var
    if (var.array < 0).any():
        raise ShapeError("gaussian_nll_loss: var has a negative entry")
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = unsqueeze(var, -1)
        elif var.ndim != input.ndim or [
            v for n, v in zip(input.shape, var.shape) if n != v
        ] != [1]:  # fmt: skip
            raise ShapeError(
                f"gaussian_nll_loss: var of shape {tuple(var.shape)} does not fit input of shape "
                f"{tuple(input.shape)}"
            )
    var = var + (clamp(var, eps) - var).detach()
    losses = 0.5 * (log(var) + (input - target) ** 2 / var)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, size_average: Any = None,
    eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """λ - y log λ: how unlikely the count y is under Poisson(λ), but for log y!.

    input: log λ, or λ itself with log_input=False (its logarithm is that of λ + eps).  full adds
    Stirling's approximation of log y!, y log y - y + log(2πy)/2, where y > 1.

    >>> import minigen
    >>> poisson_nll_loss(minigen.tensor([0.0]), minigen.tensor([3.0]))
    tensor(1.)
    """
    reduction = chosen("poisson_nll_loss", reduction, size_average, reduce)
    if log_input:
        losses = exp(input) - target * input
    else:
        losses = input - target * log(input + eps)
    if full:
        large = where(target > 1, target, 1.0)
        stirling = large * log(large) - large + 0.5 * log(large * (2 * math.pi))
        losses = losses + where(target > 1, stirling, 0.0)
    return reduced(losses, reduction)
