"""Derivatives from values alone: central differences that know their own error, and kinks.

For a step h the central difference has an error of h² f'''/6 from the curve and of about ε|f|/h
from rounding. Two steps, one eight times the other, are extrapolated (L. F. Richardson 1911): the
first error cancels, and how far the two differ bounds what is left. Where they disagree, as beside
a kink, smaller steps are tried, and the pair that agrees best is taken.

All functions here are curves `f(t)`: a vector of outputs as one number t moves the inputs along a
direction, so that t = 0 is the point that is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Slope", "complex_slope", "derivative", "kink", "slope"]

Curve = Callable[[float], Any]  # t -> outputs, one flat array
RATIO = 8.0


@dataclass(frozen=True)
class Slope:
    """A derivative and how far off it may be."""

    value: float
    error: float


def slope(curve: Curve, weights: Any, step: float, epsilon: float = 2.3e-16) -> Slope:
    """<weights, f'(0)>.  epsilon: the relative precision in which the curve is computed.

    >>> import numpy as np
    >>> found = slope(lambda t: np.sin(np.array([1.0]) + t), np.ones(1), 1e-4)
    >>> bool(abs(found.value - np.cos(1.0)) < 1e-10)
    True
    """
    best = None
    for h in (step, step / 50, step / 2500):
        found = _extrapolated(curve, weights, h, epsilon)
        if best is None or found.error < best.error or not np.isfinite(best.error):
            best = found
        if best.error <= 1e-7 * abs(best.value):
            break
    assert best is not None
    return best


def _extrapolated(curve: Curve, weights: Any, h: float, epsilon: float) -> Slope:
    small = h / RATIO
    wide, rounding = _central(curve, weights, h, epsilon)
    narrow, more = _central(curve, weights, small, epsilon)
    value = narrow + (narrow - wide) / (RATIO**2 - 1)
    return Slope(float(value), float(abs(narrow - wide) / RATIO + rounding + 2 * more))


def _central(curve: Curve, weights: Any, h: float, epsilon: float) -> tuple[float, float]:
    """The central difference, and what rounding may add to it."""
    right, left = curve(h), curve(-h)
    rounding = epsilon * float(np.sqrt(((weights * right) ** 2).sum())) / h
    return float((weights * (right - left)).sum()) / (2 * h), rounding


def derivative(curve: Curve, step: float, tolerance: float) -> np.ndarray:
    """f'(0), of every output, by the same extrapolation; the step is made smaller once if the
    differences disagree by more than 1e-4 and `tolerance`."""
    best: tuple[float, np.ndarray] | None = None
    for h in (step, step / 50):
        wide, narrow = ((curve(s) - curve(-s)) / (2 * s) for s in (h, h / RATIO))
        value = narrow + (narrow - wide) / (RATIO**2 - 1)
        error = float(np.abs(narrow - wide).max(initial=0.0))
        if best is None or error < best[0]:
            best = error, value
        if error <= 1e-4 * float(np.abs(value).max(initial=0.0)) + tolerance:
            break
    assert best is not None
    return best[1]


def complex_slope(curve: Callable[[complex], Any], weights: Any) -> Slope:
    """<weights, f'(0)> as Im f(i h) / h: no difference, so no cancellation, and h can be tiny.

    Source: Squire & Trapp 1998, "Using complex variables to estimate derivatives".
    Only for functions that are analytic and written so that they accept complex numbers.
    """
    h = 1e-30
    value = float((weights * np.imag(curve(1j * h))).sum()) / h
    return Slope(value, 1e-15 * abs(value))


def kink(curve: Curve, weights: Any, step: float, scale: float) -> tuple[float, float] | None:
    """The slopes to the left and to the right of 0 if they differ, so that there is no derivative.

    In a smooth curve they differ by h f'', which shrinks with h; at a kink by a constant, and at a
    jump by what grows as 1/h.  scale: the size of a difference that would matter.
    """
    here = curve(0.0)

    def slopes(h: float) -> tuple[float, float]:
        left, right = (here - curve(-h)) / h, (curve(h) - here) / h
        return float((weights * left).sum()), float((weights * right).sum())

    wide, narrow = slopes(step), slopes(step / 100)
    gap = abs(narrow[1] - narrow[0])
    if not np.isfinite([*wide, *narrow]).all():
        return -np.inf, np.inf  # defined on one side only, as log and sqrt at 0
    return narrow if gap > 1e-4 * scale and gap > 0.3 * abs(wide[1] - wide[0]) else None
