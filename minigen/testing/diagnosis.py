"""From a wrong gradient to a sentence that names the mistake.

`diagnose` asks the patterns below one after the other, the most specific first; each looks at the
evidence and answers with the kind of mistake and a sentence, or None. The first answer is reported,
then the worst entry with both values. Patterns of whole arrays (shape, sign, factor, order) stand
here; `sums`, `products` and `factors` ask what a gradient is made of, `places` where it is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from minigen.testing import factors, places, products, sums
from minigen.testing.evidence import Evidence, alike, factor_between
from minigen.testing.report import Finding

__all__ = ["diagnose", "diagnose_shape"]

Answer = tuple[str, str] | None


def diagnose(evidence: Evidence) -> list[Finding]:
    """What is wrong with one gradient, most specific first; the worst entry comes last."""
    found = []
    for pattern in PATTERNS if evidence.entries is None else PATTERNS_OF_A_SAMPLE:
        answer = pattern(evidence)
        if answer is not None:
            found.append(Finding(answer[0], evidence.name, answer[1]))
            break
    found.append(Finding("entries", evidence.name, worst_entry(evidence)))
    return found


def worst_entry(e: Evidence) -> str:
    """Where the two differ most, and how many entries do."""
    gap = np.where(e.wrong, np.abs(e.missing), 0.0)
    gap = np.where(np.isfinite(gap), gap, np.inf)
    worst = int(np.argmax(gap))
    place = f"entry {_place(e, worst)}" if e.whole else "its only entry"
    looked = "entries" if e.entries is None else f"entries that were looked at, of {_total(e)},"
    return (
        f"worst at {place}: yours {e.got.flat[worst]:.6g}, numerically {e.want.flat[worst]:.6g}; "
        f"{int(e.wrong.sum())} of {e.got.size} {looked} differ"
    )


def _place(e: Evidence, position: int) -> list[int]:
    """The index, in the whole argument, of the entry at this position."""
    if e.entries is not None:
        position = int(e.entries[position])
    return [int(i) for i in np.unravel_index(position, e.whole)]


def _total(e: Evidence) -> str:
    return f"{int(np.prod(e.whole)):,}"


# ---------------------------------------------------------------------------------- wrong shape


def diagnose_shape(name: str, got: np.ndarray, want: np.ndarray) -> Finding:
    """The gradient has another shape than the argument; `want` is the right one."""
    given, right = got.shape, want.shape
    start = f"shape {given}, but {name} has shape {right}"
    lead = got.ndim - want.ndim
    if lead >= 0 and all(r in (1, g) for g, r in zip(given[lead:], right)):
        axes = (*range(lead), *(i + lead for i, r in enumerate(right) if given[i + lead] != r))
        summed = got.sum(axis=axes).reshape(right)
        which = f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
        text = f"{start}: it was broadcast in forward, so its gradient is summed over {which}"
        if alike(summed, want):
            return Finding("broadcast", name, f"{text}. Summing yours gives the right values.")
        c = factor_between(summed, want)
        if c is not None:
            text += f". Summing yours gives {c:.6g} times the right values."
            return Finding("broadcast", name, text)
    for order in itertools.permutations(range(got.ndim)) if got.ndim < 5 else ():
        if got.transpose(order).shape == right and alike(got.transpose(order), want):
            return Finding("transposed", name, f"{start}: it is the right gradient, transposed.")
    if got.size == want.size and alike(got.reshape(right), want):
        return Finding("reshape", name, f"{start}: the values are right; reshape them.")
    why = "a gradient always has the shape of what it is the gradient of."
    return Finding("shape", name, f"{start}: {why}")


# ---------------------------------------------------------------------------- patterns, in order


def _not_finite(e: Evidence) -> Answer:
    bad = ~np.isfinite(e.got) & e.wrong
    if not bad.any():
        return None
    first = _place(e, int(np.flatnonzero(bad)[0]))
    return "nonfinite", (
        f"{int(bad.sum())} of {e.got.size} entries are NaN or infinite, the first at {first}: a "
        "division by 0, log(0), or an exp that overflows?"
    )


def _zero(e: Evidence) -> Answer:
    if e.untracked:
        return "cut", e.untracked
    if not (e.got == 0).all():
        return None
    return "zero", (
        "it is 0 everywhere: the path is cut (a value taken out of the graph), or the gradient was "
        "never filled in"
    )


def _not_linear(e: Evidence) -> Answer:
    """A vector-Jacobian product is linear in the cotangent: 0 for 0, twice as much for twice."""
    zero, turned = e.at_zero, e.at_minus_two
    if zero is None or turned is None:
        return None
    if alike(zero, e.got) and alike(turned, e.got):
        return "cotangent", (
            "it does not depend on the gradient that comes in: multiply by the cotangent (the "
            "chain rule); as it is, it is right at most for a cotangent of ones"
        )
    if np.abs(zero).max(initial=0.0) > 1e-6 * np.abs(e.got).max(initial=0.0):
        return "cotangent", (
            "a part of it does not depend on the gradient that comes in: with a cotangent of 0 it "
            "is not 0; every term has to carry the cotangent"
        )
    if not alike(turned, -2 * e.got):
        return "cotangent", (
            "it is not linear in the gradient that comes in (-2 times the cotangent does not give "
            "-2 times the gradient): is the cotangent used twice, or does a mask depend on it?"
        )
    return None


def _sign(e: Evidence) -> Answer:
    return ("sign", "right size, wrong sign in every entry") if alike(e.got, -e.want) else None


def _factor(e: Evidence) -> Answer:
    if e.got.size < 2 and not e.sizes:
        return None
    c = factor_between(e.got, e.want)
    if c is None:
        return None
    reasons = e.explained(abs(c))
    if e.got.size < 2 and not reasons:
        return None
    sign = "with the wrong sign " if c < 0 else ""
    because = f" ({'; or '.join(reasons)})" if reasons else ""
    return "factor", (
        f"every entry is {sign}off by the same factor, {c:.6g}{because}: a sum where a mean is "
        "meant or the reverse, or a scale left out"
    )


def _orders(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for order in itertools.permutations(range(len(shape))):
        moved = tuple(shape[i] for i in order)
        if list(order) != sorted(order) and moved == shape:
            yield order


def _transposed(e: Evidence) -> Answer:
    if 2 <= e.got.ndim <= 4:
        for order in _orders(e.shape):
            if alike(e.got.transpose(order), e.want):
                how = "" if e.got.ndim == 2 else f": .transpose{order} puts it right"
                return "transposed", f"it is the right gradient, transposed{how}"
    return None


def _mirrored(e: Evidence) -> Answer:
    axes = [i for i, n in enumerate(e.shape) if n > 1]
    for count in range(1, min(len(axes), 3) + 1):
        for some in itertools.combinations(axes, count):
            if alike(np.flip(e.got, some), e.want):
                which = " and ".join(str(axis) for axis in some)
                return "flipped", f"it is the right gradient, reversed along axis {which}"
    return None


def _shifted(e: Evidence) -> Answer:
    for axis, n in enumerate(e.shape):
        for by in range(1, n) if n > 2 else ():
            if alike(np.roll(e.got, -by, axis), e.want):
                by = by if 2 * by <= n else by - n
                return "shifted", f"it is the right gradient, shifted by {by} along axis {axis}"
        for by in (1, -1, 2, -2) if n > 3 else ():
            if alike(_kept(e.got, by, axis), _kept(e.want, -by, axis)):
                return "shifted", (
                    f"it is the right gradient, shifted by {by} along axis {axis}, with other "
                    "numbers where that left a gap: an index or a padding off by one?"
                )
    return None


def _kept(array: np.ndarray, by: int, axis: int) -> np.ndarray:
    """What is left of an axis after `by` entries are taken from its start, or -by from its end."""
    return np.take(array, range(max(by, 0), array.shape[axis] + min(by, 0)), axis)


def _swapped(e: Evidence) -> Answer:
    for name, want in e.wants.items():
        if name != e.name and alike(e.got, want):
            return "swapped", f"it is the right gradient of {name}: returned in the wrong order?"
    return None


def _negated_swap(e: Evidence) -> Answer:
    for name, want in e.wants.items():
        if name != e.name and alike(e.got, -want):
            return "swapped", f"it is minus the right gradient of {name}"
    return None


def _mixed_up_rows(e: Evidence) -> Answer:
    """The right numbers in another order along one axis, as when an index is not undone."""
    for axis, n in enumerate(e.shape):
        if 2 < n <= 64:
            got = np.moveaxis(e.got, axis, 0).reshape(n, -1)
            want = np.moveaxis(e.want, axis, 0).reshape(n, -1)
            partner = [next((i for i in range(n) if alike(got[i], w)), None) for w in want]
            if None not in partner and len(set(partner)) == n:
                return "order", (
                    f"the right numbers in the wrong order along axis {axis}: row i belongs at "
                    f"{partner}[i]; an index or permutation that has to be inverted?"
                )
    if np.ptp(e.want) > 0 and alike(np.sort(e.got, axis=None), np.sort(e.want, axis=None)):
        return "order", (
            "the right numbers at the wrong places: reshaped where axes have to be moved, tiled "
            "where entries have to be repeated, or a permutation that is not inverted"
        )
    return None


PATTERNS: list[Callable[[Evidence], Answer]] = [
    _not_finite,
    _zero,
    _sign,
    _not_linear,
    _transposed,
    _factor,
    places.repeated_index,
    sums.terms,
    _mirrored,
    _swapped,
    _shifted,
    products.missing_product,
    products.product,
    products.contraction,
    factors.local_derivative,
    places.mask,
    factors.multiplied,
    products.transposed_jacobian,
    factors.each_alone,
    products.other_cotangent,
    factors.factor_by_index,
    places.several_uses,
    sums.reduced_term,
    sums.wrong_axis,
    _mixed_up_rows,
    places.region,
    places.distribution,
    places.one_output,
    places.one_index,
    products.other_operand,
    _negated_swap,
]

# what can be said without seeing all entries
PATTERNS_OF_A_SAMPLE = [_not_finite, _zero, _sign, _factor]
