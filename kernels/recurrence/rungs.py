"""The ladders of the long short-term memory and of its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..jit import Lazy
from ..ladder import Expected, Operation, Rung
from .reference import lstm_backward_reference, lstm_reference
from .steps import lstm_backward_steps, lstm_steps

Array = Any


def expected(
    projected: Array, hidden: Array, cell: Array, weight_hh: Array, weight_hr: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> Expected:  # fmt: skip
    """Shape and dtype of output, last cells, gates, tanh(c_t), c_{t-1} and h_{t-1}."""
    total, dtype = projected.shape[0], projected.dtype
    states, cells = (total, hidden.shape[1]), (total, cell.shape[1])
    shapes = (states, tuple(cell.shape), tuple(projected.shape), cells, cells, states)
    return tuple((shape, dtype) for shape in shapes)


def expected_backward(
    grad: Array, last_grad: Array, gates: Array, squashed: Array, cells: Array, weight_hh: Array,
    weight_hr: Array | None, sizes: Sequence[int], reverse: bool,
) -> Expected:  # fmt: skip
    """Shape and dtype of the gradients of projected, hidden, cell and, if there is one, W_hr."""
    state = (last_grad.shape[0], grad.shape[1])
    shapes = [tuple(gates.shape), state, tuple(last_grad.shape)]
    if weight_hr is not None:
        shapes.append(tuple(weight_hr.shape))
    return tuple((shape, gates.dtype) for shape in shapes)


ERROR = "each step adds (P + 2) u (|p_t| + |W_hh||h|) + 16 u and passes on what h and c came with"
ERROR_BACKWARD = (
    "each step adds (4 H + 10) u (the formula with every term's absolute value) and passes on what"
    " dL/dh and dL/dc came with"
)

RECURRENCE = (
    Operation(
        name="lstm",
        signature=(
            "lstm(projected, hidden, cell, weight_hh, weight_hr, sizes, reverse)"
            " -> (output, last cells, gates, tanh(c_t), c_{t-1}, h_{t-1})"
        ),
        expected=expected,
        rungs=(
            Rung("reference", lstm_reference, "the equations in float64", "defines the result",
                 dtypes=("any",)),
            Rung("numpy", lstm_steps, "a BLAS product and ufuncs, step by step", ERROR,
                 dtypes=("any",)),
            Rung(
                "numba",
                Lazy(".recurrence.loops", "lstm_loops"),
                "all steps in one kernel, W_hh packed once, blocks of sequences on several cores",
                ERROR,
            ),
        ),
    ),
    Operation(
        name="lstm_backward",
        signature=(
            "lstm_backward(grad, last_grad, gates, squashed, cells, weight_hh, weight_hr, sizes,"
            " reverse) -> (dprojected, dhidden, dcell[, dweight_hr])"
        ),
        expected=expected_backward,
        sized_by=2,
        rungs=(
            Rung("reference", lstm_backward_reference, "the equations in float64",
                 "defines the result", dtypes=("any",)),
            Rung("numpy", lstm_backward_steps,
                 "slopes of all steps at once, then a BLAS product a step", ERROR_BACKWARD,
                 dtypes=("any",)),
            Rung(
                "numba",
                Lazy(".recurrence.loops", "lstm_backward_loops"),
                "all steps in one kernel, W_hh packed once, slopes computed in passing",
                ERROR_BACKWARD,
            ),
        ),
    ),
)  # fmt: skip
