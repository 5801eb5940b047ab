"""After a failure: compare entry by entry, leave kinks out, gather the evidence for a diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.testing.diagnosis import diagnose
from minigen.testing.evidence import Evidence
from minigen.testing.measure import Measure, flattened
from minigen.testing.report import Report
from minigen.testing.subjects import GradientSubject, Subject
from minigen.testing.terms import Terms, add_up

__all__ = ["Round", "explain"]

LARGEST = 4096  # entries of an argument that are looked at one by one


@dataclass(frozen=True)
class Round:
    """The gradients that came back for one choice of cotangents."""

    outputs: Sequence[np.ndarray]
    cotangents: Sequence[np.ndarray]
    gradients: Sequence[np.ndarray | None]


@dataclass(frozen=True)
class Difference:
    """One argument, entry by entry; the Jacobian only if all entries were looked at."""

    got: np.ndarray
    want: np.ndarray
    wrong: np.ndarray
    jacobian: np.ndarray | None


def explain(
    report: Report, measure: Measure, of: Round, failed: Sequence[int], sizes: Mapping[str, float],
    terms: Terms | str | None, rng: np.random.Generator,
) -> int:  # fmt: skip
    """Add findings for the arguments that failed; how many entries were left out as kinks."""
    subject, left_out = measure.subject, 0
    wrong: dict[int, Difference] = {}
    for i in failed:
        found, kinks = _compare(report, measure, of, i, rng)
        left_out += kinks
        if found is not None:
            wrong[i] = found
    wants = {subject.names[i]: difference.want for i, difference in wrong.items()}
    for i, gradient in enumerate(of.gradients):
        if i not in wrong and gradient is not None:  # it agreed, so it is right
            wants[subject.names[i]] = gradient.astype(np.float64)
    inputs = {**subject.constants, **dict(zip(subject.names, measure.at))}
    diagnoses = []
    for i, difference in wrong.items():
        evidence = Evidence(
            name=subject.names[i],
            got=difference.got,
            want=difference.want,
            wrong=difference.wrong,
            names=subject.names,
            inputs=inputs,
            outputs=of.outputs,
            cotangents=of.cotangents,
            jacobian=difference.jacobian,
            given=_given(subject, i),
            right_with=_right_with(measure, i, of.cotangents),
            wants=wants,
            sizes=_all_sizes(sizes, inputs, of.outputs),
            given_sizes=list(sizes),
            terms=_terms(terms, subject, inputs, i, difference.want, of.cotangents),
            untracked=of.gradients[i] is None,
        )
        diagnoses.append(diagnose(evidence))
    diagnoses.sort(key=lambda findings: not findings[0].specific)  # a named mistake comes first
    report.findings += [finding for findings in diagnoses for finding in findings]
    return left_out


# ---------------------------------------------------------------------------- entry by entry


def _compare(
    report: Report, measure: Measure, of: Round, i: int, rng: np.random.Generator
) -> tuple[Difference | None, int]:
    """Where argument i differs, None if nowhere, and how many of its entries are kinks."""
    gradient, shape = of.gradients[i], measure.at[i].shape
    got = np.zeros(shape) if gradient is None else gradient.astype(np.float64)
    entries = np.arange(got.size)
    if got.size > LARGEST:
        entries = np.sort(rng.choice(got.size, LARGEST, replace=False))
        name = measure.subject.names[i]
        report.notes.append(f"{name}: {LARGEST} of its {got.size} entries were looked at")
    weights = flattened(of.cotangents)
    jacobian = measure.jacobian(i, entries)
    measured, given = jacobian @ weights, got.reshape(-1)[entries]
    scale = float(np.abs(measured).max(initial=0.0))
    rtol = max(10 * measure.precision.rtol, 1e-5)
    allowed = rtol * np.maximum(np.abs(measured), 0.01 * scale) + 10 * measure.precision.atol
    differs = ~(np.abs(given - measured) <= allowed)
    kinks = [n for n in np.flatnonzero(differs) if measure.is_kink(i, entries[n], weights, scale)]
    differs[kinks] = False
    _note_kinks(report, measure, i, entries[kinks])
    if not differs.any():
        if len(kinks) == len(entries):
            report.add(
                "kink",
                measure.subject.names[i],
                "nothing could be checked: the function has no derivative at any entry (it has a "
                "kink or a jump there); choose other inputs",
            )
        return None, len(kinks)
    want, wrong = got.copy(), np.zeros(got.size, bool)
    want.reshape(-1)[entries] = np.where(np.isin(np.arange(len(entries)), kinks), given, measured)
    wrong[entries] = differs
    whole = jacobian if len(entries) == got.size else None
    return Difference(got, want, wrong.reshape(shape), whole), len(kinks)


def _note_kinks(report: Report, measure: Measure, i: int, entries: np.ndarray) -> None:
    if not len(entries):
        return
    a, name = measure.at[i], measure.subject.names[i]
    first = np.unravel_index(int(entries[0]), a.shape)
    where = f"{name}{[int(n) for n in first]}" if a.ndim else name
    report.notes.append(
        f"{len(entries)} of {a.size} entries of {name} were left out: the function has no "
        f"derivative there, as at {where} = {a[first]:.6g} (a kink or a jump, as of relu at 0 "
        "or of max among equals), so that no gradient can be called wrong"
    )


# ------------------------------------------------------------------------------- the evidence


def _given(subject: Subject, i: int) -> Callable[[Sequence], np.ndarray | None]:
    def gradient(cotangents: Sequence) -> np.ndarray | None:
        to = subject.start[i].dtype
        try:
            found = subject.gradients(
                subject.start, [np.asarray(c).astype(to) for c in cotangents]
            )[i]
        except Exception:  # whatever a wrong backward does with another cotangent
            return None
        return None if found is None else np.asarray(found, np.float64)

    return gradient


def _right_with(measure: Measure, i: int, cotangents: Sequence) -> Callable[[str, Any], Any]:
    def gradient(name: str, array: np.ndarray) -> np.ndarray | None:
        a = measure.at[i]
        if name not in measure.subject.names or a.size > 400:
            return None
        other = measure.with_argument(name, array)
        return (other.jacobian(i) @ flattened(cotangents)).reshape(a.shape)

    return gradient


def _all_sizes(
    given: Mapping[str, float], inputs: Mapping[str, np.ndarray], outputs: Sequence
) -> dict[str, float]:
    """Numbers that people forget: those given by the user first, then all extents."""
    sizes = {name: float(value) for name, value in given.items()}
    many = len(outputs) > 1
    named = {f"output {i}" if many else "output": output for i, output in enumerate(outputs)}
    known = set(sizes.values())
    for name, array in {**inputs, **named}.items():
        extents = {f"{name}.shape[{k}]": n for k, n in enumerate(array.shape)}
        for label, n in {**extents, f"{name}.size": array.size}.items():
            if float(n) not in known:
                known.add(float(n))
                sizes[label] = float(n)
    return sizes


def _terms(
    given: Terms | str | None, subject: Subject, inputs: Mapping[str, np.ndarray], i: int,
    want: np.ndarray, cotangents: Sequence,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The named terms whose sum the right gradient is, if any are known."""
    if isinstance(subject, GradientSubject):
        return {}
    arrays = [inputs[name] for name in subject.order]
    return add_up(given, cotangents, arrays, subject.order.index(subject.names[i]), want)
