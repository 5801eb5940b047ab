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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigen.testing.diagnosis import diagnose_shape
from minigen.testing.explain import Round, explain
from minigen.testing.measure import SINGLE, Measure, flattened, precision_for
from minigen.testing.report import Report
from minigen.testing.subjects import Subject
from minigen.testing.terms import Terms

__all__ = ["Check"]


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
        self.nondet_tol, self.sizes, self.terms = nondet_tol, dict(sizes or {}), terms

    def run(self) -> None:
        outputs = self._outputs_twice()
        if outputs is None:
            return
        self.measure = Measure(self.subject, precision_for(self.subject, self.given))
        self._note_float32()
        left_out = 0
        for cotangents in [self._cotangents(outputs) for _ in range(self.rounds)]:
            gradients = self._gradients_twice(cotangents)
            if gradients is None:
                return
            this = Round(outputs, cotangents, gradients)
            if self._misshapen(this):
                return
            failed = [i for i in range(len(gradients)) if self._disagrees(i, this)]
            if failed:
                left_out = explain(
                    self.report, self.measure, this, failed, self.sizes, self.terms, self.rng
                )
                break
        self.report.checked = sum(a.size for a in self.measure.at) - left_out

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

    def _note_float32(self) -> None:
        narrow = [n for n, a in zip(self.subject.names, self.subject.start) if a.itemsize < 8]
        if narrow:
            rough = self.measure.precision.dtype == SINGLE.dtype
            how = (
                "the function insists on float32, so the derivatives are rough, too"
                if rough
                else "they are compared with derivatives in float64"
            )
            self.report.notes.append(
                f"{', '.join(narrow)} {'is' if len(narrow) == 1 else 'are'} float32: {how}, with a "
                f"tolerance of {self.measure.precision.rtol:g}; pass float64 for a check that is "
                "20 times sharper or more"
            )

    # ---------------------------------------------------------------------------- comparing

    def _disagrees(self, i: int, of: Round) -> bool:
        """Whether the gradient of argument i fails along a random direction."""
        shape, g = self.measure.at[i].shape, of.gradients[i]
        g = np.zeros(shape) if g is None else g.astype(np.float64)
        if g.size == 0:
            return False
        v = np.asarray(self.rng.standard_normal(shape))
        numeric = self.measure.slope(i, v, flattened(of.cotangents))
        if not np.isfinite(g).all():
            return True
        ours, limits = float((g * v).sum()), self.measure.precision
        scale = max(abs(ours), abs(numeric.value), float(np.sqrt((g * g).sum())))
        if numeric.error > 1e-3 * max(scale, limits.atol):
            return True  # beside a kink, or hardly computable: look at it entry by entry
        allowed = limits.rtol * scale + limits.atol + 2 * numeric.error
        return not abs(ours - numeric.value) <= allowed

    def _misshapen(self, of: Round) -> bool:
        """Report wrong shapes and dtypes."""
        for i, (name, start) in enumerate(zip(self.subject.names, self.subject.start)):
            g = of.gradients[i]
            if g is None:
                continue
            if g.shape != start.shape:
                want = (self.measure.jacobian(i) @ flattened(of.cotangents)).reshape(start.shape)
                self.report.findings.append(diagnose_shape(name, g, want))
            elif g.dtype != start.dtype:
                self.report.add(
                    "dtype",
                    name,
                    f"dtype {g.dtype}, but {name} is {start.dtype}: a gradient has the dtype of "
                    "what it is the gradient of",
                )
        return bool(self.report.findings)
