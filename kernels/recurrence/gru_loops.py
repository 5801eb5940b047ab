"""The gated recurrent unit in one kernel, as `lstm_loops` has it.

Idea, what moves and several cores: as in `lstm_loops`, with three gates for four.

Measured: see benchmarks/README.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..attention.tiles import round_up
from ..elementary import tanh
from ..jit import contiguous, device, jit
from ..simd import address, lanes, number, peek, poke, shifted
from .panels import (
    APART,
    copy,
    gradients,
    in_parts,
    panels,
    present,
    product,
    sigmoid_of_sum,
    states,
    table,
)

Array = Any


@device
def _advance(gates, q, bias, p, inner, h, n):
    """One row of a step: q is W_hh h, without the bias."""
    for j in range(3 * n):
        poke(q, j, peek(q, j) + peek(bias, j))
    sigmoid_of_sum(q, p, gates, 2 * n)
    copy(shifted(q, 2 * n), inner, n)
    z, new, p = shifted(gates, n), shifted(gates, 2 * n), shifted(p, 2 * n)
    for j in range(n):
        poke(new, j, tanh(peek(gates, j) * peek(inner, j) + peek(p, j)))
    for j in range(n):
        poke(h, j, (peek(h, j) - peek(new, j)) * peek(z, j) + peek(new, j))


@device
def _retreat(grad, gates, inner, previous, dh, direct, dq, d_new, n):
    """One row of a step backward: dh and `direct` arrive from the step after, through W_hh and
    past it; `direct` becomes z dL/dh_t."""
    one = number(dh, 1.0)
    z, new = shifted(gates, n), shifted(gates, 2 * n)
    for j in range(n):
        poke(direct, j, peek(direct, j) + peek(dh, j) + peek(grad, j))
    for j in range(n):
        slope = (one - peek(z, j)) * (one - peek(new, j) * peek(new, j))
        poke(d_new, j, peek(direct, j) * slope)
    for j in range(n):
        r = peek(gates, j)
        poke(dq, j, peek(d_new, j) * (peek(inner, j) * (r * (one - r))))
    d = shifted(dq, 2 * n)
    for j in range(n):
        poke(d, j, peek(d_new, j) * peek(gates, j))
    d = shifted(dq, n)
    for j in range(n):
        slope = peek(z, j) * (one - peek(z, j))
        poke(d, j, peek(direct, j) * ((peek(previous, j) - peek(new, j)) * slope))
    for j in range(n):
        poke(direct, j, peek(direct, j) * peek(z, j))


@jit(
    "gru", "const T[:, ::1]", "const T[:, ::1]", "const T[::1]", "const T[::1]", "T[:, ::1]",
    "T[:, ::1]", "T[:, ::1]", "T[:, ::1]", "T[::1]", "const int64[:, ::1]", "int64", "int64",
    seconds=4.0,
)  # fmt: skip
def _forward(
    projected, hidden, packed, bias, output, gates, inner, previous, work, steps, first, end
):
    """Sequences `first` to `end`; steps: (where its rows begin, how many they are) of each."""
    n = hidden.shape[1]
    p, w, panels_at, bias_at = address(projected), address(work), address(packed), address(bias)
    kept, inner_at = address(gates), address(inner)
    previous_at, output_at = address(previous), address(output)
    row, q = states(w, hidden, first, end)
    wide = round_up(3 * n, lanes(w)) + APART
    for t in range(steps.shape[0]):
        count = present(steps, t, first, end)
        product(w, 0, row, count, n, panels_at, 3 * n, q, wide)
        for i in range(count):
            at = (steps[t, 0] + first + i) * n
            h = shifted(w, i * row)
            copy(h, shifted(previous_at, at), n)
            _advance(
                shifted(kept, 3 * at), shifted(w, q + i * wide), bias_at, shifted(p, 3 * at),
                shifted(inner_at, at), h, n,
            )  # fmt: skip
            copy(h, shifted(output_at, at), n)


@jit(
    "gru_backward", "const T[:, ::1]", "const T[:, ::1]", "const T[:, ::1]", "const T[:, ::1]",
    "const T[::1]", "T[:, ::1]", "T[:, ::1]", "T[:, ::1]", "T[::1]", "const int64[:, ::1]",
    "int64", "int64", seconds=4.0,
)  # fmt: skip
def _backward(grad, gates, inner, previous, packed, delta, dq, dhidden, work, steps, first, end):
    """The same in the opposite order; dhidden, zeros at first, holds what goes past W_hh."""
    n = dhidden.shape[1]
    w, panels_at = address(work), address(packed)
    grad_at, gates_at, delta_at = address(grad), address(gates), address(delta)
    inner_at, previous_at, dq_at = address(inner), address(previous), address(dq)
    direct = shifted(address(dhidden), first * n)
    row, wide, d = gradients(w, end - first, n, 3)
    for back in range(steps.shape[0]):
        t = steps.shape[0] - 1 - back
        count = present(steps, t, first, end)
        for i in range(count):
            at = (steps[t, 0] + first + i) * n
            slope = shifted(w, d + i * wide)
            _retreat(
                shifted(grad_at, at), shifted(gates_at, 3 * at), shifted(inner_at, at),
                shifted(previous_at, at), shifted(w, i * row), shifted(direct, i * n), slope,
                shifted(delta_at, 3 * at + 2 * n), n,
            )  # fmt: skip
            copy(slope, shifted(dq_at, 3 * at), 3 * n)
            copy(slope, shifted(delta_at, 3 * at), 2 * n)
        product(w, d, wide, count, 3 * n, panels_at, n, 0, row)
    for i in range(end - first):
        dh, sum_ = shifted(w, i * row), shifted(direct, i * n)
        for j in range(n):
            poke(sum_, j, peek(sum_, j) + peek(dh, j))


# ------------------------------------------------------------------------------- the rungs


def gru_loops(
    projected: Array, hidden: Array, weight_hh: Array, bias_hh: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """q = W_hh h_{t-1} + b, [r z] = σ(p + q), n = tanh(p_n + r q_n), h_t = n + z (h_{t-1} - n).

    >>> h = np.zeros((1, 1))
    >>> gru_loops(np.array([[0.0, 0.0, 9.0]] * 2), h, np.zeros((3, 1)), None, (1, 1), False)[0]
    array([[0.49999998],
           [0.74999998]])
    """
    dtype, (batch, n), total = projected.dtype, hidden.shape, projected.shape[0]
    output, inner, previous = (np.empty((total, n), dtype) for _ in range(3))
    gates = np.empty((total, 3 * n), dtype)
    packed, steps = panels(weight_hh, True), table(sizes, reverse)
    projected, hidden = contiguous(projected), contiguous(hidden)
    bias = np.zeros(3 * n, dtype) if bias_hh is None else contiguous(bias_hh)
    arrays = (projected, hidden, packed, bias, output, gates, inner, previous)
    in_parts(_forward, arrays, steps, batch, gates, n)
    return output, gates, inner, previous


def gru_backward_loops(
    grad: Array, gates: Array, inner: Array, previous: Array, weight_hh: Array,
    sizes: Sequence[int], reverse: bool, batch: int,
) -> tuple[Array, ...]:  # fmt: skip
    """The equations of `gru_backward_reference`."""
    dtype, (total, n) = gates.dtype, grad.shape
    delta, dq = np.empty((total, 3 * n), dtype), np.empty((total, 3 * n), dtype)
    dhidden = np.zeros((batch, n), dtype)
    packed, steps = panels(weight_hh, False), table(sizes, reverse)
    grad, gates, inner, previous = (contiguous(a) for a in (grad, gates, inner, previous))
    arrays = (grad, gates, inner, previous, packed, delta, dq, dhidden)
    in_parts(_backward, arrays, steps, batch, gates, n)
    return delta, dq, dhidden
