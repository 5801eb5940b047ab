"""Patterns of a diagnosis that ask by which *factor* each entry is off: a derivative, a weight."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from minigen.testing.evidence import Evidence, alike, factor_between

__all__ = ["each_alone", "factor_by_index", "local_derivative", "multiplied"]

Answer = tuple[str, str] | None


def local_derivative(e: Evidence) -> Answer:
    """For a function of each element: the cotangent times a simple expression that is not f'."""
    if not e.elementwise or not e.diagonal:
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
        "out": y, "1 - out": 1 - y, "out (1 - out)": y * (1 - y), "1 - out²": 1 - y * y,
        "out²": y * y, "1/out": 1 / y, "1/(2 out)": 0.5 / y, "2 out": 2 * y, "1 + out": 1 + y,
        "out/x": y / x, "x out": x * y, "(out > 0)": (y > 0).astype(float), "1 + out²": 1 + y * y,
    }  # fmt: skip
    for words, form in of_x.items():
        yield _named(words, e.name), form
    for words, form in of_y.items():
        yield f"{_named(words, e.name)}, out the output", form
    for name, q in e.inputs.items():
        other = None if name == e.name or q.dtype.kind != "f" else e.over(name)
        if other is not None:
            for words, form in {
                "{}": other, "1/{}": 1 / other, "1/{}²": 1 / other**2, "-1/{}²": -1 / other**2,
                "x/{}": x / other, "x {}": x * other, "out/{}": y / other, "out {}": y * other,
                "-{}": -other, "{}²": other * other,
            }.items():  # fmt: skip
                yield words.format(name), form


def _named(words: str, argument: str) -> str:
    """An expression in x, with the argument's name in its place.

    >>> _named("-1/x² exp(x)", "y")
    '-1/y² exp(y)'
    """
    return re.sub(r"(?<![a-z])x(?![a-z])", argument, words)


def each_alone(e: Evidence) -> Answer:
    """The diagonal of the Jacobian only, though each output depends on several entries."""
    if not e.elementwise or e.diagonal or e.jacobian is None:
        return None
    alone = (np.diagonal(e.jacobian) * e.cotangents[0].reshape(-1)).reshape(e.shape)
    if alike(e.got, alone):
        return "sum", (
            "it is right for the output at the same place only, as if each entry stood alone: what "
            "goes through a sum over the others is missing"
        )
    return None


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
    with np.errstate(all="ignore"):
        for words, form in _scales(e.own):
            if np.isfinite(form).all() and np.ptp(form) > 1e-9 * np.abs(form).max():
                if alike(e.got, e.want * form):
                    return "factor", f"there is a factor {words} too many, x = {e.name}"
                if alike(e.got * form, e.want):
                    return "factor", f"a factor {words} is missing, x = {e.name}"
    return None


def _scales(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Expressions that turn up as a factor where a function was left out or taken for another."""
    s = 1 / (1 + np.exp(-x))
    yield from {
        "exp(x)": np.exp(x), "exp(x/2)": np.exp(x / 2), "exp(2 x)": np.exp(2 * x),
        "sqrt(x)": np.sqrt(np.abs(x)), "abs(x)": np.abs(x), "sigmoid(x)": s,
        "1 - sigmoid(x)": 1 - s,
        "sigmoid(x) (1 - sigmoid(x))": s * (1 - s), "1 - tanh(x)²": 1 - np.tanh(x) ** 2,
        "tanh(x)": np.tanh(x), "log(x)": np.log(np.abs(x)),
    }.items()  # fmt: skip


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
