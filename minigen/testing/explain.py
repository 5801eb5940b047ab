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
from minigen.testing.subjects import GradientSubject, NumpySubject, Subject
from minigen.testing.terms import Terms, add_up

__all__ = ["Round", "explain"]

LARGEST = 4096  # entries of an argument that are looked at one by one, at most
BUDGET = 2e7  # numbers of output that this may take
STORED = 4e6  # numbers of a Jacobian that is kept


@dataclass(frozen=True)
class Round:
    """The gradients that came back for one choice of cotangents."""

    outputs: Sequence[np.ndarray]
    cotangents: Sequence[np.ndarray]
    gradients: Sequence[np.ndarray | None]


@dataclass(frozen=True)
class Difference:
    """One argument, entry by entry; or a sample of its entries, in one row."""

    got: np.ndarray
    want: np.ndarray
    wrong: np.ndarray
    jacobian: np.ndarray | None  # if all entries were looked at, and it is not too large
    entries: np.ndarray | None  # of a sample: where they stand in the whole argument


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
    wants = {name: want for name, want in wants.items() if want.shape == _shape(measure, name)}
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
            terms={}
            if difference.entries is not None
            else _terms(terms, subject, inputs, i, difference.want, of.cotangents),
            untracked=_untracked(subject) if of.gradients[i] is None else "",
            entries=difference.entries,
            whole=measure.at[i].shape,
        )
        diagnoses.append(diagnose(evidence))
    diagnoses.sort(key=lambda findings: not findings[0].specific)  # a named mistake comes first
    report.findings += [finding for findings in diagnoses for finding in findings]
    return left_out


def _shape(measure: Measure, name: str) -> tuple[int, ...]:
    return measure.at[measure.subject.names.index(name)].shape


# ---------------------------------------------------------------------------- entry by entry


def _compare(
    report: Report, measure: Measure, of: Round, i: int, rng: np.random.Generator
) -> tuple[Difference | None, int]:
    """Where argument i differs, None if nowhere, and how many of its entries are kinks."""
    gradient, shape = of.gradients[i], measure.at[i].shape
    got = np.zeros(shape) if gradient is None else gradient.astype(np.float64)
    weights, size = flattened(of.cotangents), measure.here.size
    most = int(min(LARGEST, max(32, BUDGET // max(size, 1))))
    entries = np.arange(got.size)
    if got.size > most:
        entries = _suspects(measure, i, got, weights, most, rng)
    whole = len(entries) == got.size
    jacobian = measure.jacobian(i, entries) if len(entries) * size <= STORED else None
    if jacobian is not None:
        measured = jacobian @ weights
    else:
        measured = measure.contracted(i, entries, weights)
    given = got.reshape(-1)[entries]
    differs, kinks = _differences(measure, i, entries, given, measured, weights)
    _note_kinks(report, measure, i, entries[kinks])
    if not differs.any():
        if len(kinks) == len(entries):
            report.add(
                "kink",
                measure.subject.names[i],
                "nothing could be checked: the function has no derivative at any entry (it has a "
                "kink or a jump there); choose other inputs",
            )
        elif not whole:
            report.notes.append(
                f"{measure.subject.names[i]}: along a random direction its gradient is off, or "
                f"could not be measured (kinks?), but none of the {len(entries)} entries that were "
                f"looked at is wrong, of {got.size:,}; check smaller inputs"
            )
        return None, len(kinks)
    want: np.ndarray = np.where(np.isin(np.arange(len(entries)), kinks), given, measured)
    if not whole:
        return Difference(given, want, differs, None, entries), len(kinks)
    return (
        Difference(got, want.reshape(shape), differs.reshape(shape), jacobian, None),
        len(kinks),
    )


def _differences(
    measure: Measure, i: int, entries: np.ndarray, given: np.ndarray, measured: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, list[int]]:  # fmt: skip
    """Which entries differ, and which have no derivative that could be compared with."""
    finite = np.abs(measured[np.isfinite(measured)])
    scale = float(finite.max(initial=0.0))
    rtol = max(10 * measure.precision.rtol, 1e-5)
    floor = 10 * measure.precision.atol + measure.noise(i, weights)
    allowed = rtol * np.maximum(np.abs(measured), 0.01 * scale) + floor
    with np.errstate(invalid="ignore"):
        differs = ~(np.abs(given - measured) <= allowed)
    for n in np.flatnonzero(differs):  # beside a kink only smaller steps tell
        closer = measure.slope_of_entry(i, entries[n], weights)
        gap = abs(given[n] - closer.value)
        if closer.error <= rtol * scale and gap <= allowed[n] + 2 * closer.error:
            differs[n] = False
    kinks = [
        int(n)
        for n in np.flatnonzero(differs)
        if measure.excuses(i, entries[n], weights, scale, given[n])
    ]
    differs[kinks] = False
    return differs, kinks


def _suspects(
    measure: Measure, i: int, got: np.ndarray, weights: np.ndarray, most: int,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Entries of a large argument: half of them from where it is wrong, found by halving, half at
    random."""
    others = rng.choice(got.size, most // 2, replace=False)
    endless = np.flatnonzero(~np.isfinite(got))
    if len(endless):  # no projection can tell where it is wrong
        return np.unique(np.concatenate([endless[: most // 2], others]))
    low, high = 0, got.size
    while high - low > most // 2:
        middle = (low + high) // 2
        gaps = []
        for start, stop in ((low, middle), (middle, high)):
            v = np.zeros(got.size)
            v[start:stop] = rng.standard_normal(stop - start)
            along = v.reshape(got.shape)
            gaps.append(abs(measure.slope(i, along, weights).value - float((got * along).sum())))
        low, high = (low, middle) if gaps[0] >= gaps[1] else (middle, high)
    return np.unique(np.concatenate([np.arange(low, high), others]))


def _note_kinks(report: Report, measure: Measure, i: int, entries: np.ndarray) -> None:
    if not len(entries):
        return
    a, name = measure.at[i], measure.subject.names[i]
    first = np.unravel_index(int(entries[0]), a.shape)
    where = f"{name}{[int(n) for n in first]}" if a.ndim else name
    report.notes.append(
        f"{len(entries)} of {a.size} entries of {name} were left out: the function has no "
        f"derivative there or right beside it, as at {where} = {a[first]:.6g} (a kink or a jump, "
        "as of relu at 0 or of max among equals); what was given lies between the slopes to "
        "both sides"
    )


# ------------------------------------------------------------------------------- the evidence


def _untracked(subject: Subject) -> str:
    if isinstance(subject, NumpySubject):
        return "backward returned None for it, but the output depends on it"
    return (
        "there is none: no graph leads from the output to it. Was it cut by .detach(), .data, "
        ".item(), a NumPy function, or no_grad?"
    )


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
        if name not in measure.subject.names or a.size > 400 or a.size * measure.here.size > 1e6:
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
