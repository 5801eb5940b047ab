"""Patterns of a diagnosis that ask which *term* is missing: a named one, or one through a sum."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigen.testing.evidence import Evidence, alike

__all__ = ["reduced_term", "terms", "wrong_axis"]

Answer = tuple[str, str] | None


def terms(e: Evidence) -> Answer:
    """The right gradient is a sum of named terms; which coefficients does the given one have?"""
    names = [n for n, term in e.terms.items() if np.abs(term).max(initial=0.0) > 0]
    if not names:
        return None
    columns = np.stack([e.terms[n].reshape(-1) for n in names], axis=1)
    if not alike(columns.sum(axis=1).reshape(e.shape), e.want):
        return None
    found, _, rank, _ = np.linalg.lstsq(columns, e.got.reshape(-1), rcond=1e-9)
    if rank < len(names) or not alike((columns @ found).reshape(e.shape), e.got):
        return None
    faults = [_fault(e, n, c) for n, c in zip(names, found) if abs(c - 1) > 1e-3]
    if not faults:
        return None
    rest = "; every other term is right" if len(faults) < len(names) else ""
    return "term", f"{' and '.join(faults)}{rest}"


def _fault(e: Evidence, name: str, coefficient: float) -> str:
    if abs(coefficient) < 1e-3:
        return f"the term [{name}] is missing"
    if abs(coefficient - 2) < 1e-3:
        return f"the term [{name}] is there twice"
    if abs(coefficient + 1) < 1e-3:
        return f"the term [{name}] has the wrong sign"
    reasons = e.explained(abs(coefficient))
    because = f" ({'; or '.join(reasons)})" if reasons else ""
    return f"the term [{name}] is off by the factor {coefficient:.4g}{because}"


# --------------------------------------------------------------- sums over an axis gone wrong


def _axes(e: Evidence) -> Iterator[tuple[int, ...]]:
    """Sets of axes longer than one, the larger first."""
    long = [i for i, n in enumerate(e.shape) if n > 1]
    for count in range(len(long), 0, -1):
        yield from itertools.combinations(long, count)


def _carriers(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """What the missing term may be a multiple of: nothing, or an array at hand."""
    yield "", np.ones(e.shape)
    for name in e.quantities:
        q = e.over(name)
        if q is not None and np.abs(q).min() > 1e-9 * np.abs(q).max() > 0:
            yield name, q


def reduced_term(e: Evidence) -> Answer:
    """What is missing is q s, with s the same all along an axis: a path through a sum over it."""
    for name, q in _carriers(e):
        s = e.missing / q
        for axes in _axes(e):
            if not alike(q * s.mean(axis=axes, keepdims=True), e.missing):
                continue
            if name and len(axes) == sum(n > 1 for n in e.shape):
                c = float(s.mean())
                return "term", f"a term is missing: {c:.4g} times {name}; everything else is right"
            return "sum", _missing_multiple(e, name, axes, float(s.mean()))
    for name in e.quantities:
        wide = e.over(name)
        for axes in _axes(e) if wide is not None else ():
            if np.prod([e.shape[a] for a in axes]) >= 4 and _affine(e.missing, wide, axes):
                return "sum", (
                    f"along {_words(axes)} what is missing is a constant plus a multiple of "
                    f"{name}: terms that go through a mean and a variance (or another sum) over it"
                )
    return None


def _missing_multiple(e: Evidence, name: str, axes: tuple, value: float) -> str:
    whole = len(axes) == sum(n > 1 for n in e.shape)
    if whole:
        return f"every entry lacks the same number, {value:.4g}: a term with a sum over all of them"
    carried = f"{name} times something that is" if name else ""
    return (
        f"what is missing is {carried} the same all along {_words(axes)}: a term that goes through "
        "a sum or a mean over it, wrong or left out"
    ).replace("  ", " ")


def _words(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"


def _affine(r: np.ndarray, q: Any, axes: tuple[int, ...]) -> bool:
    """Whether r = a + b q along these axes, with a and b of their own for every other index."""
    centred = r - r.mean(axis=axes, keepdims=True)
    of_q = q - q.mean(axis=axes, keepdims=True)
    square = (of_q * of_q).sum(axis=axes, keepdims=True)
    if (square <= 1e-12 * np.abs(q).max() ** 2).any() or r.size == square.size:
        return False
    b = (centred * of_q).sum(axis=axes, keepdims=True) / square
    return alike(b * of_q + r.mean(axis=axes, keepdims=True), r)


def wrong_axis(e: Evidence) -> Answer:
    """What is missing is q (a_i + b_j): a sum over one axis in place of one over another."""
    long = [i for i, n in enumerate(e.shape) if n > 1]
    if len(long) < 2:
        return None
    for name, q in _carriers(e):
        s = e.missing / q
        for first, second in itertools.combinations(long, 2):
            rest = s - s.mean(axis=first, keepdims=True) - s.mean(axis=second, keepdims=True)
            rest = rest + s.mean(axis=(first, second), keepdims=True)
            if alike(q * (s - rest), e.missing):
                carried = f", times {name}" if name else ""
                return "axis", (
                    f"what is missing is one sum along axis {first} less one along axis {second}"
                    f"{carried}: something is summed over the wrong axis"
                )
    return None
