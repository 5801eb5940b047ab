"""Recurrences: a state that is carried from step to step through whole sequences.

`elman`, `lstm` and `gru` run one layer in one direction.  What depends on the input alone, x W_ihᵀ,
is one matrix product over all steps, made beforehand by `linear`: here it is `projected`.  Left for
each step are h W_hhᵀ and the gates.  Backward is the same walk in the opposite order
(backpropagation through time, Werbos 1990, Proceedings of the IEEE 78(10)); the gradient of W_hh is
one product over all steps again.  Each operation also has its `formula`, unrolled step by step in
differentiable operations, from which derivatives of higher order follow.

All rows of a batch lie in one matrix, step after step; `sizes` says how many belong to each step.
Sequences are ordered from the longest to the shortest, so the sizes never grow, and a step always
concerns the first rows of the state.  A sequence that has ended, or in the reverse direction not
begun, leaves its row of the state alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from minigen.autograd import differentiable, wrap
from minigen.backend import kernel, quiet, to_device
from minigen.ops.functions import sigmoid, tanh
from minigen.ops.indexing import index_select, narrow
from minigen.ops.joining import cat, chunk, split
from minigen.ops.linalg import linear
from minigen.ops.rectifiers import relu
from minigen.ops.shape import reshape

__all__ = ["elman", "final_rows", "gru", "lstm"]


def _steps(sizes: Sequence[int], reverse: bool) -> list[tuple[slice, int]]:
    """(the rows of a step, how many they are), in the order in which the steps are taken."""
    steps = [(slice(end - n, end), n) for end, n in zip(accumulate(sizes), sizes)]
    return steps[::-1] if reverse else steps


def final_rows(output: Any, sizes: Sequence[int], reverse: bool) -> Any:
    """(sequences, features): the row of each sequence at the last step that concerned it."""
    batch = sizes[0]
    if reverse:
        return narrow(output, 0, 0, batch)
    if sizes[-1] == batch:
        return narrow(output, 0, output.shape[0] - batch, batch)
    last = np.empty(batch, np.int64)
    for end, n in zip(accumulate(sizes), sizes):
        last[:n] = np.arange(end - n, end)
    return index_select(output, 0, wrap(to_device(last, output.device)))


def _unrolled(
    step: Callable, projected: Any, states: tuple, sizes: Sequence[int], reverse: bool
) -> tuple:
    """The formula of a recurrence: all rows of the first state, and the states after the last step.

    step: (rows of `projected`, *states before) -> states after.
    """
    batch = states[0].shape[0]
    order = range(len(sizes))[:: -1 if reverse else 1]
    inputs, outputs = split(projected, list(sizes)), {}
    for t in order:
        n = sizes[t]
        if n == batch:
            states = step(inputs[t], *states)
            outputs[t] = states[0]
            continue
        live, resting = zip(*(split(state, [n, batch - n]) for state in states))
        after = step(inputs[t], *live)
        outputs[t] = after[0]
        states = tuple(cat(halves) for halves in zip(after, resting))
    return cat([outputs[t] for t in range(len(sizes))]), states


def _weight_gradient(delta: Any, factor: Any) -> Any:
    """Σ_t δ_tᵀ factor_t, the gradient of a weight that all steps share."""
    return kernel("matmul", delta.swapaxes(0, 1), factor)


# -------------------------------------------------------------------------------------- elman


@differentiable(saves=("slope", "previous"))
def elman(
    projected: Any, hidden: Any, weight_hh: Any, sizes: tuple, reverse: bool, rectify: bool
) -> Any:
    """h_t = tanh(p_t + W_hh h_{t-1}), or max(0, ·) if `rectify`: the hidden states of all steps.

    projected (rows, H), p_t = W_ih x_t + b; hidden (sequences, H); weight_hh (H, H) -> (rows, H).
    Source: Elman 1990, "Finding structure in time", Cognitive Science 14(2).

    >>> import minigen
    >>> p, h = minigen.tensor([[1.0], [2.0], [3.0]]), minigen.zeros(1, 1)
    >>> elman(p, h, minigen.tensor([[2.0]]), (1, 1, 1), False, True)
    tensor([[ 1.],
            [ 4.],
            [11.]])
    """
    output, previous = np.empty_like(projected), np.empty_like(projected)
    state, weight = hidden.copy(), weight_hh.swapaxes(0, 1)
    with quiet():
        for rows, n in _steps(sizes, reverse):
            h, after = state[:n], output[rows]
            previous[rows] = h
            np.add(projected[rows], kernel("matmul", h, weight), out=after)
            np.maximum(after, 0, out=after) if rectify else np.tanh(after, out=after)
            h[...] = after
        slope = (output > 0).astype(output.dtype) if rectify else 1 - output * output
    return output, slope, previous


@elman.joint_gradient("projected", "hidden", "weight_hh")
def _(
    g: Any, weight_hh: Any, sizes: tuple, reverse: bool, slope: Any, previous: Any,
    hidden_shape: tuple,
) -> Any:  # fmt: skip
    """δ_t = (dL/dh_t) ⊙ slope_t; through W_hh it reaches the step before."""
    delta = g * slope
    carried = np.zeros_like(g, shape=hidden_shape)  # dL/dh_t from later steps
    with quiet():
        for rows, n in reversed(_steps(sizes, reverse)):
            delta[rows] += carried[:n] * slope[rows]
            carried[:n] = kernel("matmul", delta[rows], weight_hh)
        return delta, carried, _weight_gradient(delta, previous)


@elman.formula
def _(
    projected: Any, hidden: Any, weight_hh: Any, sizes: tuple, reverse: bool, rectify: bool
) -> Any:
    nonlinearity = relu if rectify else tanh

    def step(p: Any, h: Any) -> tuple:
        return (nonlinearity(p + linear(h, weight_hh)),)

    return _unrolled(step, projected, (hidden,), sizes, reverse)[0]


# --------------------------------------------------------------------------------------- lstm


def lstm(
    projected: Any, hidden: Any, cell: Any, weight_hh: Any, weight_hr: Any, sizes: tuple,
    reverse: bool,
) -> tuple:  # fmt: skip
    """The long short-term memory: a cell that gates write to, keep and read.

        [i f g o] = [σ σ tanh σ](p_t + W_hh h_{t-1})      input, forget, candidate, output
        c_t = f ⊙ c_{t-1} + i ⊙ g
        h_t = W_hr (o ⊙ tanh(c_t)),  without W_hr if that is None

    projected (rows, 4 H), p_t = W_ih x_t + b; hidden (sequences, P), cell (sequences, H);
    weight_hh (4 H, P), weight_hr (P, H), or None and P = H.
    Returns the hidden states of all steps (rows, P), and the cells after the last (sequences, H).
    Sources: Hochreiter & Schmidhuber 1997, Neural Computation 9(8); the forget gate: Gers,
    Schmidhuber & Cummins 2000, Neural Computation 12(10); W_hr: Sak, Senior & Beaufays 2014,
    arXiv:1402.1128, section 2.

    >>> import minigen
    >>> h = c = minigen.zeros(1, 1)
    >>> lstm(minigen.ones(2, 4), h, c, minigen.zeros(4, 1), None, (1, 1), False)
    (tensor([[0.3696],
            [0.5453]]), tensor([[0.9638]]))
    """
    shape = (projected.shape[0], hidden.shape[1])
    flat = _lstm(projected, hidden, cell, weight_hh, weight_hr, sizes, reverse)
    output, last = split(flat, [math.prod(shape), math.prod(cell.shape)])
    return reshape(output, shape), reshape(last, tuple(cell.shape))


@differentiable(saves=("gates", "squashed", "cells", "previous"))
def _lstm(
    projected: Any, hidden: Any, cell: Any, weight_hh: Any, weight_hr: Any, sizes: tuple,
    reverse: bool,
) -> Any:  # fmt: skip
    """Both results in a row, as an operation with a formula has one output.

    Kept for backward, a row for each step: the gates, tanh(c_t), c_{t-1} and h_{t-1}.
    """
    output, last, *kept = kernel(
        "lstm", projected, hidden, cell, weight_hh, weight_hr, sizes, reverse
    )
    return np.concatenate([output.reshape(-1), last.reshape(-1)]), *kept


def _parts(flat: Any, projected: Any, hidden_shape: tuple, cell_shape: tuple) -> tuple:
    """The hidden states of all steps, and the last cells, in the memory that holds both."""
    shape = (projected.shape[0], hidden_shape[1])
    size = math.prod(shape)
    return flat[:size].reshape(shape), flat[size:].reshape(cell_shape)


@_lstm.joint_gradient("projected", "hidden", "cell", "weight_hh", "weight_hr")
def _(
    g: Any, projected: Any, weight_hh: Any, weight_hr: Any, sizes: tuple, reverse: bool,
    gates: Any, squashed: Any, cells: Any, previous: Any, hidden_shape: tuple, cell_shape: tuple,
) -> Any:  # fmt: skip
    """Backpropagation through time by the kernel, which says how; here the gradient of W_hh."""
    output_gradient, last_gradient = _parts(g, projected, hidden_shape, cell_shape)
    delta, dh, dc, *dw_hr = kernel(
        "lstm_backward", output_gradient, last_gradient, gates, squashed, cells, weight_hh,
        weight_hr, sizes, reverse,
    )  # fmt: skip
    with quiet():
        return delta, dh, dc, _weight_gradient(delta, previous), dw_hr[0] if dw_hr else None


@_lstm.formula
def _(
    projected: Any, hidden: Any, cell: Any, weight_hh: Any, weight_hr: Any, sizes: tuple,
    reverse: bool,
) -> Any:  # fmt: skip
    def step(p: Any, h: Any, c: Any) -> tuple:
        i, f, candidate, o = chunk(p + linear(h, weight_hh), 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(candidate)
        read = sigmoid(o) * tanh(c)
        return (read if weight_hr is None else linear(read, weight_hr)), c

    output, (_, last) = _unrolled(step, projected, (hidden, cell), sizes, reverse)
    return cat([reshape(output, (-1,)), reshape(last, (-1,))])


# ---------------------------------------------------------------------------------------- gru


@differentiable(saves=("gates", "inner", "previous"))
def gru(
    projected: Any, hidden: Any, weight_hh: Any, bias_hh: Any, sizes: tuple, reverse: bool
) -> Any:
    """The gated recurrent unit: the hidden states of all steps.

        q_t = W_hh h_{t-1} + b_hh
        r = σ(p_r + q_r),  z = σ(p_z + q_z),  n = tanh(p_n + r ⊙ q_n)       reset, update, new
        h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}

    projected (rows, 3 H), p_t = W_ih x_t + b_ih; hidden (sequences, H); weight_hh (3 H, H), bias_hh
    (3 H) or None -> (rows, H).  Source: Cho et al. 2014, arXiv:1406.1078, equations 5 to 8, with r
    applied after the matrix and not before, as in version 1 of the paper and in PyTorch.

    >>> import minigen
    >>> p, h = minigen.tensor([[0.0, 0.0, 9.0], [0.0, 0.0, 9.0]]), minigen.zeros(1, 1)
    >>> gru(p, h, minigen.zeros(3, 1), None, (1, 1), False)
    tensor([[0.5000],
            [0.7500]])
    """
    return kernel("gru", projected, hidden, weight_hh, bias_hh, sizes, reverse)


@gru.joint_gradient("projected", "hidden", "weight_hh", "bias_hh")
def _(
    g: Any, hidden: Any, weight_hh: Any, sizes: tuple, reverse: bool, gates: Any, inner: Any,
    previous: Any,
) -> Any:  # fmt: skip
    """Backpropagation through time by the kernel, which says how; here those of W_hh and b_hh."""
    delta, dq, dhidden = kernel(
        "gru_backward", g, gates, inner, previous, weight_hh, sizes, reverse, hidden.shape[0]
    )
    with quiet():
        return delta, dhidden, _weight_gradient(dq, previous), dq.sum(axis=0)


@gru.formula
def _(
    projected: Any, hidden: Any, weight_hh: Any, bias_hh: Any, sizes: tuple, reverse: bool
) -> Any:
    def step(p: Any, h: Any) -> tuple:
        p_r, p_z, p_n = chunk(p, 3, 1)
        q_r, q_z, q_n = chunk(linear(h, weight_hh, bias_hh), 3, 1)
        z, n = sigmoid(p_z + q_z), tanh(p_n + sigmoid(p_r + q_r) * q_n)
        return (n + z * (h - n),)

    return _unrolled(step, projected, (hidden,), sizes, reverse)[0]
