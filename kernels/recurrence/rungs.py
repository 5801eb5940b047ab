"""The ladders of the recurrences and of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..jit import Lazy
from ..ladder import Expected, Operation, Rung
from . import reference, steps

Array = Any


def lstm_results(
    projected: Array, hidden: Array, cell: Array, weight_hh: Array, weight_hr: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> Expected:  # fmt: skip
    """Shape and dtype of output, last cells, gates, tanh(c_t), c_{t-1} and h_{t-1}."""
    total, dtype = projected.shape[0], projected.dtype
    states, cells = (total, hidden.shape[1]), (total, cell.shape[1])
    shapes = (states, tuple(cell.shape), tuple(projected.shape), cells, cells, states)
    return tuple((shape, dtype) for shape in shapes)


def lstm_gradients(
    grad: Array, last_grad: Array, gates: Array, squashed: Array, cells: Array, weight_hh: Array,
    weight_hr: Array | None, sizes: Sequence[int], reverse: bool,
) -> Expected:  # fmt: skip
    """Shape and dtype of the gradients of projected, hidden, cell and, if there is one, W_hr."""
    state = (last_grad.shape[0], grad.shape[1])
    shapes = [tuple(gates.shape), state, tuple(last_grad.shape)]
    if weight_hr is not None:
        shapes.append(tuple(weight_hr.shape))
    return tuple((shape, gates.dtype) for shape in shapes)


def gru_results(
    projected: Array, hidden: Array, weight_hh: Array, bias_hh: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> Expected:  # fmt: skip
    """Shape and dtype of output, gates, q_n and h_{t-1}."""
    states = (projected.shape[0], hidden.shape[1])
    shapes = (states, tuple(projected.shape), states, states)
    return tuple((shape, projected.dtype) for shape in shapes)


def gru_gradients(
    grad: Array, gates: Array, inner: Array, previous: Array, weight_hh: Array,
    sizes: Sequence[int], reverse: bool, batch: int,
) -> Expected:  # fmt: skip
    """Shape and dtype of the gradients of projected, of q and of hidden."""
    shapes = (tuple(gates.shape), tuple(gates.shape), (batch, grad.shape[1]))
    return tuple((shape, gates.dtype) for shape in shapes)


ERROR = "each step adds (P + 2) u (|p_t| + |W_hh||h|) + 16 u and passes on what h and c came with"
ERROR_BACKWARD = (
    "each step adds (4 H + 10) u (the formula with every term's absolute value) and passes on what"
    " dL/dh and dL/dc came with"
)


def _operation(name: str, signature: str, expected: Any, sized_by: int, error: str) -> Operation:
    module = name.partition("_")[0]
    return Operation(
        name=name,
        signature=signature,
        expected=expected,
        sized_by=sized_by,
        rungs=(
            Rung(
                "reference",
                getattr(reference, f"{name}_reference"),
                "the equations in float64",
                "defines the result",
                dtypes=("any",),
            ),
            Rung(
                "numpy",
                getattr(steps, f"{name}_steps"),
                "a BLAS product and ufuncs, step by step",
                error,
                dtypes=("any",),
                portable=True,
            ),
            Rung(
                "numba",
                Lazy(f".recurrence.{module}_loops", f"{name}_loops"),
                "all steps in one kernel, W_hh packed once, sequences on several cores",
                error,
            ),
        ),
    )


RECURRENCE = (
    _operation(
        "lstm",
        "lstm(projected, hidden, cell, weight_hh, weight_hr, sizes, reverse)"
        " -> (output, last cells, gates, tanh(c_t), c_{t-1}, h_{t-1})",
        lstm_results,
        0,
        ERROR,
    ),
    _operation(
        "lstm_backward",
        "lstm_backward(grad, last_grad, gates, squashed, cells, weight_hh, weight_hr, sizes,"
        " reverse) -> (dprojected, dhidden, dcell[, dweight_hr])",
        lstm_gradients,
        2,
        ERROR_BACKWARD,
    ),
    _operation(
        "gru",
        "gru(projected, hidden, weight_hh, bias_hh, sizes, reverse)"
        " -> (output, gates, q_n, h_{t-1})",
        gru_results,
        0,
        ERROR,
    ),
    _operation(
        "gru_backward",
        "gru_backward(grad, gates, inner, previous, weight_hh, sizes, reverse, batch)"
        " -> (dprojected, dq, dhidden)",
        gru_gradients,
        1,
        ERROR_BACKWARD,
    ),
)
