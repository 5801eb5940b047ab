"""Patterns of a diagnosis that ask what a gradient is *made of*: terms, factors, products, sums."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigen.testing.evidence import Evidence, alike, factor_between

__all__ = [
    "contraction", "factor_by_index", "local_derivative", "multiplied", "other_cotangent",
    "other_operand", "product", "reduced_term", "terms", "transposed_jacobian", "wrong_axis",
]  # fmt: skip

Answer = tuple[str, str] | None


# --------------------------------------------------------------------------------- named terms


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


# ------------------------------------------------------------------------------------- products


def _matrices(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    for name, q in e.quantities.items():
        if q.ndim >= 2 and q.dtype.kind == "f":
            yield name, q
            yield f"{_bracketed(name)}.mT", np.swapaxes(q, -1, -2)


def _bracketed(name: str) -> str:
    return f"({name})" if " " in name else name


def _products(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """Every matrix product of two arrays at hand that has the shape of the argument."""
    for (first, a), (second, b) in itertools.product(_matrices(e), repeat=2):
        if a.shape[-1] != b.shape[-2] or a.shape[-2] != e.shape[-2] or b.shape[-1] != e.shape[-1]:
            continue
        try:
            made = a @ b
        except ValueError:
            continue
        if made.shape == e.shape:
            yield f"{_bracketed(first)} @ {_bracketed(second)}", made


def product(e: Evidence) -> Answer:
    """It is a product of two matrices at hand, only not of the right ones."""
    if len(e.shape) < 2:
        return None
    for name, made in _products(e):
        c = factor_between(e.got, made)
        if c is not None:
            times = "" if abs(c - 1) < 1e-3 else f"{c:.4g} times "
            return "operand", (
                f"it equals {times}{name}, which is not this gradient: is an operand transposed, "
                "or taken for another?"
            )
    return None


def contraction(e: Evidence) -> Answer:
    """It is the cotangent, times some array at hand, summed to the argument's shape."""
    for output, cotangent in zip(e.outputs, e.cotangents):
        if output.size <= e.got.size or output.ndim < e.got.ndim:
            continue
        for name, q in {"": np.ones(output.shape), **e.quantities}.items():
            try:
                c = factor_between(e.got, _summed(cotangent * q, e.shape))
            except ValueError:
                continue
            if c is not None:
                times = "" if abs(c - 1) < 1e-3 else f", {c:.4g} times"
                what = f"the cotangent times {name}" if name else "the cotangent alone"
                return "operand", f"it is the sum of {what}{times}, which is not this gradient"
    return None


