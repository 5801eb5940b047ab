"""Recurrences and their gradients by their equations, step by step, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..fused.functions import sigmoid_reference as sigmoid
from .walk import walk

Array = Any


def _exact(*arrays: Array) -> list[Array]:
    return [None if a is None else np.asarray(a, np.float64) for a in arrays]


def _times(rows: Array, weight: Array) -> Array:
    """Σₖ rowsᵢₖ weightₖⱼ without BLAS."""
    return np.einsum("ik,kj->ij", rows, weight)


def lstm_reference(
    projected: Array, hidden: Array, cell: Array, weight_hh: Array, weight_hr: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """[i f g o] = [σ σ tanh σ](p_t + W_hh h_{t-1}), c_t = f c_{t-1} + i g, h_t = W_hr (o tanh c_t).

    >>> h = c = np.zeros((1, 1))
    >>> lstm_reference(np.ones((2, 4)), h, c, np.zeros((4, 1)), None, (1, 1), False)[0].round(4)
    array([[0.3696],
           [0.5453]])
    """
    projected, h, c, weight_hh, weight_hr = _exact(projected, hidden, cell, weight_hh, weight_hr)
    h, c = h.copy(), c.copy()
    total, features = projected.shape[0], c.shape[1]
    output, previous = np.zeros((total, h.shape[1])), np.zeros((total, h.shape[1]))
    squashed, cells = np.zeros((total, features)), np.zeros((total, features))
    gates = np.zeros_like(projected)
    for rows, n in walk(sizes, reverse):
        previous[rows], cells[rows] = h[:n], c[:n]
        i, f, g, o = np.split(projected[rows] + _times(h[:n], weight_hh.T), 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        gates[rows] = np.concatenate([i, f, g, o], axis=1)
        c[:n] = f * c[:n] + i * g
        squashed[rows] = np.tanh(c[:n])
        m = o * squashed[rows]
        output[rows] = h[:n] = m if weight_hr is None else _times(m, weight_hr.T)
    return output, c, gates, squashed, cells, previous


def lstm_backward_reference(
    grad: Array, last_grad: Array, gates: Array, squashed: Array, cells: Array, weight_hh: Array,
    weight_hr: Array | None, sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """Backpropagation through time, with m_t = o ⊙ tanh(c_t):

    dL/dc_t = dL/dm_t ⊙ o (1 - tanh²(c_t)) + dL/dc_{t+1} ⊙ f_{t+1}
    δ_i = dL/dc_t ⊙ g i (1 - i),  δ_f = dL/dc_t ⊙ c_{t-1} f (1 - f),
    δ_g = dL/dc_t ⊙ i (1 - g²),   δ_o = dL/dm_t ⊙ tanh(c_t) o (1 - o)
    """
    grad, dc, gates, squashed, cells, weight_hh, weight_hr = _exact(
        grad, last_grad, gates, squashed, cells, weight_hh, weight_hr
    )
    dc, dh = dc.copy(), np.zeros((dc.shape[0], grad.shape[1]))
    delta, reached = np.zeros_like(gates), np.zeros_like(grad)
    for rows, n in reversed(walk(sizes, reverse)):
        i, f, g, o = np.split(gates[rows], 4, axis=1)
        reached[rows] = grad[rows] + dh[:n]
        dm = reached[rows] if weight_hr is None else _times(reached[rows], weight_hr)
        dc[:n] += dm * o * (1 - squashed[rows] ** 2)
        delta[rows] = np.concatenate(
            [
                dc[:n] * g * i * (1 - i),
                dc[:n] * cells[rows] * f * (1 - f),
                dc[:n] * i * (1 - g * g),
                dm * squashed[rows] * o * (1 - o),
            ],
            axis=1,
        )
        dc[:n] *= f
        dh[:n] = _times(delta[rows], weight_hh)
    if weight_hr is None:
        return delta, dh, dc
    m = np.split(gates, 4, axis=1)[3] * squashed
    return delta, dh, dc, _times(reached.T, m)


def gru_reference(
    projected: Array, hidden: Array, weight_hh: Array, bias_hh: Array | None,
    sizes: Sequence[int], reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    """q = W_hh h_{t-1} + b, [r z] = σ(p + q), n = tanh(p_n + r q_n), h_t = (1 - z) n + z h_{t-1}.

    >>> h = np.zeros((1, 1))
    >>> gru_reference(np.zeros((1, 3)), h + 1, np.zeros((3, 1)), None, (1,), False)[0]
    array([[0.5]])
    """
    projected, h, weight_hh, bias_hh = _exact(projected, hidden, weight_hh, bias_hh)
    h, total = h.copy(), projected.shape[0]
    output, inner, previous = (np.zeros((total, h.shape[1])) for _ in range(3))
    gates = np.zeros_like(projected)
    for rows, count in walk(sizes, reverse):
        previous[rows] = h[:count]
        q = _times(h[:count], weight_hh.T) + (0 if bias_hh is None else bias_hh)
        (p_r, p_z, p_n), (q_r, q_z, q_n) = (np.split(a, 3, axis=1) for a in (projected[rows], q))
        r, z, inner[rows] = sigmoid(p_r + q_r), sigmoid(p_z + q_z), q_n
        n = np.tanh(p_n + r * q_n)
        gates[rows] = np.concatenate([r, z, n], axis=1)
        output[rows] = h[:count] = (1 - z) * n + z * h[:count]
    return output, gates, inner, previous


def gru_backward_reference(
    grad: Array, gates: Array, inner: Array, previous: Array, weight_hh: Array,
    sizes: Sequence[int], reverse: bool, batch: int,
) -> tuple[Array, ...]:  # fmt: skip
    """δ_z = dL/dh_t ⊙ (h_{t-1} - n) z (1 - z),  δ_n = dL/dh_t ⊙ (1 - z) (1 - n²),
    δ_r = δ_n ⊙ q_n r (1 - r); the gradient of q_t is (δ_r, δ_z, δ_n ⊙ r).
    """
    grad, gates, inner, previous, weight_hh = _exact(grad, gates, inner, previous, weight_hh)
    delta, dq, dh = np.zeros_like(gates), np.zeros_like(gates), np.zeros((batch, grad.shape[1]))
    for rows, count in reversed(walk(sizes, reverse)):
        r, z, n = np.split(gates[rows], 3, axis=1)
        reached = grad[rows] + dh[:count]
        d_n = reached * (1 - z) * (1 - n * n)
        d_r, d_z = d_n * inner[rows] * r * (1 - r), reached * (previous[rows] - n) * z * (1 - z)
        delta[rows] = np.concatenate([d_r, d_z, d_n], axis=1)
        dq[rows] = np.concatenate([d_r, d_z, d_n * r], axis=1)
        dh[:count] = reached * z + _times(dq[rows], weight_hh)
    return delta, dq, dh
