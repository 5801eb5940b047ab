"""The ladders of convolution and its two companions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import Lazy
from ..ladder import Expected, Operation, Rung
from . import reference, taps
from .windows import Windows

Array = Any


def outputs(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Expected:
    """The result of convolution."""
    return (((input.shape[0], weight.shape[0], *size), np.result_type(input, weight)),)


def inputs(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Expected:
    """The result of transposed_convolution."""
    channels = windows.groups * weight.shape[1]
    return (((input.shape[0], channels, *size), np.result_type(input, weight)),)


def filters(
    input: Array, output_gradient: Array, size: tuple[int, ...], windows: Windows
) -> Expected:
    """The result of weight_correlation."""
    shape = (output_gradient.shape[1], input.shape[1] // windows.groups, *size)
    return ((shape, np.result_type(input, output_gradient)),)


def _operation(name: str, arguments: str, plain: str, expected: Any, error: str) -> Operation:
    return Operation(
        name=name,
        signature=f"{name}({arguments}, size, windows)",
        expected=expected,
        rungs=(
            Rung(
                "reference",
                getattr(reference, f"{name}_reference"),
                "the definition, tap by tap, in float64",
                "defines the result",
                dtypes=("any",),
            ),
            Rung(
                "numpy",
                getattr(taps, f"{name}_taps"),
                plain,
                error,
                dtypes=("any",),
                portable=True,
            ),
            Rung(
                "numba",
                Lazy(".convolution.blocks", f"{name}_blocks"),
                "windows of a few images at a time, in the cache, and one BLAS product for them",
                error,
            ),
        ),
    )


CONVOLUTION = (
    _operation(
        "convolution",
        "input, weight, bias",
        "all windows side by side and one BLAS product",
        outputs,
        "(K + 2) u (the formula with every term's absolute value), K = channels · taps of a window",
    ),
    _operation(
        "transposed_convolution",
        "input, weight, bias",
        "one BLAS product a tap, added where the tap lies",
        inputs,
        "(K + 2) u (the formula with every term's absolute value), K = filters of a group · taps",
    ),
    _operation(
        "weight_correlation",
        "input, output_gradient",
        "all windows side by side and one BLAS product",
        filters,
        "(K + 2) u (the formula with every term's absolute value), K = examples · positions",
    ),
)
