"""exp, erf, tanh, log1p for Numba kernels, so that LLVM can turn a loop of them into vector code.

Numba calls the C library for `math.exp`, one number at a time: 3 ns, and a loop around a call is
not vectorised. In float32 the polynomial below takes 0.4 ns a number. In float64 accuracy comes
first: there all are the C library's.

| function | relative error in float32, all x | idea                                            |
|----------|----------------------------------|-------------------------------------------------|
| `exp`    | 3e-7                             | eˣ = 2ⁿ eʳ, a polynomial of degree 6 for eʳ     |
| `erf`    | 6e-7                             | x P(x²) / Q(x²), degrees 5 and 5, up to 4       |
| `tanh`   | 4e-7                             | x P(x²) / Q(x²), degrees 4 and 4, up to 9.1     |
| `log1p`  | 3e-7, on [0, 1] only             | x P(x) / Q(x), degrees 3 and 3                  |

Where a result is subnormal its last place counts instead: half of 2⁻¹⁴⁹. Near 0 all keep their
relative error, as no form subtracts nearly equal numbers.

A third of the work of `exp` is for its ends, where 2ⁿ is no normal number. Two forms of it do
without: `exp_inside` is for |x| <= 87, `exp_decay` for x <= 0, and 0 where eˣ < 2⁻¹²⁶.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload

from .fused.special import ERF32_P, ERF32_Q
from .jit import FASTMATH

_OPTIONS = {"error_model": "numpy", "fastmath": FASTMATH - {"reassoc"}}

LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH = np.float32(0.693145752)  # ln 2 in two parts; n * LN2_HIGH is exact for |n| < 2⁹
LN2_LOW = np.float32(1.42860677e-6)
LOWEST, HIGHEST = np.float32(-104), np.float32(89)  # exp rounds to 0 below, overflows above
# exp(r) = 1 + r + r² (C2 + r C3 + ...), |r| <= ½ ln 2, minimax
C2, C3, C4, C5, C6 = (
    np.float32(c) for c in (0.5, 0.16666665, 0.041665795, 0.0083334519, 0.0013981999)
)
INSIDE = 87.0  # 2ⁿ is a normal number for |x| up to this
SMALLEST = np.float32(-87.33654)  # log 2⁻¹²⁶
ZERO, ONE, FOUR = np.float32(0), np.float32(1), np.float32(4)
HALF_BITS, BIAS, MANTISSA = np.int32(1), np.int32(127), np.int32(23)
MAGIC = np.float32(1.5 * 2**23)  # x + MAGIC is rounded to an integer, which its last bits hold
ONE_BITS = np.int32(0x3F800000)  # of 1.0

P0, P1, P2, P3, P4, P5 = (np.float32(c) for c in ERF32_P)
Q0, Q1, Q2, Q3, Q4, Q5 = (np.float32(c) for c in ERF32_Q)


# tanh(x) ≈ x P(x²) / Q(x²) for |x| <= 9.1, relative error 2.3e-8 before rounding, and
# log(1 + x) ≈ x P(x) / Q(x) for 0 <= x <= 1, relative error 9.4e-10: both fitted by iteratively
# reweighted least squares at 2000 Chebyshev nodes. tanh rounds to 1 from 9.02 on.
T0, T1, T2, T3, T4 = (
    np.float32(c) for c in (1.0, 0.13374476, 0.0034878116, 2.0481197e-5, 1.3177538e-8)
)
U0, U1, U2, U3, U4 = (
    np.float32(c) for c in (1.0, 0.46707789, 0.025847390, 0.00032729212, 7.7040522e-7)
)
TANH_END = np.float32(9.1)
L0, L1, L2, L3 = (np.float32(c) for c in (1.0, 1.0662186, 0.23815761, 0.0034172846))
M0, M1, M2, M3 = (np.float32(c) for c in (1.0, 1.5662185, 0.68793644, 0.075287318))


@intrinsic
def _float_from_bits(typing: Any, bits: Any) -> Any:
    """The float32 whose bit pattern is this int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def _bits_of_float(typing: Any, x: Any) -> Any:
    """The bit pattern of a float32 as an int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


def exp(x: float) -> float:
    """eˣ in the precision of x: 0 and ∞ where it leaves the range, NaN for NaN."""
    return math.exp(x)


def _exp32(x):
    # eˣ = 2ⁿ eʳ with n = round(x / ln 2), r = x - n ln 2. The comparisons let a NaN through, and
    # 2ⁿ is put together from two halves so that n = 128 and subnormal results need no special case.
    # Where eˣ is 0 the factor is: arithmetic that underflows is slow.
    vanishes = x < LOWEST
    x = LOWEST if x < LOWEST else x
    x = HIGHEST if x > HIGHEST else x
    whole = np.rint(x * LOG2_E)
    r = x - whole * LN2_HIGH
    r = r - whole * LN2_LOW
    p = C6
    p = p * r + C5
    p = p * r + C4
    p = p * r + C3
    p = p * r + C2
    p = p * r + ONE
    p = p * r + ONE
    n = np.int32(whole)
    half = n >> HALF_BITS
    low = ZERO if vanishes else _float_from_bits((half + BIAS) << MANTISSA)
    high = _float_from_bits((n - half + BIAS) << MANTISSA)
    return p * low * high


@overload(exp, jit_options=_OPTIONS)
def _exp(x):
    return _exp32 if x == types.float32 else lambda x: math.exp(x)


def exp_inside(x: float) -> float:
    """eˣ in the precision of x, for |x| <= 87 and NaN; in float64 for all x."""
    return math.exp(x)


def _exp_inside32(x):
    whole = x * LOG2_E + MAGIC
    n = whole - MAGIC
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = C6
    p = p * r + C5
    p = p * r + C4
    p = p * r + C3
    p = p * r + C2
    p = p * r + ONE
    p = p * r + ONE
    return p * _float_from_bits((_bits_of_float(whole) << MANTISSA) + ONE_BITS)


@overload(exp_inside, jit_options=_OPTIONS)
def _exp_inside(x):
    return _exp_inside32 if x == types.float32 else lambda x: math.exp(x)


def exp_decay(x: float) -> float:
    """eˣ in the precision of x, for x <= 0; NaN for NaN; in float32 0 where it is below 2⁻¹²⁶."""
    return math.exp(x)


def _exp_decay32(x):
    vanishes = x < SMALLEST
    y = exp_inside(SMALLEST if vanishes else x)  # type: ignore[arg-type]
    return ZERO if vanishes else y


@overload(exp_decay, jit_options=_OPTIONS)
def _exp_decay(x):
    return _exp_decay32 if x == types.float32 else lambda x: math.exp(x)


def erf(x: float) -> float:
    """erf(x) in the precision of x, the approximation of `minigen.kernels.fused.special`."""
    return math.erf(x)


def _erf32(x):
    x = -FOUR if x < -FOUR else x
    x = FOUR if x > FOUR else x
    t = x * x
    p = ((((P5 * t + P4) * t + P3) * t + P2) * t + P1) * t + P0
    q = ((((Q5 * t + Q4) * t + Q3) * t + Q2) * t + Q1) * t + Q0
    y = x * p / q
    y = -ONE if y < -ONE else y
    return ONE if y > ONE else y


@overload(erf, jit_options=_OPTIONS)
def _erf(x):
    return _erf32 if x == types.float32 else lambda x: math.erf(x)


def tanh(x: float) -> float:
    """The hyperbolic tangent in the precision of x; ±1 at ±∞, NaN for NaN, x near 0."""
    return math.tanh(x)


def _tanh32(x):
    x = -TANH_END if x < -TANH_END else x
    x = TANH_END if x > TANH_END else x
    t = x * x
    p = (((T4 * t + T3) * t + T2) * t + T1) * t + T0
    q = (((U4 * t + U3) * t + U2) * t + U1) * t + U0
    y = x * (p / q)
    y = -ONE if y < -ONE else y
    return ONE if y > ONE else y


@overload(tanh, jit_options=_OPTIONS)
def _tanh(x):
    return _tanh32 if x == types.float32 else lambda x: math.tanh(x)


def log1p(x: float) -> float:
    """log(1 + x) for 0 <= x <= 1, in the precision of x; NaN for NaN."""
    return math.log1p(x)


def _log1p32(x):
    p = ((L3 * x + L2) * x + L1) * x + L0
    q = ((M3 * x + M2) * x + M1) * x + M0
    return x * (p / q)


@overload(log1p, jit_options=_OPTIONS)
def _log1p(x):
    return _log1p32 if x == types.float32 else lambda x: math.log1p(x)