def _summed(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the axes along which an array of this shape would be broadcast."""
    lead = array.ndim - len(shape)
    axes = (*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1))
    return array.sum(axis=axes).reshape(shape)


def other_cotangent(e: Evidence) -> Answer:
    """It is the right gradient of another cotangent: one without some factor, or with one more."""
    if e.jacobian is None or len(e.cotangents) > 1:
        return None
    cotangent = e.cotangents[0]
    for name, q in e.quantities.items():
        try:
            q = np.broadcast_to(q, cotangent.shape)
        except ValueError:
            continue
        if np.abs(q).min(initial=1.0) < 1e-9 or name.startswith("the cotangent"):
            continue
        for how, other in (("without the factor", cotangent / q), ("with a factor", cotangent * q)):
            if alike(e.got, (e.jacobian @ other.reshape(-1)).reshape(e.shape)):
                more = "" if how.startswith("without") else " too many"
                return "factor", f"it is the right gradient but {how} {name}{more} on the cotangent"
    return None


def other_operand(e: Evidence) -> Answer:
    """It is what the right gradient would be with another input reversed or transposed."""
    for name in e.names:
        array = e.inputs[name]
        if name == e.name or array.ndim < 2 or array.size < 2:
            continue
        for words, changed in _rearranged(array):
            right = e.right_with(name, changed)
            if right is None:
                break
            if alike(e.got, right):
                return "operand", f"it would be right if {name} were {words}"
    return None


def _rearranged(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for axes in ((-2, -1), (-1,), (-2,)):
        which = " and ".join(str(axis % array.ndim) for axis in axes)
        yield f"reversed along axis {which}", np.flip(array, axes).copy()
    if array.shape[-1] == array.shape[-2]:
        yield "transposed", np.swapaxes(array, -1, -2).copy()
    if array.shape[0] == array.shape[1] and array.ndim > 2:
        yield "transposed in its first two axes", np.swapaxes(array, 0, 1).copy()


def transposed_jacobian(e: Evidence) -> Answer:
    """J c in place of Jᵀ c: forward applied once more, where it has to be undone."""
    jacobian = e.jacobian
    if jacobian is None or jacobian.shape[0] != jacobian.shape[1]:
        return None
    c = np.concatenate([c.reshape(-1) for c in e.cotangents])
    if alike(e.got.reshape(-1), jacobian.T @ c):
        return "jacobian", (
            "it is the Jacobian times the cotangent, and has to be the transposed Jacobian times "
            "the cotangent: forward is applied to it again (the same shift, permutation or flip) "
            "where its reverse is needed"
        )
    return None


# -------------------------------------------------------------------------- factors of each entry


def local_derivative(e: Evidence) -> Answer:
    """For a function of each element: the cotangent times a simple expression that is not f'."""
    if not e.elementwise:
        return None
    g, y = e.cotangents[0], e.outputs[0]
    with np.errstate(all="ignore"):
        for words, form in _forms(e, y):
            if np.isfinite(form).all() and alike(e.got, g * form):
                if words == "1":
                    return "derivative", (
                        "the cotangent is passed on unchanged: the derivative of the function "
                        "itself is missing"
                    )
                return (
                    "derivative",
                    f"it is the cotangent times {words}, which is not the derivative",
                )
    return None


def _forms(e: Evidence, y: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Expressions in the argument, the output and the other inputs that people reach for."""
    x, ones = e.own, np.ones(e.shape)
    yield "1", ones
    of_x = {
        "x": x, "2 x": 2 * x, "x²": x * x, "1/x": 1 / x, "-1/x²": -1 / x**2, "1/x²": x**-2.0,
        "exp(x)": np.exp(x), "cos(x)": np.cos(x), "sin(x)": np.sin(x), "-sin(x)": -np.sin(x),
        "sign(x)": np.sign(x), "(x > 0)": (x > 0).astype(float), "(x < 0)": (x < 0).astype(float),
        "log(x)": np.log(np.abs(x)), "sqrt(x)": np.sqrt(np.abs(x)), "1 - x²": 1 - x * x,
        "x (1 - x)": x * (1 - x),
        "1/sqrt(x)": np.abs(x) ** -0.5, "sigmoid(x)": 1 / (1 + np.exp(-x)), "tanh(x)": np.tanh(x),
    }  # fmt: skip
    of_y = {
        "y": y, "1 - y": 1 - y, "y (1 - y)": y * (1 - y), "1 - y²": 1 - y * y, "y²": y * y,
        "1/y": 1 / y, "1/(2 y)": 0.5 / y, "2 y": 2 * y, "1 + y": 1 + y, "y/x": y / x, "x y": x * y,
        "(y > 0)": (y > 0).astype(float), "1 + y²": 1 + y * y,
    }  # fmt: skip
    for words, form in of_x.items():
        yield words.replace("x", e.name) if len(e.name) == 1 else words + f" (x = {e.name})", form
    for words, form in of_y.items():
        yield f"{words}, y the output", form
    for name, q in e.inputs.items():
        other = None if name == e.name or q.dtype.kind != "f" else e.over(name)
        if other is not None:
            for words, form in {
                "{}": other, "1/{}": 1 / other, "1/{}²": 1 / other**2, "-1/{}²": -1 / other**2,
                "x/{}": x / other, "x {}": x * other, "y/{}": y / other, "y {}": y * other,
                "-{}": -other, "{}²": other * other,
            }.items():  # fmt: skip
                yield words.format(name), form


def multiplied(e: Evidence) -> Answer:
    """Right but for a factor that is one of the arrays at hand."""
    for name in e.quantities:
        for axis, q in _placed(e, name):
            if np.ptp(q) <= 1e-9 * np.abs(q).max():
                continue
            where = "" if axis is None else f" (along axis {axis})"
            if alike(e.got * q, e.want):
                return "factor", f"a factor {name}{where} is missing"
            if alike(e.got, e.want * q):
                return "factor", f"there is a factor {name}{where} too many"
            if alike(e.got, e.want * q * q):
                return "factor", f"it carries {name}{where} squared too often"
            if alike(e.got, -e.want * q) or alike(-e.got * q, e.want):
                return "factor", f"the factor {name}{where} and the sign are wrong"
    return None


def _placed(e: Evidence, name: str) -> Iterator[tuple[int | None, np.ndarray]]:
    """A quantity broadcast to the argument's shape; a vector along every axis that it fits."""
    q = e.over(name)
    if q is not None and q.size:
        yield None, q
    vector = e.quantities[name]
    if vector.ndim == 1 and vector.size > 1:
        for axis, n in enumerate(e.shape[:-1]):
            if n == vector.size:
                wide = vector.reshape([-1 if i == axis else 1 for i in range(len(e.shape))])
                yield axis, np.broadcast_to(wide, e.shape)


def factor_by_index(e: Evidence) -> Answer:
    """Every index of one axis is off by a factor of its own."""
    for axis, n in enumerate(e.shape):
        got = np.moveaxis(e.got, axis, 0).reshape(n, -1)
        want = np.moveaxis(e.want, axis, 0).reshape(n, -1)
        if n < 2 or got.shape[1] < 2:
            continue
        factors = [factor_between(g, w) for g, w in zip(got, want)]
        if None not in factors:
            shown = ", ".join(f"{c:.4g}" for c in factors[:4])
            return "factor", (
                f"each index of axis {axis} is off by a factor of its own ({shown}"
                f"{', ...' if n > 4 else ''}): a weight, a count or a scale of that axis?"
            )
    return None


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
            if alike(q * s.mean(axis=axes, keepdims=True), e.missing):
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
    if whole and name:
        return f"what is missing is {value:.4g} times {name}"
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
