"""The ladders of the operations on rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ladder import Expected, Rung
from ..numba_cuda import LazyCuda
from . import batch_norm, reference, rms_norm, scatter, softmax, vectorised
from .ladders import fused, like_second

Array = Any


def normalised(x: Array, *_: Any, **__: Any) -> Expected:
    """y, mean, rstd of layer_norm."""
    return (x.shape, x.dtype), (x.shape[:1], x.dtype), (x.shape[:1], x.dtype)


def normalised_backward(grad: Array, x: Array, *_: Any, **__: Any) -> Expected:
    """dx, dweight, dbias of layer_norm."""
    return (x.shape, x.dtype), (x.shape[1:], x.dtype), (x.shape[1:], x.dtype)


def scaled(x: Array, *_: Any, **__: Any) -> Expected:
    """y, rrms of rms_norm."""
    return (x.shape, x.dtype), (x.shape[:1], x.dtype)


def scaled_backward(grad: Array, x: Array, *_: Any, **__: Any) -> Expected:
    """dx, dweight of rms_norm."""
    return (x.shape, x.dtype), (x.shape[1:], x.dtype)


def by_channel(x: Array, *_: Any, **__: Any) -> Expected:
    """y, mean, var, rstd of batch_norm."""
    channels = (x.shape[1:2], x.dtype)
    return (x.shape, x.dtype), channels, channels, channels


def by_channel_backward(grad: Array, x: Array, *_: Any, **__: Any) -> Expected:
    """dx, dweight, dbias of batch_norm."""
    channels = (x.shape[1:2], x.dtype)
    return (x.shape, x.dtype), channels, channels


def by_row(logits: Array, *_: Any, **__: Any) -> Expected:
    """losses and logsumexp of cross_entropy."""
    return (logits.shape[:1], logits.dtype), (logits.shape[:1], logits.dtype)


def table(values: Array, rows: Array, count: int) -> Expected:
    """The table of add_rows."""
    return (((count, values.shape[1]), values.dtype),)


SHARED = 226 << 10  # bytes of a GPU's shared memory for sums over rows: see cuda/layer_norm.cu


def too_wide(sums: int) -> Callable[..., str]:
    """Why a block of the CUDA rung cannot hold so many sums a column, or ""."""
    widest = SHARED // (4 * sums)

    def refuses(_: Array, x: Array, *__: Any, **___: Any) -> str:
        columns = x.shape[1]
        return f"rows of {columns:,} columns are wider than {widest:,}" if columns > widest else ""

    return refuses


A_ROW = ("ufuncs in place", "a row at a time, polynomial exp")
TWO_PASSES = ("ufuncs in place", "two passes over a row, sums over rows kept in the cache")

ROWS = (
    fused(
        "softmax(x) -> y",
        softmax.softmax_reference,
        softmax.softmax,
        "softmax_loops",
        A_ROW,
        "16 u (1 + max|x| of the row) y + the smallest normal number",
        more=(
            Rung(
                "cuda_tree",
                LazyCuda(".fused.cuda_softmax", "softmax_cuda_tree"),
                "a block a row, reductions by a tree in shared memory",
                "(n / 256 + 16) u (1 + max|x| of the row) y + the smallest normal number",
                device="cuda",
            ),
        ),
        cuda=("rows", "online softmax: maximum and sum in one pass, a warp or block a row"),
    ),
    fused(
        "softmax_backward(grad, y) -> dx",
        softmax.softmax_backward_reference,
        softmax.softmax_backward,
        "softmax_loops",
        ("ufuncs in place", "two passes over a row"),
        "(n + 4) u y (|grad| + Σ |grad| y)",
        like_second,
        cuda=("rows", "two passes over a row, the second from the cache"),
    ),
    fused(
        "log_softmax(x) -> y",
        softmax.log_softmax_reference,
        softmax.log_softmax,
        "softmax_loops",
        A_ROW,
        "16 u (1 + max|x| of the row)",
        cuda=("rows", "online softmax: maximum and sum in one pass, a warp or block a row"),
    ),
    fused(
        "log_softmax_backward(grad, y) -> dx",
        softmax.log_softmax_backward_reference,
        softmax.log_softmax_backward,
        "softmax_loops",
        A_ROW,
        "2 u |grad| + (n + 8 + |y|) u exp(y) Σ |grad|",
        like_second,
        cuda=("rows", "two passes over a row, the second from the cache"),
    ),
    fused(
        "layer_norm(x, weight, bias, eps) -> (y, mean, rstd)",
        reference.layer_norm_reference,
        vectorised.layer_norm,
        "row_loops",
        ("two passes, in place", "three passes over a row in the first-level cache"),
        "y: 16 u ((|x^| + |mean| rstd) |weight| + |bias|), x^ = (x - mean) rstd",
        normalised,
        more=(
            Rung(
                "cuda_warp",
                LazyCuda(".fused.cuda_layer_norm", "layer_norm_cuda_warp"),
                "a warp a row, reductions by shuffles",
                "y: (n / 32 + 16) u ((|x^| + |mean| rstd) |weight| + |bias|), x^ = (x - mean) rstd",
                device="cuda",
            ),
        ),
        cuda=("rows", "a warp or block a row, later passes from the cache"),
    ),
    fused(
        "layer_norm_backward(grad, x, weight, mean, rstd) -> (dx, dweight, dbias)",
        reference.layer_norm_backward_reference,
        vectorised.layer_norm_backward,
        "row_loops",
        TWO_PASSES,
        "32 u times the formula with every term's absolute value",
        normalised_backward,
        cuda=("rows", "a warp or block a row, sums over rows in shared memory"),
        refuses=too_wide(2),
    ),
    fused(
        "rms_norm(x, weight, eps) -> (y, rrms)",
        rms_norm.rms_norm_reference,
        rms_norm.rms_norm,
        "rms_norm_loops",
        ("ufuncs in place", "two passes over a row in the first-level cache"),
        "(n/2 + 8) u |y|",
        scaled,
        cuda=("rows", "a warp or block a row, later passes from the cache"),
    ),
    fused(
        "rms_norm_backward(grad, x, weight, rrms) -> (dx, dweight)",
        rms_norm.rms_norm_backward_reference,
        rms_norm.rms_norm_backward,
        "rms_norm_loops",
        TWO_PASSES,
        "32 u times the formula with every term's absolute value",
        scaled_backward,
        cuda=("rows", "a warp or block a row, sums over rows in shared memory"),
        refuses=too_wide(1),
    ),
    fused(
        "batch_norm(x, weight, bias, eps) -> (y, mean, var, rstd)",
        batch_norm.batch_norm_reference,
        batch_norm.batch_norm,
        "batch_norm_loops",
        ("ufuncs in place", "three passes over a channel in the cache"),
        "y: (n + 16) u ((|x^| + |mean| rstd) |weight| + |bias|) over n values of a channel",
        by_channel,
    ),
    fused(
        "batch_norm_backward(grad, x, weight, mean, rstd) -> (dx, dweight, dbias)",
        batch_norm.batch_norm_backward_reference,
        batch_norm.batch_norm_backward,
        "batch_norm_loops",
        ("ufuncs in place", "two passes over a channel in the cache"),
        "(n + 32) u times the formula with every term's absolute value",
        by_channel_backward,
    ),
    fused(
        "cross_entropy(logits, target) -> (losses, logsumexp)",
        reference.cross_entropy_reference,
        vectorised.cross_entropy,
        "row_loops",
        A_ROW,
        "16 u (1 + max|x| of the row)",
        by_row,
        cuda=("rows", "online softmax: every logit is read once"),
    ),
    fused(
        "cross_entropy_backward(grad, logits, target, logsumexp) -> dlogits",
        reference.cross_entropy_backward_reference,
        vectorised.cross_entropy_backward,
        "row_loops",
        A_ROW,
        "16 u (1 + max|x| of the row) |grad|",
        like_second,
        sized_by=1,
        cuda=("rows", "probabilities made again from logsumexp"),
    ),
    fused(
        "add_rows(values, rows, count) -> table",
        scatter.add_rows_reference,
        scatter.add_rows,
        "scatter_loops",
        ("bincount, or sorted and added by reduceat", "one row after the other"),
        "k u Σ|values| over the k rows of a sum",
        table,
        on_gpu=(scatter.add_rows_by_halves, "sorted, and summed as a tree: no atomics"),
        cuda=("scatter", "a stable sort, then a sum a row of the table, no atomics"),
    ),
)
