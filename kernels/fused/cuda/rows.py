"""softmax, cross-entropy and normalisation of rows: what is allocated, and which kernel runs."""

from __future__ import annotations

from typing import Any

from ...cuda.launch import empty
from . import launching
from .launching import ceil_div, on_columns, on_rows, ready

Array = Any


def _launch(stem: str, name: str, shape: tuple[int, ...], *arguments: Any) -> None:
    """The kernel that fits the rows' width, on one team a row."""
    rows, columns = shape
    warps, vector = launching.shape_of_team(columns)
    blocks = ceil_div(rows, launching.rows_a_block(warps))
    on_rows(stem, name, warps, vector)((blocks,), *arguments, rows, columns)


def _by_rows(name: str, *inputs: Array) -> Array:
    arrays = [ready(a) for a in inputs]
    result = empty(arrays[0], arrays[0].shape)
    _launch("softmax", name, result.shape, *arrays, result)
    return result


def softmax_cuda(x: Array) -> Array:
    """exp(xᵢ) / Σⱼ exp(xⱼ) of every row: see `softmax_reference`."""
    return _by_rows("softmax", x)


def softmax_backward_cuda(grad: Array, y: Array) -> Array:
    """yᵢ (gradᵢ - Σⱼ gradⱼ yⱼ) of every row."""
    return _by_rows("softmax_backward", grad, y)


def log_softmax_cuda(x: Array) -> Array:
    """xᵢ - log Σⱼ exp(xⱼ) of every row: see `log_softmax_reference`."""
    return _by_rows("log_softmax", x)


def log_softmax_backward_cuda(grad: Array, y: Array) -> Array:
    """gradᵢ - exp(yᵢ) Σⱼ gradⱼ of every row."""
    return _by_rows("log_softmax_backward", grad, y)


# ------------------------------------------------------------------------------ cross-entropy


def _check_targets(logits: Array, target: Array) -> None:
    if target.shape != logits.shape[:1]:
        raise ValueError(
            f"cross_entropy: target has shape {target.shape}, expected ({len(logits)},)"
        )


def cross_entropy_cuda(logits: Array, target: Array) -> tuple[Array, Array]:
    """losses and logsumexp of every row: see `cross_entropy_reference`.

    The loss of a target that is no class is NaN.
    """
    _check_targets(logits, target)
    rows = (len(logits),)
    losses, logsumexp = empty(logits, rows), empty(logits, rows)
    arrays = (ready(logits), ready(target), losses, logsumexp)
    _launch("cross_entropy", "cross_entropy", logits.shape, *arrays)
    return losses, logsumexp


def cross_entropy_backward_cuda(
    grad: Array, logits: Array, target: Array, logsumexp: Array
) -> Array:
    """grad times (softmax(logits) - onehot(target)): see `cross_entropy_backward_reference`.

    The gradient of a row whose target is no class is NaN.
    """
    _check_targets(logits, target)
    dlogits = empty(logits, logits.shape)
    arrays = [ready(a) for a in (grad, logits, target, logsumexp)]
    _launch("cross_entropy", "cross_entropy_backward", logits.shape, *arrays, dlogits)
    return dlogits


# ------------------------------------------------------------------------------ normalisation


def _or_none(parameter: Array | None) -> Array | None:
    return None if parameter is None else ready(parameter)


def layer_norm_cuda(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """y, mean, rstd of layer normalisation over the last axis: see `layer_norm_reference`."""
    rows = x.shape[:1]
    y, mean, rstd = empty(x, x.shape), empty(x, rows), empty(x, rows)
    inputs = (ready(x), _or_none(weight), _or_none(bias))
    _launch("layer_norm", "layer_norm", x.shape, *inputs, y, mean, rstd, eps)
    return y, mean, rstd


def rms_norm_cuda(x: Array, weight: Array | None, eps: float) -> tuple[Array, Array]:
    """y, rrms of RMS normalisation over the last axis: see `rms_norm_reference`."""
    y, rrms = empty(x, x.shape), empty(x, x.shape[:1])
    _launch("layer_norm", "rms_norm", x.shape, ready(x), _or_none(weight), y, rrms, eps)
    return y, rrms


def _normalize_backward(
    name: str, sums: int, grad: Array, x: Array, weight: Array | None, *statistics: Array
) -> list[Array]:
    """dx, and one or two sums over rows: two launches, see layer_norm.cu."""
    rows, columns = x.shape
    warps, vector = launching.shape_of_team(columns)
    teams = launching.rows_a_block(warps)
    blocks = min(ceil_div(rows, teams), launching.WALKERS)
    width = sums * columns
    kernel = on_rows("layer_norm", name, warps, vector, shared=4 * teams * width)
    dx, partial = empty(x, x.shape), empty(x, (blocks, width))
    inputs = (ready(grad), ready(x), _or_none(weight), *map(ready, statistics))
    kernel((blocks,), *inputs, dx, partial, rows, columns)
    return [dx, *summed_over_rows(partial, sums)]


def summed_over_rows(x: Array, parts: int = 1) -> list[Array]:
    """(r, parts c) -> one or two (c,), in one order; of at most some thousand rows, as each column
    has one block."""
    rows, width = x.shape
    totals = [empty(x, (width // parts,)) for _ in range(parts)]
    places = totals if parts == 2 else [*totals, None]
    grid = (ceil_div(width, 32),)
    on_columns("sum_partial")(grid, x, *places, rows, width // parts, width)
    return totals


def layer_norm_backward_cuda(
    grad: Array, x: Array, weight: Array | None, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias: see `layer_norm_backward_reference`; at most 28,928 columns, whose sums
    the shared memory of a block holds."""
    dx, dw, db = _normalize_backward("layer_norm_backward", 2, grad, x, weight, mean, rstd)
    return dx, dw, db


def rms_norm_backward_cuda(
    grad: Array, x: Array, weight: Array | None, rrms: Array
) -> tuple[Array, Array]:
    """dx, dweight: see `rms_norm_backward_reference`; at most 57,856 columns."""
    dx, dw = _normalize_backward("rms_norm_backward", 1, grad, x, weight, rrms)
    return dx, dw
