"""The whole recurrence in one kernel: W_hh is packed once, and the state stays in the cache.

Idea: W_hh is copied once a call into panels of one vector of columns, (columns / lanes, depth,
lanes), and serves all steps so. A step is a product by the register tiles of attention, four rows
by up to three vectors, whose result stays in the first-level cache's neighbourhood while one pass
over each row makes gates, cell and state of it. Backward is the same walk in the opposite order
with the columns of W_hhᵀ, and the slopes of the gates are computed where they are needed.

What moves: W_hh once a step, from the L2 or L3 cache, for all rows of a part; the rows of the gates
and of what is kept for backward once. A row of W_hh serves as many multiply-adds as a part has
rows, where a product by BLAS would first copy it.

Several cores: sequences know nothing of each other, so a part is 8 or 16 of them, cut by shapes
alone. A number of the result is the same sum in the same order in
any part.

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
    tanh_of_sum,
)
from .steps import lstm_backward_steps, lstm_steps

Array = Any


@device
def _advance(gates, z, p, c, squashed, h, n):
    """One row of a step: z is W_hh h, the sums without p."""
    sigmoid_of_sum(z, p, gates, 2 * n)
    tanh_of_sum(shifted(z, 2 * n), shifted(p, 2 * n), shifted(gates, 2 * n), n)
    sigmoid_of_sum(shifted(z, 3 * n), shifted(p, 3 * n), shifted(gates, 3 * n), n)
    f, g, o = shifted(gates, n), shifted(gates, 2 * n), shifted(gates, 3 * n)
    for j in range(n):
        poke(c, j, peek(f, j) * peek(c, j) + peek(gates, j) * peek(g, j))
    for j in range(n):
        poke(squashed, j, tanh(peek(c, j)))
    for j in range(n):
        poke(h, j, peek(o, j) * peek(squashed, j))


@device
def _retreat(grad, gates, squashed, cells, dh, dc, delta, n):
    """One row of a step backward: dh arrives from the step after, dc becomes f dL/dc_t."""
    one = number(dh, 1.0)
    f, g, o = shifted(gates, n), shifted(gates, 2 * n), shifted(gates, 3 * n)
    for j in range(n):
        poke(dh, j, peek(dh, j) + peek(grad, j))
    for j in range(n):
        s = peek(squashed, j)
        poke(dc, j, peek(dc, j) + peek(dh, j) * (peek(o, j) * (one - s * s)))
    d = shifted(delta, 3 * n)
    for j in range(n):
        poke(d, j, peek(dh, j) * (peek(squashed, j) * (peek(o, j) * (one - peek(o, j)))))
    for j in range(n):
        i = peek(gates, j)
        poke(delta, j, peek(dc, j) * (peek(g, j) * (i * (one - i))))
    d = shifted(delta, 2 * n)
    for j in range(n):
        poke(d, j, peek(dc, j) * (peek(gates, j) * (one - peek(g, j) * peek(g, j))))
    d = shifted(delta, n)
    for j in range(n):
        poke(d, j, peek(dc, j) * (peek(cells, j) * (peek(f, j) * (one - peek(f, j)))))
    for j in range(n):
        poke(dc, j, peek(dc, j) * peek(f, j))


# ---------------------------------------------------------------------- some of the sequences


@jit(
    "lstm", "const T[:, ::1]", "const T[:, ::1]", "const T[::1]", "T[:, ::1]", "T[:, ::1]",
    "T[:, ::1]", "T[:, ::1]", "T[:, ::1]", "T[:, ::1]", "T[::1]", "const int64[:, ::1]", "int64",
    "int64", seconds=4.0,
)  # fmt: skip
def _forward(
    projected, hidden, packed, output, last, gates, squashed, cells, previous, work, steps, first,
    end,
):  # fmt: skip
    """Sequences `first` to `end`; steps: (where its rows begin, how many they are) of each."""
    n = hidden.shape[1]
    p, w, panels_at = address(projected), address(work), address(packed)
    kept, squashed_at, cells_at = address(gates), address(squashed), address(cells)
    previous_at, output_at = address(previous), address(output)
    c = shifted(address(last), first * n)
    row, z = states(w, hidden, first, end)
    wide = round_up(4 * n, lanes(w)) + APART
    for t in range(steps.shape[0]):
        count = present(steps, t, first, end)
        product(w, 0, row, count, n, panels_at, 4 * n, z, wide)
        for i in range(count):
            at = (steps[t, 0] + first + i) * n
            h = shifted(w, i * row)
            copy(h, shifted(previous_at, at), n)
            copy(shifted(c, i * n), shifted(cells_at, at), n)
            _advance(
                shifted(kept, 4 * at), shifted(w, z + i * wide), shifted(p, 4 * at),
                shifted(c, i * n), shifted(squashed_at, at), h, n,
            )  # fmt: skip
            copy(h, shifted(output_at, at), n)


@jit(
    "lstm_backward", "const T[:, ::1]", "const T[:, ::1]", "const T[:, ::1]", "const T[:, ::1]",
    "const T[::1]", "T[:, ::1]", "T[:, ::1]", "T[:, ::1]", "T[::1]", "const int64[:, ::1]",
    "int64", "int64", seconds=4.0,
)  # fmt: skip
def _backward(grad, gates, squashed, cells, packed, delta, dhidden, dcell, work, steps, first, end):
    """The same in the opposite order; dcell holds the gradient of the last cells."""
    n = dcell.shape[1]
    w, panels_at = address(work), address(packed)
    grad_at, gates_at, delta_at = address(grad), address(gates), address(delta)
    squashed_at, cells_at = address(squashed), address(cells)
    dc = shifted(address(dcell), first * n)
    row, wide, d = gradients(w, end - first, n, 4)
    for back in range(steps.shape[0]):
        t = steps.shape[0] - 1 - back
        count = present(steps, t, first, end)
        for i in range(count):
            at = (steps[t, 0] + first + i) * n
            slope = shifted(w, d + i * wide)
            _retreat(
                shifted(grad_at, at), shifted(gates_at, 4 * at), shifted(squashed_at, at),
                shifted(cells_at, at), shifted(w, i * row), shifted(dc, i * n), slope, n,
            )  # fmt: skip
            copy(slope, shifted(delta_at, 4 * at), 4 * n)
        product(w, d, wide, count, 4 * n, panels_at, n, 0, row)
    for i in range(end - first):
        copy(shifted(w, i * row), shifted(address(dhidden), (first + i) * n), n)


# ------------------------------------------------------------------------------- the rungs


def lstm_loops(
    projected: Array, hidden: Array, cell: Array, weight_hh: Array, weight_hr: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """[i f g o] = [σ σ tanh σ](p_t + W_hh h_{t-1}), c_t = f c_{t-1} + i g, h_t = o tanh c_t.

    With a projection W_hr it is `lstm_steps`.

    >>> h = c = np.zeros((1, 1))
    >>> lstm_loops(np.ones((2, 4)), h, c, np.zeros((4, 1)), None, (1, 1), False)[0].round(4)
    array([[0.3696],
           [0.5453]])
    """
    if weight_hr is not None:
        return lstm_steps(projected, hidden, cell, weight_hh, weight_hr, sizes, reverse)
    dtype, (batch, n), total = projected.dtype, hidden.shape, projected.shape[0]
    output, squashed, cells, previous = (np.empty((total, n), dtype) for _ in range(4))
    gates, last = np.empty((total, 4 * n), dtype), np.array(cell, order="C")
    packed, steps = panels(weight_hh, True), table(sizes, reverse)
    projected, hidden = contiguous(projected), contiguous(hidden)
    arrays = (projected, hidden, packed, output, last, gates, squashed, cells, previous)
    in_parts(_forward, arrays, steps, batch, gates, n)
    return output, last, gates, squashed, cells, previous


def lstm_backward_loops(
    grad: Array, last_grad: Array, gates: Array, squashed: Array, cells: Array, weight_hh: Array,
    weight_hr: Array | None, sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """The equations of `lstm_backward_reference`. With a projection it is `lstm_backward_steps`."""
    if weight_hr is not None:
        return lstm_backward_steps(
            grad, last_grad, gates, squashed, cells, weight_hh, weight_hr, sizes, reverse
        )
    dtype, (batch, n), total = gates.dtype, last_grad.shape, gates.shape[0]
    delta, dhidden = np.empty((total, 4 * n), dtype), np.empty((batch, n), dtype)
    dcell = np.array(last_grad, order="C")
    packed, steps = panels(weight_hh, False), table(sizes, reverse)
    grad, gates, squashed, cells = (contiguous(a) for a in (grad, gates, squashed, cells))
    arrays = (grad, gates, squashed, cells, packed, delta, dhidden, dcell)
    in_parts(_backward, arrays, steps, batch, gates, n)
    return delta, dhidden, dcell
