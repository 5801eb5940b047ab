"""Recurrences step by step in NumPy: one BLAS product and a dozen ufuncs a step.

What moves: BLAS packs the whole of W_hh again in every step, and every ufunc passes over the rows
of the step once more. With a megabyte of W_hh and a few rows this takes longer than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..fused.functions import sigmoid
from ..fused.vectorised import SILENT
from ..matmul.cublas import product
from .walk import walk

Array = Any


def _gates(array: Array, count: int) -> list[Array]:
    """Views of the gates, (rows, H) each, that lie side by side in (rows, count H)."""
    n = array.shape[1] // count
    return [array[:, k * n : (k + 1) * n] for k in range(count)]


def lstm_steps(
    projected: Array, hidden: Array, cell: Array, weight_hh: Array, weight_hr: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """[i f g o] = [σ σ tanh σ](p_t + W_hh h_{t-1}), c_t = f c_{t-1} + i g, h_t = W_hr (o tanh c_t).

    >>> h = c = np.zeros((1, 1))
    >>> lstm_steps(np.ones((2, 4)), h, c, np.zeros((4, 1)), None, (1, 1), False)[0].round(4)
    array([[0.3696],
           [0.5453]])
    """
    last, state, weight = cell.copy(), hidden.copy(), weight_hh.swapaxes(0, 1)
    total = projected.shape[0]
    output = np.empty_like(projected, order="C", shape=(total, hidden.shape[1]))
    gates, previous = np.empty_like(projected, order="C"), np.empty_like(output)
    squashed = np.empty_like(projected, order="C", shape=(total, cell.shape[1]))
    cells = np.empty_like(squashed)
    with np.errstate(**SILENT):
        for rows, n in walk(sizes, reverse):
            h, c = state[:n], last[:n]
            previous[rows], cells[rows] = h, c
            np.add(projected[rows], product(h, weight), out=gates[rows])
            i, f, candidate, o = _gates(gates[rows], 4)
            for gate in (gates[rows][:, : 2 * i.shape[1]], o):  # i and f lie side by side
                gate[...] = sigmoid(gate)
            np.tanh(candidate, out=candidate)
            c *= f
            c += i * candidate
            read = o * np.tanh(c, out=squashed[rows])
            h[...] = read if weight_hr is None else product(read, weight_hr.swapaxes(0, 1))
            output[rows] = h
    return output, last, gates, squashed, cells, previous


def lstm_backward_steps(
    grad: Array, last_grad: Array, gates: Array, squashed: Array, cells: Array, weight_hh: Array,
    weight_hr: Array | None, sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """The equations of `lstm_backward_reference`.

    All factors but the first of each product are known beforehand, for all steps at once.
    """
    dc = last_grad.copy()
    dh = np.zeros_like(grad, order="C", shape=(dc.shape[0], grad.shape[1]))
    i, f, candidate, o = _gates(gates, 4)
    total, features = squashed.shape
    with np.errstate(**SILENT):
        delta = np.multiply(
            gates, 1 - gates, out=np.empty_like(gates, order="C")
        )  # so that a reshape is a view
        slopes = _gates(delta, 4)
        slopes[0] *= candidate
        slopes[1] *= cells
        np.multiply(i, 1 - candidate * candidate, out=slopes[2])
        slopes[3] *= squashed
        through = o * (1 - squashed * squashed)
        reached = grad.copy()  # dL/dh_t
        blocks = delta.reshape(total, 4, features)
        for rows, n in reversed(walk(sizes, reverse)):
            reached[rows] += dh[:n]
            dm = reached[rows]
            if weight_hr is not None:
                dm = product(dm, weight_hr)
            dc[:n] += dm * through[rows]
            blocks[rows, :3] *= dc[:n, None]
            blocks[rows, 3] *= dm
            dc[:n] *= f[rows]
            dh[:n] = product(delta[rows], weight_hh)
        if weight_hr is None:
            return delta, dh, dc
        return delta, dh, dc, product(reached.swapaxes(0, 1), o * squashed)


def gru_steps(
    projected: Array, hidden: Array, weight_hh: Array, bias_hh: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """q = W_hh h_{t-1} + b, [r z] = σ(p + q), n = tanh(p_n + r q_n), h_t = n + z (h_{t-1} - n).

    >>> h = np.zeros((1, 1))
    >>> gru_steps(np.zeros((1, 3)), h + 1, np.zeros((3, 1)), None, (1,), False)[0]
    array([[0.5]])
    """
    shape = (projected.shape[0], hidden.shape[1])
    output, previous, inner = (np.empty_like(projected, order="C", shape=shape) for _ in range(3))
    gates = np.empty_like(projected, order="C")
    state, weight = hidden.copy(), weight_hh.swapaxes(0, 1)
    with np.errstate(**SILENT):
        for rows, count in walk(sizes, reverse):
            h, p, all_gates = state[:count], projected[rows], gates[rows]
            previous[rows] = h
            q = product(h, weight)
            if bias_hh is not None:
                q += bias_hh
            both = slice(2 * h.shape[1])  # r and z lie side by side
            all_gates[:, both] = sigmoid(p[:, both] + q[:, both])
            r, z, n = _gates(all_gates, 3)
            inner[rows] = _gates(q, 3)[2]
            np.multiply(r, inner[rows], out=n)
            n += _gates(p, 3)[2]
            np.tanh(n, out=n)
            h -= n
            h *= z
            h += n
            output[rows] = h
    return output, gates, inner, previous


def gru_backward_steps(
    grad: Array, gates: Array, inner: Array, previous: Array, weight_hh: Array,
    sizes: Sequence[int], reverse: bool, batch: int,
) -> tuple[Array, ...]:  # fmt: skip
    """The equations of `gru_backward_reference`.

    All factors but dL/dh_t are known beforehand, for all steps at once.
    """
    r, z, n = _gates(gates, 3)
    total, features = inner.shape
    reached = grad.copy()  # dL/dh_t, of which `carried` comes from later steps
    carried = np.zeros_like(grad, order="C", shape=(batch, features))
    with np.errstate(**SILENT):
        dq = np.multiply(
            gates, 1 - gates, out=np.empty_like(gates, order="C")
        )  # so that a reshape is a view
        slope_r, slope_z, slope_n = _gates(dq, 3)
        new = (1 - z) * (1 - n * n)
        slope_r *= new * inner
        slope_z *= previous - n
        np.multiply(new, r, out=slope_n)
        blocks = dq.reshape(total, 3, features)
        for rows, count in reversed(walk(sizes, reverse)):
            reached[rows] += carried[:count]
            blocks[rows] *= reached[rows][:, None]
            np.multiply(reached[rows], z[rows], out=carried[:count])
            carried[:count] += product(dq[rows], weight_hh)
        delta = dq.copy()
        np.multiply(reached, new, out=_gates(delta, 3)[2])
    return delta, dq, carried
