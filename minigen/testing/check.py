"""Compare gradients with numerical derivatives: a projection first, entry by entry on a failure.

For a function f and a random cotangent c the gradient of <c, f(x)> is what backward returns. Its
product with a random direction v has to equal the slope of <c, f(x + t v)> at t = 0: two or three
evaluations for each argument, whatever its size. A wrong entry escapes only if chance makes its
error orthogonal to v. A cotangent of ones would not do: for it the gradient of softmax is 0, and so
are half of the terms of a normalisation, right or wrong.

Only when the two disagree is the derivative taken for each entry, to say where, and what it looks
like (`minigen.testing.diagnosis`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.testing.diagnosis import diagnose, diagnose_shape
from minigen.testing.evidence import Evidence
from minigen.testing.numeric import Slope, complex_slope, is_kink, slope
from minigen.testing.report import Report
from minigen.testing.subjects import GradientSubject, NumpySubject, Subject
from minigen.testing.terms import Terms, add_up

__all__ = ["Check", "Precision"]

LARGEST = 4096  # entries of an argument that are looked at one by one after a failure


@dataclass(frozen=True)
class Precision:
    """In what precision values are computed, the step that goes with it, and what may differ."""

    dtype: Any
    epsilon: float
    step: float
    rtol: float
    atol: float


DOUBLE = Precision(np.float64, 2.3e-16, 1e-4, 1e-6, 1e-10)
SINGLE_GRADIENT = Precision(np.float64, 2.3e-16, 1e-4, 2e-5, 1e-6)  # values still in float64
SINGLE = Precision(np.float32, 1.2e-7, 2e-2, 3e-2, 1e-4)


class Check:
    """One run over one subject; `run` fills the report."""

    def __init__(
        self,
        subject: Subject,
        report: Report,
        *,
        seed: int = 0,
        rounds: int = 2,
        eps: float | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        nondet_tol: float = 0.0,
        sizes: Mapping[str, float] | None = None,
        terms: Terms | str | None = None,
    ) -> None:
        self.subject, self.report, self.rounds = subject, report, rounds
        self.rng = np.random.default_rng(seed)
        self.given = {"step": eps, "rtol": rtol, "atol": atol}
        self.left_out = 0
        self.nondet_tol, self.sizes, self.terms = nondet_tol, dict(sizes or {}), terms

    def run(self) -> None:
        outputs = self._outputs_twice()
        if outputs is None:
            return
        self.precision = self._precision(outputs)
        self.at = [a.astype(self.precision.dtype) for a in self.subject.start]
        self.here = self._flat(self.at)
        for cotangents in [self._cotangents(outputs) for _ in range(self.rounds)]:
            gradients = self._gradients_twice(cotangents)
            if gradients is None or self._misshapen(gradients, cotangents, outputs):
                return
            failed = [i for i in range(len(gradients)) if self._disagrees(i, gradients, cotangents)]
            if failed:
                self._explain(failed, gradients, cotangents, outputs)
                break
        self.report.checked = sum(a.size for a in self.at) - self.left_out

    # ---------------------------------------------------------------------- what runs, twice

    def _outputs_twice(self) -> list[np.ndarray] | None:
        """The outputs, if forward is a function: the same twice, and nothing written into."""
        outputs, again = (
            [np.array(o) for o in self.subject.outputs(self.subject.start)] for _ in range(2)
        )
        if not outputs:
            raise ValueError(f"gradcheck: {self.subject.title} has no floating-point output")
        if changed := self.subject.changed():
            self._add("mutated", f"forward wrote into {', '.join(changed)}: it must work on copies")
        elif not self._same(outputs, again):
            self._add(
                "random",
                "two runs on the same inputs differ: forward is not deterministic (dropout? call "
                ".eval(), or seed it inside), so its gradient cannot be checked",
            )
        elif not self._same_in_any_layout(outputs):
            self._add(
                "layout",
                "the outputs depend on how the inputs lie in memory: a contiguous copy gives "
                "others (does forward read .base, .flat, or raw memory?)",
            )
        elif not all(np.isfinite(o).all() for o in outputs):
            self._add("nonfinite", "the outputs are NaN or infinite at these inputs; choose others")
        return None if self.report.findings else outputs

    def _same_in_any_layout(self, outputs: Sequence) -> bool:
        if all(a.flags.c_contiguous for a in self.subject.start):
            return True
        copies = self.subject.outputs([np.array(a, order="C") for a in self.subject.start])
        return all(
            a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)
            for a, b in zip(outputs, copies)
        )

    def _gradients_twice(self, cotangents: list[np.ndarray]) -> list | None:
        before = [c.copy() for c in cotangents]
        try:
            gradients = self.subject.gradients(self.subject.start, cotangents)
            gradients = [None if g is None else np.array(g) for g in gradients]
            again = self.subject.gradients(self.subject.start, cotangents)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            self._add("error", f"backward failed: {type(error).__name__}: {error}")
            return None
        if changed := self.subject.changed():
            self._add(
                "mutated", f"backward wrote into {', '.join(changed)}: it must work on copies"
            )
        elif not all(np.array_equal(c, b) for c, b in zip(cotangents, before)):
            self._add("mutated", "backward wrote into the cotangent that it was given")
        elif len(gradients) != len(self.subject.start):
            self._add(
                "count",
                f"backward returned {len(gradients)} gradients for {len(self.subject.start)} "
                f"arguments ({', '.join(self.subject.names)})",
            )
        elif not self._same(gradients, again):
            self._add(
                "random",
                "two runs of backward on the same inputs differ: it is not deterministic",
            )
        return None if self.report.findings else gradients

    def _same(self, first: Sequence, second: Sequence) -> bool:
        def close(a: Any, b: Any) -> bool:
            if a is None or b is None:
                return a is b
            return np.shape(a) == np.shape(b) and bool(
                np.allclose(a, b, rtol=0, atol=self.nondet_tol, equal_nan=True)
            )

        return len(first) == len(second) and all(map(close, first, second))

    def _add(self, kind: str, text: str) -> None:
        self.report.add(kind, "", text)

    def _cotangents(self, outputs: Sequence) -> list[np.ndarray]:
        return [np.asarray(self.rng.standard_normal(o.shape)).astype(o.dtype) for o in outputs]

    def _precision(self, outputs: Sequence) -> Precision:
        """float64 throughout; for float32 inputs, float64 values if the function can give them."""
        narrow = [n for n, a in zip(self.subject.names, self.subject.start) if a.itemsize < 8]
        chosen = DOUBLE
        if narrow:
            chosen = SINGLE
            try:
                wide = self.subject.outputs([a.astype(np.float64) for a in self.subject.start],
                                            np.float64)  # fmt: skip
                if all(o.dtype == np.float64 for o in wide):
                    chosen = SINGLE_GRADIENT
            except (RuntimeError, TypeError, ValueError):
                pass
            how = (
                "they are compared with derivatives in float64"
                if chosen is SINGLE_GRADIENT
                else "the function insists on float32, so the derivatives are rough, too"
            )
            self.report.notes.append(
                f"{', '.join(narrow)} {'is' if len(narrow) == 1 else 'are'} float32: {how}, with a "
                f"tolerance of {chosen.rtol:g}; pass float64 for a check that is 20 times sharper "
                "or more"
            )
        values = {name: value for name, value in self.given.items() if value is not None}
        return Precision(**{**chosen.__dict__, **values})

    # ---------------------------------------------------------------------------- comparing

    def _flat(self, arrays: Sequence) -> np.ndarray:
        to = self.precision.dtype
        return np.concatenate([o.reshape(-1) for o in self.subject.outputs(arrays, to)])

    def _curve(self, position: int, direction: np.ndarray) -> Callable[[Any], np.ndarray]:
        """All outputs, flat, as argument `position` moves along `direction`."""

        def outputs(t: Any) -> np.ndarray:
            arrays = list(self.at)
            moved = self.at[position] + t * direction
            arrays[position] = np.asarray(
                moved if isinstance(t, complex) else moved.astype(self.precision.dtype)
            )
            return self.here if t == 0 else self._flat(arrays)

        return outputs

    def _step(self, position: int) -> float:
        """The step of a difference, in proportion to the numbers that are moved."""
        a = self.at[position]
        typical = float(np.sqrt((a * a).mean())) if a.size else 1.0
        return (
            self.precision.step * min(max(typical, 1e-3), 1e6) if typical else (self.precision.step)
        )

    def _slope(self, position: int, direction: np.ndarray, weights: np.ndarray) -> Slope:
        curve = self._curve(position, direction)
        found = slope(curve, weights, self._step(position), self.precision.epsilon)
        if isinstance(self.subject, NumpySubject) and self.precision.dtype == np.float64:
            exact = _complex(curve, weights)
            if exact is not None and abs(exact.value - found.value) <= 10 * found.error + (
                1e-7 * abs(found.value)
            ):
                return exact
        return found

    def _disagrees(self, i: int, gradients: Sequence, cotangents: Sequence) -> bool:
        """Whether the gradient of argument i fails along a random direction."""
        a, g = self.at[i], gradients[i]
        if a.size == 0:
            return False
        v = np.asarray(self.rng.standard_normal(a.shape))
        numeric = self._slope(i, v, _flattened(cotangents))
        if g is None:
            g = np.zeros(a.shape)
        if not np.isfinite(g).all():
            return True
        ours = float((g.astype(np.float64) * v).sum())
        scale = max(abs(ours), abs(numeric.value), float(np.sqrt((g.astype(float) ** 2).sum())))
        if numeric.error > 1e-3 * max(scale, self.precision.atol) and numeric.error > 1e-6:
            return True  # beside a kink, or hardly computable: look at it entry by entry
        allowed = self.precision.rtol * scale + self.precision.atol + 2 * numeric.error
        return not abs(ours - numeric.value) <= allowed

    def _misshapen(self, gradients: Sequence, cotangents: Sequence, outputs: Sequence) -> bool:
        """Report wrong shapes and dtypes."""
        for i, (name, start, g) in enumerate(
            zip(self.subject.names, self.subject.start, gradients)
        ):
            if g is None:
                continue
            if g.shape != start.shape:
                want = self._jacobian(i, np.arange(start.size)) @ _flattened(cotangents)
                self.report.findings.append(diagnose_shape(name, g, want.reshape(start.shape)))
            elif g.dtype != start.dtype:
                self.report.add(
                    "dtype",
                    name,
                    f"dtype {g.dtype}, but {name} is {start.dtype}: a gradient has the dtype of "
                    "what it is the gradient of",
                )
        return bool(self.report.findings)

    # --------------------------------------------------------------------------- explaining

    def _jacobian(self, i: int, entries: np.ndarray) -> np.ndarray:
        """The derivative of all outputs with respect to some entries of argument i, row by row."""
        rows = np.empty((len(entries), self.here.size))
        for row, entry in zip(rows, entries):
            row[:] = _derivative(
                self._curve(i, self._unit(i, entry)), self._step(i), self.precision
            )
        return rows

    def _unit(self, i: int, entry: int) -> np.ndarray:
        unit = np.zeros(self.at[i].size)
        unit[entry] = 1.0
        return unit.reshape(self.at[i].shape)

    def _explain(self, failed: list[int], gradients: list, cotangents: list, outputs: list) -> None:
        """Compare entry by entry, leave kinks out, and say what is wrong."""
        wrong = {}
        for i in failed:
            found = self._entries(i, gradients[i], cotangents)
            if found is not None:
                wrong[i] = found
        wants = {self.subject.names[i]: want for i, (_, want, _, _) in wrong.items()}
        for i in set(range(len(gradients))) - set(wrong):
            if gradients[i] is not None:  # it agreed, so it is right
                wants[self.subject.names[i]] = gradients[i].astype(np.float64)
        inputs = {**self.subject.constants, **dict(zip(self.subject.names, self.at))}
        for i, (got, want, mask, jacobian) in wrong.items():
            name = self.subject.names[i]
            evidence = Evidence(
                name, got, want, mask, i, self.subject.names, inputs, outputs, cotangents,
                jacobian, self._given(i), self._right_with(i, cotangents), wants,
                self._all_sizes(outputs), list(self.sizes), self._terms_of(i, want, cotangents),
                gradients[i] is None,
            )  # fmt: skip
            self.report.findings += diagnose(evidence)

    def _entries(self, i: int, g: np.ndarray | None, cotangents: list) -> tuple | None:
        """(got, want, where they differ, Jacobian) of one argument; None if nothing differs."""
        a = self.at[i]
        got = np.zeros(a.shape) if g is None else g.astype(np.float64)
        entries = np.arange(a.size)
        if a.size > LARGEST:
            entries = np.sort(self.rng.choice(a.size, LARGEST, replace=False))
            self.report.notes.append(
                f"{self.subject.names[i]}: {LARGEST} of its {a.size} entries were looked at"
            )
        weights = _flattened(cotangents)
        jacobian = self._jacobian(i, entries)
        measured = jacobian @ weights
        given = got.reshape(-1)[entries]
        scale = float(np.abs(measured).max(initial=0.0))
        rtol = max(10 * self.precision.rtol, 1e-5)
        allowed = rtol * np.maximum(np.abs(measured), 0.01 * scale) + 10 * self.precision.atol
        differs = ~(np.abs(given - measured) <= allowed)
        kinks = [n for n in np.flatnonzero(differs) if self._kink(i, entries[n], weights, scale)]
        differs[kinks] = False
        self._note_kinks(i, entries[kinks])
        if not differs.any():
            if len(kinks) == len(entries):
                self.report.add(
                    "kink",
                    self.subject.names[i],
                    "nothing could be checked: the function has no derivative at any entry (it has "
                    "a kink or a jump there); choose other inputs",
                )
            return None
        want = got.copy()
        want.reshape(-1)[entries] = measured
        for n in kinks:
            want.reshape(-1)[entries[n]] = given[n]
        mask = np.zeros(a.size, bool)
        mask[entries] = differs
        whole = len(entries) == a.size
        return got, want, mask.reshape(a.shape), jacobian if whole else None

    def _kink(self, i: int, entry: int, weights: np.ndarray, scale: float) -> bool:
        curve = self._curve(i, self._unit(i, entry))
        return is_kink(curve, weights, self._step(i), scale)

    def _note_kinks(self, i: int, entries: np.ndarray) -> None:
        if not len(entries):
            return
        self.left_out += len(entries)
        a, name = self.at[i], self.subject.names[i]
        first = np.unravel_index(int(entries[0]), a.shape)
        where = f"{name}{[int(n) for n in first]}" if a.ndim else name
        self.report.notes.append(
            f"{len(entries)} of {a.size} entries of {name} were left out: the function has no "
            f"derivative there, as at {where} = {a[first]:.6g} (a kink or a jump, as of relu at 0 "
            "or of max among equals), so that no gradient can be called wrong"
        )

    def _given(self, i: int) -> Callable[[Sequence], np.ndarray | None]:
        def gradient(cotangents: Sequence) -> np.ndarray | None:
            to = self.subject.start[i].dtype
            try:
                found = self.subject.gradients(
                    self.subject.start, [np.asarray(c).astype(to) for c in cotangents]
                )[i]
            except Exception:  # whatever a wrong backward does with another cotangent
                return None
            return None if found is None else np.asarray(found, np.float64)

        return gradient

    def _right_with(self, i: int, cotangents: list) -> Callable[[str, np.ndarray], Any]:
        def gradient(name: str, array: np.ndarray) -> np.ndarray | None:
            if name not in self.subject.names or self.at[i].size > 400:
                return None
            before, here = self.at, self.here
            self.at = list(self.at)
            self.at[self.subject.names.index(name)] = array
            try:
                self.here = self._flat(self.at)
                right = self._jacobian(i, np.arange(self.at[i].size)) @ _flattened(cotangents)
            finally:
                self.at, self.here = before, here
            return right.reshape(self.at[i].shape)

        return gradient

    def _all_sizes(self, outputs: Sequence) -> dict[str, float]:
        """Numbers that people forget: those given by the user first, then all extents."""
        sizes = {name: float(value) for name, value in self.sizes.items()}
        arrays = [*zip(self.subject.names, self.at), *self.subject.constants.items()]
        arrays += [(f"output {i}" if len(outputs) > 1 else "output", o)
                   for i, o in enumerate(outputs)]  # fmt: skip
        known = set(sizes.values())
        for name, array in arrays:
            extents = {f"{name}.shape[{k}]": n for k, n in enumerate(array.shape)}
            for label, n in {**extents, f"{name}.size": array.size}.items():
                if float(n) not in known:
                    known.add(float(n))
                    sizes[label] = float(n)
        return sizes

    def _terms_of(self, i: int, want: np.ndarray, cotangents: Sequence) -> dict[str, np.ndarray]:
        """The named terms whose sum the right gradient is, if any are known."""
        if isinstance(self.subject, GradientSubject):
            return {}
        known = {**self.subject.constants, **dict(zip(self.subject.names, self.at))}
        order = self.subject.order
        arrays = [known[name] for name in order]
        return add_up(self.terms, cotangents, arrays, order.index(self.subject.names[i]), want)


def _flattened(cotangents: Sequence) -> np.ndarray:
    return np.concatenate([np.asarray(c, np.float64).reshape(-1) for c in cotangents])


def _derivative(curve: Callable, step: float, precision: Precision) -> np.ndarray:
    """The derivative of every output, by extrapolated central differences."""
    best = None
    for h in (step, step / 50):
        wide, narrow = ((curve(s) - curve(-s)) / (2 * s) for s in (h, h / 8))
        value = narrow + (narrow - wide) / 63
        error = float(np.abs(narrow - wide).max(initial=0.0))
        if best is None or error < best[0]:
            best = error, value
        if error <= 1e-4 * float(np.abs(value).max(initial=0.0)) + precision.atol:
            break
    assert best is not None
    return best[1]


def _complex(curve: Callable, weights: np.ndarray) -> Slope | None:
    """The complex step, where the function takes complex numbers and stays analytic."""
    try:
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")  # a part of a complex number was thrown away
            found = complex_slope(curve, weights)
    except Exception:  # it was written for real numbers: nothing is wrong with that
        return None
    return found if np.isfinite(found.value) else None
