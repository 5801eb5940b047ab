"""Patterns of a diagnosis that ask which *arrays* a gradient was made of, by which product."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from minigen.testing.evidence import Evidence, alike, factor_between

__all__ = [
    "contraction",
    "missing_product",
    "other_cotangent",
    "other_operand",
    "product",
    "transposed_jacobian",
]

Answer = tuple[str, str] | None


def _matrices(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    for name, q in e.quantities.items():
        if q.ndim >= 1 and q.dtype.kind == "f":
            yield name, q
        if q.ndim >= 2 and q.dtype.kind == "f":
            yield f"{_bracketed(name)}.mT", np.swapaxes(q, -1, -2)


def _bracketed(name: str) -> str:
    return f"({name})" if " " in name else name


def _products(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """Every matrix product of two arrays at hand that has the shape of the argument."""
    for (first, a), (second, b) in itertools.product(_matrices(e), repeat=2):
        try:
            made = a @ b
        except ValueError:
            continue
        if made.shape == e.shape:
            yield f"{_bracketed(first)} @ {_bracketed(second)}", made


def product(e: Evidence) -> Answer:
    """It is a product of two matrices at hand, only not of the right ones."""
    if not e.shape:
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


def missing_product(e: Evidence) -> Answer:
    """What is missing is a product of two matrices at hand: one of several uses left out."""
    if not e.shape:
        return None
    for name, made in _products(e):
        c = factor_between(e.missing, made)
        if c is not None and (abs(c - 1) < 1e-3 or abs(c + 1) < 1e-3 or abs(c - 2) < 1e-3):
            times = "" if abs(c - 1) < 1e-3 else f"{c:.4g} times "
            return "term", f"a term is missing: {times}{name}; everything else is right"
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
