"""Special functions: the complementary error function, the gamma function and their derivatives.

They are computed in float64, also for float32 and float16 tensors, and rounded at the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import silent
from minigen.dtypes import promote_to_float
from minigen.errors import ShapeError
from minigen.ops.functions import ERF_SLOPE, erf_array, exp
from minigen.tensor import method

__all__ = ["digamma", "erfc", "lgamma", "polygamma"]


def _erfc_far(x: Any) -> Any:
    """erfc(x) for x >= 1/2 by the trapezoidal rule with step h = 1/2, which misses by exp(-π²/h²).

    Source: Matta & Reichel, Uniform computation of the error function, Math. Comp. 25 (1971).
    """
    h, square = 0.5, x * x
    total = 0.5 / square
    for n in range(1, 14):
        total += math.exp(-((n * h) ** 2)) / ((n * h) ** 2 + square)
    # beyond the pole of the integrand at x = π/h its correction is below rounding
    pole = np.where(x < math.pi / h, 2 / np.expm1(2 * math.pi * x / h), 0.0)
    return 2 * h * x * np.exp(-square) / math.pi * total - pole


def _erfc_array(x: Any) -> Any:
    near = 1 - erf_array(x)
    far = _erfc_far(np.clip(x.astype(np.float64), 0.5, 30))  # erfc(30) < 1e-392
    return np.where(x < 0.5, near, far.astype(x.dtype))


@method("erfc")
@differentiable(promote=promote_to_float)
def erfc(input: Any) -> Any:
    """1 - erf(input), accurate where that is tiny.

    >>> import minigen
    >>> minigen.erfc(minigen.tensor([0.0, 5.0]))
    tensor([1.0000e+00, 1.5375e-12])
    """
    return silent().run(_erfc_array, input)


erfc.gradients(input=lambda g, input: g * exp(-(input * input)) * -ERF_SLOPE)


# ------------------------------------------------------------------------- the gamma function

# B₂, B₄, ... of the asymptotic series, which are used from x = 10 on
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_START = 10


def _sine(x: Any) -> Any:
    """sin(πx), exact at whole numbers."""
    whole = np.rint(x)
    return np.sin(math.pi * (x - whole)) * (1 - 2 * (np.abs(whole) % 2))


def _lgamma_right(x: Any) -> Any:
    """log Γ(x) for x >= 1/2: Γ(x + 1) = x Γ(x), then Stirling's series (DLMF 5.11.1)."""
    product = np.ones_like(x)
    for _ in range(_START):
        low = x < _START
        product = np.where(low, product * x, product)
        x = np.where(low, x + 1, x)
    tail = sum(b / (2 * k * (2 * k - 1) * x ** (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1))
    series = (x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi) + tail
    return np.where(np.isinf(x), x, series - np.log(product))


def _lgamma_array(x: Any) -> Any:
    """Γ(x) Γ(1 - x) = π / sin(πx) for the left half (DLMF 5.5.3)."""
    left = x < 0.5
    right = _lgamma_right(np.where(left, 1 - x, x))
    reflected = np.log(math.pi / np.abs(_sine(x))) - right
    return np.where(np.isneginf(x), np.inf, np.where(left, reflected, right))


def _digamma_array(x: Any) -> Any:
    """ψ(x + 1) = ψ(x) + 1/x and ψ(1 - x) - ψ(x) = π / tan(πx) (DLMF 5.5.2, 5.5.4, 5.11.2)."""
    left = x < 0.5
    y = np.where(left, 1 - x, x)
    shift = np.zeros_like(y)
    for _ in range(_START):
        low = y < _START
        shift = np.where(low, shift - 1 / y, shift)
        y = np.where(low, y + 1, y)
    tail = sum(b / (2 * k * y ** (2 * k)) for k, b in enumerate(_BERNOULLI, 1))
    right = np.log(y) - 0.5 / y - tail + shift
    angle = math.pi * (x - np.rint(x))
    value = np.where(left, right - math.pi / np.tan(angle), right)
    pole = left & (x == np.rint(x))  # ψ(±0) = ∓∞; on the other poles the two sides disagree
    return np.where(pole, np.where(x == 0, -np.copysign(np.inf, x), np.nan), value)


def _zeta_right(s: int, x: Any) -> Any:
    """Hurwitz's ζ(s, x) = Σ (x + k)⁻ˢ for x > 0, by Euler and Maclaurin (DLMF 25.11.5)."""
    total = np.zeros_like(x)
    for k in range(_START):
        total += (x + k) ** -s
    x = x + _START
    total += x ** (1 - s) / (s - 1) + 0.5 * x**-s
    factor = float(s)  # s (s+1) ... (s+2k-2) / (2k)! from here on
    for k, b in enumerate(_BERNOULLI, 1):
        total += b * factor / math.factorial(2 * k) * x ** -(s + 2 * k - 1)
        factor *= (s + 2 * k - 1) * (s + 2 * k)
    return total


def _polygamma_array(x: Any, n: int) -> Any:
    """ψ⁽ⁿ⁾(x) = (-1)ⁿ⁺¹ n! ζ(n + 1, x)  (DLMF 5.15.1); ψ'(x) + ψ'(1 - x) = π² / sin²(πx)."""
    if n == 1:
        left = x < 0.5
        right = _zeta_right(2, np.where(left, 1 - x, x))
        return np.where(left, (math.pi / _sine(x)) ** 2 - right, right)
    if (x < -1000).any():
        raise ValueError(f"derivative {n} of digamma is offered for x >= -1000 only")
    y, total = x, np.zeros_like(x)
    while (low := y <= 0).any():
        total = np.where(low, total + y ** -(n + 1.0), total)
        y = np.where(low, y + 1, y)
    return (-1) ** (n + 1) * math.factorial(n) * (total + _zeta_right(n + 1, y))


def _in_double(function: Any, x: Any, *options: Any) -> Any:
    result = silent().run(function, x.astype(np.float64), *options)
    return silent().run(result.astype, x.dtype)


@method("lgamma")
@differentiable(promote=promote_to_float)
def lgamma(input: Any) -> Any:
    """log |Γ(input)|, infinite at 0, -1, -2, ...  The absolute error is about 1e-14 near 1 and 2.

    >>> import minigen
    >>> minigen.lgamma(minigen.tensor([0.5, 4.0]))
    tensor([0.5724, 1.7918])
    """
    return _in_double(_lgamma_array, input)


@method("digamma")
@differentiable(promote=promote_to_float)
def digamma(input: Any) -> Any:
    """ψ, the derivative of lgamma; NaN at -1, -2, ...

    >>> import minigen
    >>> minigen.digamma(minigen.tensor([1.0, 2.0]))
    tensor([-0.5772,  0.4228])
    """
    return _in_double(_digamma_array, input)


lgamma.gradients(input=lambda g, input: g * digamma(input))
digamma.gradients(input=lambda g, input: g * _polygamma(input, 1))


@differentiable(promote=promote_to_float)
def _polygamma(input: Any, n: int = 1) -> Any:
    return _in_double(_polygamma_array, input, n)


_polygamma.gradients(input=lambda g, input, n: g * _polygamma(input, n + 1))


def polygamma(n: int, input: Any) -> Any:
    """Derivative number n of digamma; n = 0 is digamma itself.

    Raises RuntimeError for a negative n, and for n >= 2 where an element is below -1000.

    >>> import minigen
    >>> minigen.polygamma(1, minigen.tensor(1.0))
    tensor(1.6449)
    """
    if n < 0:
        raise ShapeError(f"polygamma: n cannot be negative, got {n}")
    return _polygamma(input, n) if n else digamma(input)


@method("polygamma")
def _polygamma_method(self: Any, n: int) -> Any:
    """Derivative number n of digamma."""
    return polygamma(n, self)
