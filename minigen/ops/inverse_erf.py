"""The inverse of the error function, which turns uniform numbers into normal ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import silent
from minigen.dtypes import promote_to_float
from minigen.ops.functions import ERF_SLOPE, erf_array, exp
from minigen.ops.special import erfc
from minigen.tensor import method

__all__ = ["erfinv"]


def _first_guess(y: Any) -> Any:
    """Right to 2e-3: erf(x)² ≈ 1 - exp(-x² (4/π + a x²) / (1 + a x²)) can be solved for x².

    Source: Winitzki, A handy approximation for the error function and its inverse (2008).
    """
    a = 0.147
    log = np.log1p(-y * y)
    half = 2 / (math.pi * a) + log / 2
    return np.sqrt(-log / a / (np.sqrt(half * half - log / a) + half))


def _erfinv_array(y: Any) -> Any:
    """Two steps of Halley's method, each of which triples the number of digits.

    For y > 1/2 they solve erfc(x) = 1 - y, which is exact there, so that the tail is, too.
    """
    sign, y = np.sign(y), np.abs(y)
    x = _first_guess(y)
    for _ in range(2):
        missed = np.where(y < 0.5, erf_array(x) - y, (1 - y) - erfc(x))
        step = missed * np.exp(x * x) / ERF_SLOPE  # Newton's
        x = x - step / (1 + x * step)
    return sign * np.where(y < 1, x, np.where(y == 1, np.inf, np.nan))


@method("erfinv")
@differentiable(promote=promote_to_float)
def erfinv(input: Any) -> Any:
    """x with erf(x) = input: ±infinity at ±1, NaN beyond.

    >>> import minigen
    >>> erfinv(minigen.tensor([0.0, 0.5, -1.0]))
    tensor([0.0000, 0.4769,   -inf])
    """
    with_digits = silent().run(_erfinv_array, input.astype(np.float64))
    return silent().run(with_digits.astype, input.dtype)


erfinv.gradients(input=lambda g, output: g * exp(output * output) / ERF_SLOPE)
