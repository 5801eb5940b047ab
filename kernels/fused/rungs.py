"""The ladders of the fused operations."""

from __future__ import annotations

from typing import Any

from ..jit import Lazy
from ..ladder import Expected, Operation, Rung
from . import reference, special, vectorised

Array = Any


def like_first(x: Array, *_: Any, **__: Any) -> Expected:
    """One result like the first argument."""
    return ((x.shape, x.dtype),)


def like_second(_: Array, x: Array, *__: Any, **___: Any) -> Expected:
    """One result like the second argument."""
    return ((x.shape, x.dtype),)


def normalised(x: Array, *_: Any, **__: Any) -> Expected:
    """y, mean, rstd of layer_norm."""
    return (x.shape, x.dtype), (x.shape[:1], x.dtype), (x.shape[:1], x.dtype)


def normalised_backward(grad: Array, x: Array, *_: Any, **__: Any) -> Expected:
    """dx, dweight, dbias of layer_norm."""
    return (x.shape, x.dtype), (x.shape[1:], x.dtype), (x.shape[1:], x.dtype)


def by_row(logits: Array, *_: Any, **__: Any) -> Expected:
    """losses and logsumexp of cross_entropy."""
    return (logits.shape[:1], logits.dtype), (logits.shape[:1], logits.dtype)


def in_place(*_: Any, **__: Any) -> Expected:
    """Nothing is returned."""
    return ()


def _ladder(
    name: str, file: str, plain: Any, about: tuple[str, str], error: str
) -> tuple[Rung, ...]:
    return (
        Rung(
            "reference",
            getattr(reference, f"{name}_reference"),
            "the formula in float64",
            "defines the result",
        ),
        Rung("numpy", plain, about[0], error),
        Rung("numba", Lazy(f".fused.{file}", f"{name}_loop"), about[1], error),
    )


FUSED = (
    Operation(
        "erf",
        "erf(x) -> y",
        _ladder(
            "erf",
            "elementwise_loops",
            special.erf,
            ("rational approximations", "the same approximation in one loop; libm in float64"),
            "10 u |y|",
        ),
        like_first,
    ),
    Operation(
        "gelu",
        'gelu(x, approximate="none") -> y',
        _ladder(
            "gelu",
            "elementwise_loops",
            vectorised.gelu,
            ("ufuncs in place", "one loop"),
            "10 u |x|",
        ),
        like_first,
    ),
    Operation(
        "gelu_backward",
        'gelu_backward(grad, x, approximate="none") -> dx',
        _ladder(
            "gelu_backward",
            "elementwise_loops",
            vectorised.gelu_backward,
            ("ufuncs in place", "one loop"),
            "40 u |grad|",
        ),
        like_second,
    ),
    Operation(
        "layer_norm",
        "layer_norm(x, weight, bias, eps) -> (y, mean, rstd)",
        _ladder(
            "layer_norm",
            "row_loops",
            vectorised.layer_norm,
            ("two passes, in place", "three passes over a row in the first-level cache"),
            "y: 16 u ((|x^| + |mean| rstd) |weight| + |bias|), x^ = (x - mean) rstd",
        ),
        normalised,
    ),
    Operation(
        "layer_norm_backward",
        "layer_norm_backward(grad, x, weight, mean, rstd) -> (dx, dweight, dbias)",
        _ladder(
            "layer_norm_backward",
            "row_loops",
            vectorised.layer_norm_backward,
            ("ufuncs in place", "two passes over a row, sums over rows kept in the cache"),
            "32 u times the formula with every term's absolute value",
        ),
        normalised_backward,
    ),
    Operation(
        "cross_entropy",
        "cross_entropy(logits, target) -> (losses, logsumexp)",
        _ladder(
            "cross_entropy",
            "row_loops",
            vectorised.cross_entropy,
            ("ufuncs in place", "a row at a time, polynomial exp"),
            "16 u (1 + max|x| of the row)",
        ),
        by_row,
    ),
    Operation(
        "cross_entropy_backward",
        "cross_entropy_backward(grad, logits, target, logsumexp) -> dlogits",
        _ladder(
            "cross_entropy_backward",
            "row_loops",
            vectorised.cross_entropy_backward,
            ("ufuncs in place", "a row at a time, polynomial exp"),
            "16 u (1 + max|x| of the row) |grad|",
        ),
        like_second,
        sized_by=1,
    ),
    Operation(
        "adam",
        "adam(parameter, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, weight_decay, decoupled,"
        " step) -> None",
        _ladder(
            "adam",
            "elementwise_loops",
            vectorised.adam,
            ("blocks that fit the cache, ufuncs in place", "one loop"),
            "8 u (|parameter| + lr)",
        ),
        in_place,
    ),
)
