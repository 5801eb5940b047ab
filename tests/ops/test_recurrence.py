"""Recurrences against their equations, written out step by step in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.ops import recurrence
from tests.expressions import normal
from tests.oracle import check

SIZES = [(1,), (2, 2, 2), (3, 2, 2, 1), (1, 1), (4, 1)]


def sequences(sizes: tuple, reverse: bool) -> list[list[int]]:
    """The rows of each sequence, in the order in which they are taken."""
    starts = np.cumsum([0, *sizes])
    rows = [[int(starts[t]) + i for t, n in enumerate(sizes) if i < n] for i in range(sizes[0])]
    return [each[::-1] for each in rows] if reverse else rows


def one_by_one(step: Callable, p: Any, states: tuple, sizes: tuple, reverse: bool) -> list:
    """Each sequence for itself: all hidden states in their rows, and the last of each state."""
    output: dict = {}
    last = []
    for i, rows in enumerate(sequences(sizes, reverse)):
        state = tuple(s[i] for s in states)
        for row in rows:
            state = step(p[row], *state)
            output[row] = state[0]
        last.append(state)
    ends = [torch.stack(kind) for kind in zip(*last)]
    return [torch.stack([output[row] for row in range(len(p))]), *ends]


def elman_step(w: Any, rectify: bool) -> Callable:
    return lambda p, h: ((torch.relu if rectify else torch.tanh)(p + w @ h),)


def lstm_step(w: Any, w_hr: Any) -> Callable:
    def step(p: Any, h: Any, c: Any) -> tuple:
        i, f, g, o = (p + w @ h).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return (h if w_hr is None else w_hr @ h), c

    return step


def gru_step(w: Any, b: Any) -> Callable:
    def step(p: Any, h: Any) -> tuple:
        q = w @ h if b is None else w @ h + b
        (p_r, p_z, p_n), (q_r, q_z, q_n) = p.chunk(3), q.chunk(3)
        r, z = torch.sigmoid(p_r + q_r), torch.sigmoid(p_z + q_z)
        return ((1 - z) * torch.tanh(p_n + r * q_n) + z * h,)

    return step


def check_both(ours: Callable, theirs: Callable, *inputs: Any) -> None:
    """The rules to the first order and numerically, the formula to the second."""
    check(ours, theirs, *inputs, order=1)
    check(ours, theirs, *inputs, order=2, numeric=False)


def with_final_rows(output: Any, sizes: tuple, reverse: bool) -> list:
    return [output, recurrence.final_rows(output, sizes, reverse)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rectify", [False, True])
def test_elman(sizes: tuple, reverse: bool, rectify: bool) -> None:
    check_both(
        lambda p, h, w: with_final_rows(
            recurrence.elman(p, h, w, sizes, reverse, rectify), sizes, reverse
        ),
        lambda p, h, w: one_by_one(elman_step(w, rectify), p, (h,), sizes, reverse),
        normal(sum(sizes), 3), normal(sizes[0], 3), normal(3, 3),
    )  # fmt: skip


def check_lstm(sizes: tuple, reverse: bool, features: int, projection: int) -> None:
    width = projection or features

    def ours(p: Any, h: Any, c: Any, w: Any, w_hr: Any = None) -> list:
        output, cell = recurrence.lstm(p, h, c, w, w_hr, sizes, reverse)
        return [*with_final_rows(output, sizes, reverse), cell]

    check_both(
        ours,
        lambda p, h, c, w, w_hr=None: one_by_one(lstm_step(w, w_hr), p, (h, c), sizes, reverse),
        normal(sum(sizes), 4 * features), normal(sizes[0], width), normal(sizes[0], features),
        normal(4 * features, width), *([normal(width, features)] if projection else []),
    )  # fmt: skip


@pytest.mark.parametrize("projection", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_lstm(sizes: tuple, reverse: bool, projection: int) -> None:
    check_lstm(sizes, reverse, 2, projection)


def check_gru(sizes: tuple, reverse: bool, features: int, bias: bool) -> None:
    check_both(
        lambda p, h, w, b=None: with_final_rows(
            recurrence.gru(p, h, w, b, sizes, reverse), sizes, reverse
        ),
        lambda p, h, w, b=None: one_by_one(gru_step(w, b), p, (h,), sizes, reverse),
        normal(sum(sizes), 3 * features), normal(sizes[0], features),
        normal(3 * features, features), *([normal(3 * features)] if bias else []),
    )  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_gru(sizes: tuple, reverse: bool, bias: bool) -> None:
    check_gru(sizes, reverse, 2, bias)


falling = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(lambda n: tuple(sorted(n)[::-1]))


@settings(max_examples=20, deadline=None)
@given(falling, st.booleans(), st.integers(1, 3), st.data())
def test_any_sizes(sizes: tuple, reverse: bool, features: int, data: Any) -> None:
    check_lstm(sizes, reverse, features, data.draw(st.integers(0, features)))
    check_gru(sizes, reverse, features, data.draw(st.booleans()))


def test_only_one_output_used() -> None:
    """The cells alone, and the hidden states alone, get their whole gradient."""
    sizes, inputs = (2, 1), (normal(3, 8), normal(2, 2), normal(2, 2), normal(8, 2))
    for which in (0, 1):

        def ours(p: Any, h: Any, c: Any, w: Any, which: int = which) -> Any:
            return recurrence.lstm(p, h, c, w, None, sizes, False)[which]

        def theirs(p: Any, h: Any, c: Any, w: Any, which: int = which) -> Any:
            return one_by_one(lstm_step(w, None), p, (h, c), sizes, False)[2 * which]

        check_both(ours, theirs, *inputs)


def test_it_runs_on_the_kernels_in_use() -> None:
    """The steps on the kernel of the recurrence, the gradient of W_hh on that of matmul."""
    calls = []

    def recorded(name: str) -> Callable:
        function = minigen.kernels.get(name, "numpy")

        def mine(*arrays: Any) -> Any:
            calls.append((name, arrays[0].shape))
            return function(*arrays)

        return mine

    w = minigen.zeros(6, 2, requires_grad=True)
    names = ("gru", "gru_backward", "matmul")
    with minigen.kernels.use(**{name: recorded(name) for name in names}):
        y = recurrence.gru(minigen.zeros(6, 6), minigen.zeros(2, 2), w, None, (2, 2, 2), False)
        y.sum().backward()
    assert calls == [("gru", (6, 6)), ("gru_backward", (6, 2)), ("matmul", (6, 6))]
