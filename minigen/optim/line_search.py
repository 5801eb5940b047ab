"""How far to go along a direction: a line search for the strong Wolfe conditions.

With f(t) the loss and f'(t) its slope a distance t along the direction, a step is accepted if

    f(t) <= f(0) + c₁ t f'(0)          the loss falls as much as the slope promised, or a part c₁
    |f'(t)| <= c₂ |f'(0)|              and there is not much left to gain in this direction

Source: Nocedal & Wright 2006, "Numerical Optimization", eq. 3.7, algorithms 3.5 (a bracket around
such a step) and 3.6 (closing in on it), eq. 3.59 (the minimum of a cubic).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Point(NamedTuple):
    """What is known a distance `t` along the direction."""

    t: float
    loss: float
    gradient: Any  # of all parameters, flat
    slope: float  # gradient · direction


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic with the losses and slopes of two points is lowest, within the bounds.

    bounds: the two points themselves, if None; their middle where the cubic has no minimum.

    >>> cubic_minimum(Point(0.0, 4.0, None, -4.0), Point(3.0, 1.0, None, 2.0))  # (t - 2)²
    2.0
    """
    if a.t > b.t:
        a, b = b, a
    low, high = bounds or (a.t, b.t)
    # divisions by zero give infinity or NaN, which the comparisons sort out
    d1 = a.slope + b.slope - np.divide(3 * (a.loss - b.loss), a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    t = b.t - (b.t - a.t) * np.divide(b.slope + d2 - d1, b.slope - a.slope + 2 * d2)
    return float(min(max(t, low), high))


def strong_wolfe(
    at: Callable[[float], Point],
    start: Point,
    t: float,
    size: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_steps: int = 25,
) -> tuple[Point, int]:
    """A point that fulfils the strong Wolfe conditions, and how often `at` was asked for one.

    at: the point a distance t along the direction; start: the one at 0, whose slope is negative.
    t: the distance to try first.  size: the largest element of the direction; the search ends when
    the bracket is shorter than tolerance_change / size, or after `max_steps` steps, with the best
    point known then.
    """

    def falls_too_little(point: Point) -> bool:
        return point.loss > start.loss + c1 * point.t * start.slope

    def is_flat(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    previous, point, steps = start, at(t), 0
    while steps < max_steps:
        if falls_too_little(point) or (steps > 1 and point.loss >= previous.loss):
            break
        if is_flat(point):
            return point, steps + 1
        if point.slope >= 0:
            break
        bounds = (point.t + 0.01 * (point.t - previous.t), 10 * point.t)
        t = cubic_minimum(previous, point, bounds)
        previous, point = point, at(t)
        steps += 1
    else:
        previous = start

    bracket = [previous, point]
    low, high = _order(bracket)
    near_the_end = False  # the last trial was close to an end of the bracket
    while steps < max_steps:
        left, right = sorted((bracket[0].t, bracket[1].t))
        if (right - left) * size < tolerance_change:
            break
        t = cubic_minimum(bracket[0], bracket[1])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            near_the_end = False
        elif near_the_end or t >= right or t <= left:  # go a tenth inwards
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_the_end = False
        else:
            near_the_end = True
        point = at(t)
        steps += 1
        if falls_too_little(point) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low, high = _order(bracket)
            continue
        if is_flat(point):
            return point, steps + 1
        if point.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
    return bracket[low], steps + 1


def _order(bracket: list[Point]) -> tuple[int, int]:
    """Which end has the lower loss, and which the higher."""
    return (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
