"""The same expression in minigen and in torch: `same("m.cat([x, y], 1)", x, y)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import minigen
from tests.oracle import check

NAMES = "xyzw"
rng = np.random.default_rng(20)


def normal(*shape: int) -> np.ndarray:
    """Random float64, never a NumPy scalar."""
    return np.asarray(rng.standard_normal(shape))


def listed(table: str) -> list[str]:
    """The expressions of a table, which " | " and line ends separate."""
    return [each.strip() for line in table.strip().splitlines() for each in line.split(" | ")]


def function(expression: str, module: Any) -> Callable:
    """The expression as a function of x, y, z, w; `m` is minigen or torch."""
    code = compile(expression, expression, "eval")

    def evaluate(*args: Any) -> Any:
        return eval(code, {"m": module, "inf": float("inf"), **dict(zip(NAMES, args))})

    return evaluate


def _squares(outputs: Any) -> Any:
    flat = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return [y * y for y in flat if y.dtype.is_floating_point]


def same(
    expression: str, *inputs: Any, order: int = 2, numeric: bool = True, forward: bool = True
) -> None:
    """Assert equal values and derivatives up to `order`, of the expression and of its square.

    The square makes the cotangent depend on the inputs: only so does the second derivative of a
    linear operation test that its gradient rule is recorded rightly.
    """
    ours, theirs = function(expression, minigen), function(expression, torch)
    check(ours, theirs, *inputs, order=order, numeric=numeric, forward=forward)
    if order == 2:
        check(
            lambda *a: _squares(ours(*a)),
            lambda *a: _squares(theirs(*a)),
            *inputs,
            numeric=False,
            forward=forward,
        )


def both_reject(expression: str, *inputs: Any) -> Exception:
    """Assert that torch and minigen both raise; returns minigen's exception."""
    failures = []
    for module in (torch, minigen):
        args = [module.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in inputs]
        try:
            value = function(expression, module)(*args)
        except Exception as error:
            failures.append(error)
        else:
            raise AssertionError(f"{module.__name__} accepts {expression}: {value}")
    return failures[1]
