"""The numerical derivatives of one subject at one point, in a precision that suits its dtypes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigen.testing.numeric import Slope, complex_slope, derivative, kink, slope
from minigen.testing.subjects import NumpySubject, Subject

__all__ = ["SINGLE", "Measure", "Precision", "flattened", "precision_for"]


@dataclass(frozen=True)
class Precision:
    """In what precision values are computed, the step that goes with it, and what may differ."""

    dtype: Any
    epsilon: float
    step: float
    rtol: float
    atol: float


DOUBLE = Precision(np.float64, 2.3e-16, 1e-4, 1e-6, 0.0)
SINGLE_GRADIENT = replace(DOUBLE, rtol=2e-5, atol=1e-6)  # float32, but values in float64
SINGLE = Precision(np.float32, 1.2e-7, 2e-2, 3e-2, 1e-4)


def precision_for(subject: Subject, given: Mapping[str, float | None]) -> Precision:
    """float64 throughout; for float32 inputs, float64 values if the function can give them.

    given: `step`, `rtol`, `atol` as far as the user chose them.
    """
    chosen = DOUBLE
    if any(a.itemsize < 8 for a in subject.start):
        chosen = SINGLE
        try:
            wide = subject.outputs([a.astype(np.float64) for a in subject.start], np.float64)
        except (RuntimeError, TypeError, ValueError):
            wide = []
        if wide and all(o.dtype == np.float64 for o in wide):
            chosen = SINGLE_GRADIENT
    return replace(chosen, **{n: value for n, value in given.items() if value is not None})


def flattened(arrays: Sequence) -> np.ndarray:
    """All numbers of some arrays in one row."""
    return np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in arrays])


class Measure:
    """Derivatives of all outputs of a subject, one flat array, at the values `at`."""

    def __init__(self, subject: Subject, precision: Precision, at: Sequence | None = None) -> None:
        self.subject, self.precision = subject, precision
        self.at = [a.astype(precision.dtype) for a in at or subject.start]
        self.here = self._outputs(self.at)

    def with_argument(self, name: str, array: np.ndarray) -> Measure:
        """The same where one argument is another array."""
        at = list(self.at)
        at[self.subject.names.index(name)] = array
        return Measure(self.subject, self.precision, at)

    def slope(self, i: int, direction: np.ndarray, weights: np.ndarray) -> Slope:
        """<weights, outputs> as argument i moves along a direction; by the complex step if the
        function takes complex numbers and stays what it was."""
        curve = self._curve(i, direction)
        found = slope(curve, weights, self._step(i), self.precision.epsilon)
        if isinstance(self.subject, NumpySubject) and self.precision.dtype == np.float64:
            exact = _complex(curve, weights)
            agreed = 10 * found.error + 1e-7 * abs(found.value)
            if exact is not None and abs(exact.value - found.value) <= agreed:
                return exact
        return found

    def slope_of_entry(self, i: int, entry: int, weights: np.ndarray) -> Slope:
        """`slope` as one entry of argument i moves."""
        return self.slope(i, self._unit(i, entry), weights)

    def jacobian(self, i: int, entries: Any = None) -> np.ndarray:
        """The derivative of all outputs, a row for each of some (or all) entries of argument i."""
        entries = range(self.at[i].size) if entries is None else entries
        rows = np.empty((len(entries), self.here.size))
        for row, entry in zip(rows, entries):
            curve = self._curve(i, self._unit(i, entry))
            row[:] = derivative(curve, self._step(i), 1e-10)
        return rows

    def contracted(self, i: int, entries: Any, weights: np.ndarray) -> np.ndarray:
        """`jacobian` times the weights, without storing it."""
        return np.array([self.jacobian(i, [entry])[0] @ weights for entry in entries])

    def excuses(self, i: int, entry: int, weights: np.ndarray, scale: float, given: float) -> bool:
        """Whether there is no derivative as this entry moves, and what was given lies between the
        slopes to both sides."""
        curve = self._curve(i, self._unit(i, entry))
        slopes = kink(curve, weights, self._step(i), scale)
        slack = 1e-3 * scale
        return slopes is not None and min(slopes) - slack <= given <= max(slopes) + slack

    def noise(self, i: int, weights: np.ndarray) -> float:
        """What rounding may do to a derivative of <weights, outputs> by argument i."""
        size = float(np.sqrt(((weights * self.here) ** 2).sum()))
        return 100 * self.precision.epsilon * size / self._step(i)

    def _outputs(self, arrays: Sequence) -> np.ndarray:
        outputs = self.subject.outputs(arrays, self.precision.dtype)
        return np.concatenate([o.reshape(-1) for o in outputs])

    def _curve(self, i: int, direction: np.ndarray) -> Callable[[Any], np.ndarray]:
        def outputs(t: Any) -> np.ndarray:
            if t == 0:
                return self.here
            arrays = list(self.at)
            moved = self.at[i] + t * direction
            arrays[i] = np.asarray(
                moved if isinstance(t, complex) else moved.astype(self.precision.dtype)
            )
            return self._outputs(arrays)

        return outputs

    def _step(self, i: int) -> float:
        """The step of a difference, in proportion to the numbers that are moved."""
        a = self.at[i]
        typical = float(np.sqrt((a * a).mean())) if a.size else 0.0
        return self.precision.step * (min(max(typical, 1e-3), 1e6) if typical else 1.0)

    def _unit(self, i: int, entry: int) -> np.ndarray:
        unit = np.zeros(self.at[i].size)
        unit[entry] = 1.0
        return unit.reshape(self.at[i].shape)


def _complex(curve: Callable, weights: np.ndarray) -> Slope | None:
    """The complex step, where the function takes complex numbers and stays analytic."""
    try:
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")  # a part of a complex number was thrown away
            found = complex_slope(curve, weights)
    except Exception:  # it was written for real numbers: nothing is wrong with that
        return None
    return found if np.isfinite(found.value) else None
