"""Batching rules of products, indices, convolutions, pooling, embeddings and losses.

Importing this module completes the table of `minigen.transforms.batch_rules`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import Variable
from minigen.errors import ShapeError, describe
from minigen.ops.comparison import where
from minigen.ops.creation import ones_like, zeros_like
from minigen.ops.indexing import pick, take
from minigen.ops.loss_reduction import reduced
from minigen.ops.ranges import arange
from minigen.ops.reduction import sum
from minigen.ops.scatter import gather
from minigen.ops.shape import adjoint, movedim, reshape, squeeze, transpose, unsqueeze
from minigen.transforms.batch_rules import RULES, aligned, broadcasting, ndim, own
from minigen.transforms.tracing import IN_PLACE

# -------------------------------------------------------------------------------------- products


def product(trace: Any, function: Any, args: tuple) -> Any:
    a, b = args
    if not (ndim(a) and ndim(b)):
        raise ShapeError("matmul: both factors need at least 1 dimension; use * for numbers")
    if trace.holds(a) and not trace.holds(b) and ndim(b) <= 2:
        return trace.wrap(function(a.components[0], b))  # rows of all examples times one matrix
    row, column = ndim(a) == 1, ndim(b) == 1
    a = unsqueeze(a, 0) if row else a
    b = unsqueeze(b, 1) if column else b
    dims = max(ndim(a), ndim(b))
    c = trace.wrap(function(aligned(trace, a, dims), aligned(trace, b, dims)))
    c = squeeze(c, -1) if column else c
    return squeeze(c, -1 if column else -2) if row else c


def affine(trace: Any, function: Any, args: tuple) -> Any:
    input, weight, bias = args
    if not (trace.holds(weight) or trace.holds(bias)) and ndim(input):
        return trace.wrap(function(input.components[0], weight, bias))
    output = input @ (adjoint(weight) if ndim(weight) > 1 else weight)
    return output if bias is None else output + bias


# --------------------------------------------------------------------------------------- indices


def region(trace: Any, function: Any, args: tuple) -> Any:
    input, index = args
    return trace.wrap(function(input.components[0], (slice(None), *index)))


def slices(trace: Any, function: Any, args: tuple) -> Any:
    """take(input, dim, index), where the index may differ, or the input, or both."""
    input, dim, index = args
    dims = index.array.ndim if isinstance(index, Variable) else index.ndim
    if not trace.holds(index):
        return trace.wrap(function(input.components[0], dim + 1, index))
    if not trace.holds(input):
        found = function(input, dim, index.components[0])
        return trace.wrap(movedim(found, dim, 0))
    batch, places = movedim(input.components[0], dim + 1, 1), index.components[0]
    size, count, *rest = batch.array.shape
    places = where(places < 0, places + count, places)
    if places.array.size and (places.array.min() < 0 or places.array.max() >= count):
        raise IndexError(f"getitem: an index is out of bounds for dimension {dim}, of size {count}")
    first = reshape(arange(size, device=batch.device) * count, (size, *(1,) * dims))
    found = function(reshape(batch, (size * count, *rest)), 0, places + first)
    ahead = tuple(range(1 + dims, 1 + dims + dim))  # the dimensions that come before dim
    return trace.wrap(movedim(found, ahead, tuple(range(1, 1 + dim))) if dim else found)


def _separated(places: tuple) -> bool:
    """Whether slices lie between index arrays: NumPy then puts their dimensions first."""
    arrays = [i for i, each in enumerate(places) if not isinstance(each, slice)]
    return arrays[-1] - arrays[0] >= len(arrays)


def picked(trace: Any, function: Any, args: tuple) -> Any:
    input, places = args
    found = function(input.components[0], (slice(None), *places))
    if _separated(places):
        shapes = [each.shape for each in places if not isinstance(each, slice)]
        found = movedim(found, len(np.broadcast_shapes(*shapes)), 0)
    return trace.wrap(found)


def masked(trace: Any, function: Any, args: tuple) -> Any:
    input, mask = args
    own(trace, args, 1)
    return pick(input, np.nonzero(getattr(mask, "array", mask)))


def put(trace: Any, function: Any, args: tuple) -> Any:
    input, values, places, accumulate = args
    if _separated(places):
        raise RuntimeError("vmap: index_put with slices between its indices has no batching rule")
    shapes = [each.shape for each in places if not isinstance(each, slice)]
    dims = ndim(input) - len(shapes) + len(np.broadcast_shapes(*shapes))
    values = aligned(trace, values, dims)
    return trace.wrap(function(trace.batch(input), values, (slice(None), *places), accumulate))


def index_written(trace: Any, function: Any, args: tuple) -> Any:
    """index_add and index_copy: input, source, dim, index, ..."""
    input, source, dim, index, *rest = args
    own(trace, args, 3)
    if not isinstance(source, Variable) or ndim(source) != ndim(input) or not ndim(input):
        if trace.holds(source) or not ndim(input):
            raise RuntimeError(
                f"vmap: no batching rule for source {describe(source)} and input {describe(input)}"
            )
        return trace.wrap(function(trace.batch(input), source, dim + 1, index, *rest))
    return trace.wrap(function(trace.batch(input), trace.batch(source), dim + 1, index, *rest))


def embedded(trace: Any, function: Any, args: tuple) -> Any:
    input, weight, padding = args
    if not trace.holds(weight):
        return trace.wrap(function(input.components[0], weight, padding))
    if padding is not None:  # its row gets no gradient
        row = arange(weight.array.shape[0], device=weight.device) == padding
        weight = where(unsqueeze(row, 1), weight.detach(), weight)
    return take(weight, 0, input)


def searched(trace: Any, function: Any, args: tuple) -> Any:
    own(trace, args, 0)
    if ndim(args[0]) != 1:
        raise RuntimeError("vmap: searchsorted needs a sorted sequence of one dimension")
    return trace.wrap(function(args[0], args[1].components[0], args[2]))


# ------------------------------------------------------------------------------------- windows


def merged(trace: Any, function: Any, args: tuple) -> Any:
    """Operations on (N, ...), each example of which is a batch itself: one longer batch."""
    own(trace, args, *range(1, len(args)))
    batch = args[0].components[0]
    size, n, *shape = batch.array.shape
    found = function(reshape(batch, (size * n, *shape)), *args[1:])
    return trace.wrap(reshape(found, (size, n, *found.array.shape[1:])))


def convolved(trace: Any, function: Any, args: tuple) -> Any:
    input, weight, bias, size, windows = args
    if trace.holds(bias):
        spread = reshape(bias, (-1, *(1,) * len(size)))
        return function(input, weight, None, size, windows) + spread
    if not trace.holds(weight):
        return merged(trace, function, args)
    if bias is not None:
        spread = reshape(bias, (-1, *(1,) * len(size)))
        return function(input, weight, None, size, windows) + spread
    # Filters of its own for every example: groups of channels, which do not meet either.
    x, w, count = trace.batch(input), weight.components[0], trace.size
    _, n, channels, *extent = x.array.shape
    x = reshape(transpose(x, 0, 1), (n, count * channels, *extent))
    w = reshape(w, (count * w.array.shape[1], *w.array.shape[2:]))
    grouped = windows._replace(groups=windows.groups * count)
    y = function(x, w, None, size, grouped)
    y = reshape(y, (n, count, y.array.shape[1] // count, *y.array.shape[2:]))
    return trace.wrap(transpose(y, 0, 1))


def pooled(trace: Any, function: Any, args: tuple) -> Any:
    input, line, *rest = args
    return trace.wrap(function(input.components[0], line._replace(dim=line.dim + 1), *rest))


# --------------------------------------------------------------------------------------- losses


def loss(trace: Any, function: Any, args: tuple) -> Any:
    """(input, target, reduction): element by element, then reduced."""
    pair = (trace.lift(each) for each in args[:2])
    return reduced(broadcasting(trace, function, (*pair, "none")), args[2])


def _class_counts(target: Any, weight: Any, ignore_index: int, like: Any) -> tuple:
    """(target with 0 for what is ignored, what is ignored, the weight of each target)."""
    target = target.long()
    ignored = target == ignore_index
    target = where(ignored, zeros_like(target), target)
    counts = ones_like(target, dtype=like.dtype) if weight is None else take(weight, 0, target)
    return target, ignored, where(ignored, zeros_like(counts), counts)


def nll_loss(trace: Any, function: Any, args: tuple) -> Any:
    input, target, weight, ignore_index, reduction = args
    target, ignored, counts = _class_counts(target, weight, ignore_index, input)
    dim = 1 if ndim(input) > 1 else 0
    picked = squeeze(gather(input, dim, unsqueeze(target, dim)), dim)
    losses = where(ignored, zeros_like(picked), -picked * counts)
    if reduction == "none":
        return losses
    return sum(losses) / sum(counts) if reduction == "mean" else sum(losses)


def uniform_counts(trace: Any, function: Any, args: tuple) -> Any:
    losses, target, weight, ignore_index, reduction = args
    _, ignored, counts = _class_counts(target, weight, ignore_index, losses)
    ones = where(ignored, zeros_like(counts), ones_like(counts))
    return ones / sum(counts) if reduction == "mean" else ones


def scale_and_shift(trace: Any, function: Any, args: tuple) -> Any:
    input, scale, shift = args
    return input * scale + shift


def batch_norm(trace: Any, function: Any, args: tuple) -> Any:
    if args[-1] is not None:
        raise RuntimeError(
            "vmap: batch_norm cannot move running statistics, which are the same for all "
            "examples; use eval(), track_running_stats=False, or group_norm"
        )
    return function.operation.formula(*args)


def overwritten(trace: Any, function: Any, args: tuple) -> Any:
    raise RuntimeError(IN_PLACE)


RULES.update(
    {
        "correlation.convolution": convolved,
        "correlation.transposed_convolution": convolved,
        "cross_entropy.nll_loss": nll_loss,
        "cross_entropy.uniform_counts": uniform_counts,
        "embedding.embedding": embedded,
        "history.overwrite": overwritten,
        "indexing.getitem": region,
        "indexing.mask": masked,
        "indexing.pick": picked,
        "indexing.take": slices,
        "linalg.linear": affine,
        "linalg.matmul": product,
        "losses.bce": loss,
        "losses.bce_with_logits": loss,
        "losses.mse_loss": loss,
        "masking.put": put,
        "normalization.batch_norm": batch_norm,
        "normalization.scale_and_shift": scale_and_shift,
        "pooling.line_argmax": pooled,
        "pooling.line_max": pooled,
        "pooling.line_mean": pooled,
        "pooling.line_spread": pooled,
        "resizing.enlarged": pooled,
        "resizing.reduced": pooled,
        "scatter.index_add": index_written,
        "scatter.index_write": index_written,
        "sorting.search": searched,
        "unfolding.fold": merged,
        "unfolding.unfold": merged,
    }
)
