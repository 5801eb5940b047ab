"""The optimizers' steps: every rung against the formula and against torch; lists, views."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from minigen.kernels import parallel

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = ["numpy", "numba"]
ALL = ["reference", *RUNGS]
SIZES = [0, 1, 2, 3, 5, 17, 33, 64, 65, 1000]
SHAPES = [(4, 3), (3,), (), (2, 1, 2), (3, 0), (150, 150), (2048,), (2049,), (1,)]
both = pytest.mark.parametrize("dtype", UNIT)
every_rung = pytest.mark.parametrize("rung", RUNGS)

SGD = [  # lr, momentum, dampening, weight_decay, nesterov, maximize
    (0.1, 0.0, 0.0, 0.0, False, False),
    (0.1, 0.0, 0.0, 0.2, False, True),
    (0.1, 0.9, 0.0, 0.0, False, False),
    (0.1, 0.9, 0.3, 0.05, False, True),
    (0.1, 0.9, 0.0, 0.05, True, False),
]


@both
@every_rung
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam(rung, dtype, decoupled, weight_decay, rng) -> None:
    for size in (*SIZES, 20000):
        state = rng.standard_normal((4, size)).astype(dtype)
        state[3] = np.abs(state[3])
        exact = [a.astype(np.float64) for a in state]
        ours = [a.copy() for a in state]
        hyper = (1e-2, 0.9, 0.999, 1e-8, weight_decay, decoupled, 3)
        assert kernels.get("adam", rung)(*ours, *hyper) is None
        kernels.get("adam", "reference")(*exact, *hyper)
        np.testing.assert_array_equal(ours[1], state[1])
        bound = (
            8 * UNIT[dtype] * (np.abs(state[0]) + 1e-2 * (1 + np.abs(exact[0] - state[0]) / 1e-2))
        )
        assert (np.abs(ours[0] - exact[0]) <= bound).all()
        for moment in (2, 3):
            scale = np.abs(state[moment]) + np.abs(state[1]) + state[1] ** 2 + np.abs(state[0])
            assert (np.abs(ours[moment] - exact[moment]) <= 8 * UNIT[dtype] * scale).all()


@both
@every_rung
@pytest.mark.parametrize("options", SGD)
@pytest.mark.parametrize("first", [False, True])
def test_sgd(rung, dtype, options, first, rng) -> None:
    for size in (*SIZES, 20000):
        p, g, b = rng.standard_normal((3, size)).astype(dtype)
        if first:
            b[:] = np.nan  # the buffer's first values are not read
        exact, ours = ([a.astype(d) for a in (p, g, b)] for d in ("f8", dtype))
        for rung_, state in ((rung, ours), ("reference", exact)):
            buffer = state[2] if options[1] else None
            kernels.get("sgd", rung_)(*state[:2], buffer, *options, first)
        np.testing.assert_array_equal(ours[1], g)
        kept = 0 if first else np.abs(b)
        scale = np.abs(p) + np.abs(g) + kept
        assert (np.abs(ours[0] - exact[0]) <= 8 * UNIT[dtype] * scale).all()
        if options[1]:
            assert (np.abs(ours[2] - exact[2]) <= 8 * UNIT[dtype] * scale).all()


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("decoupled", [False, True])
def test_ten_steps_of_adam_against_torch(rung, decoupled, rng) -> None:
    start = rng.standard_normal(50)
    parameter, exp_avg, exp_avg_sq = start.copy(), np.zeros(50), np.zeros(50)
    theirs = torch.from_numpy(start.copy()).requires_grad_()
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind([theirs], lr=0.03, betas=(0.8, 0.95), eps=1e-7, weight_decay=0.2)
    for step in range(1, 11):
        grad = rng.standard_normal(50)
        theirs.grad = torch.from_numpy(grad.copy())
        optimizer.step()
        kernels.get("adam", rung)(
            *(parameter, grad, exp_avg, exp_avg_sq), *(0.03, 0.8, 0.95, 1e-7, 0.2, decoupled, step)
        )
    np.testing.assert_allclose(parameter, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rung", ALL)
@pytest.mark.parametrize("options", SGD)
def test_steps_of_sgd_against_torch(rung, options, rng) -> None:
    start = rng.standard_normal(50)
    p, b = start.copy(), np.empty(50)
    theirs = torch.from_numpy(start.copy()).requires_grad_()
    lr, momentum, dampening, decay, nesterov, maximize = options
    optimizer = torch.optim.SGD(
        [theirs], lr, momentum, dampening, decay, nesterov, maximize=maximize
    )
    for step in range(5):
        grad = rng.standard_normal(50)
        theirs.grad = torch.from_numpy(grad.copy())
        optimizer.step()
        kernels.get("sgd", rung)(p, grad, b if momentum else None, *options, step == 0)
    np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)


def steps(rung: str) -> list:
    """(name, number of arrays, options, function of a rung) of one step of each optimizer."""
    return [
        ("adam", 4, (0.1, 0.9, 0.99, 1e-8, 0.1, False, 2), kernels.get("adam", rung)),
        ("sgd", 3, (0.1, 0.9, 0.1, 0.1, False, True, False), kernels.get("sgd", rung)),
    ]


def positive(rng: np.random.Generator, shape: tuple, dtype: str) -> np.ndarray:
    return np.asarray(np.abs(rng.standard_normal(shape)), dtype)


@both
@pytest.mark.parametrize("rung", ALL)
def test_a_list_moves_as_its_members_do(rung, dtype, rng) -> None:
    for _, count, options, function in steps(rung):
        lists = [[positive(rng, s, dtype) for s in SHAPES] for _ in range(count)]
        alone = [[a.copy() for a in column] for column in lists]
        function(*lists, *options)
        for arrays in zip(*alone):
            function(*arrays, *options)
        for together, single in zip(lists, alone):
            for one, other in zip(together, single):
                np.testing.assert_allclose(one, other, rtol=8 * UNIT[dtype], atol=8 * UNIT[dtype])


@every_rung
def test_views_are_updated_in_place(rung, rng) -> None:
    for _, count, options, function in steps(rung):
        for crooked in (lambda a: a[:, ::2], lambda a: a[::-1], lambda a: a.T):
            whole = np.abs(rng.standard_normal((count, 60, 70)))
            before = whole.copy()
            views = [crooked(a) for a in whole]
            copies = [np.ascontiguousarray(v) for v in views]
            function(*views, *options)
            function(*copies, *options)
            np.testing.assert_allclose(views, copies, rtol=1e-12, atol=1e-14)
            untouched = np.ones((60, 70), bool)
            crooked(untouched)[...] = False
            np.testing.assert_array_equal(whole[:, untouched], before[:, untouched])


@every_rung
def test_a_gradient_may_be_read_only_and_crooked(rung, rng) -> None:
    for _, count, options, function in steps(rung):
        arrays = np.abs(rng.standard_normal((count, 30, 40)))
        copies = arrays.copy()
        gradient = np.asfortranarray(arrays[1])
        gradient.flags.writeable = False
        function(arrays[0], gradient, *arrays[2:], *options)
        function(*copies, *options)
        np.testing.assert_allclose(arrays, copies, rtol=1e-12, atol=1e-14)


def test_the_same_on_any_number_of_threads(rng) -> None:
    shapes, before = [(1000, 700), (3,), (400, 900), (5,)], parallel.threads()
    for _, count, options, function in steps("numba"):
        drawn = [[positive(rng, s, "f4") for s in shapes] for _ in range(count)]
        results = []
        try:
            for threads in (1, 2, 4):
                parallel.set_threads(threads)
                results.append([[a.copy() for a in column] for column in drawn])
                function(*results[-1], *options)
        finally:
            parallel.set_threads(before)
        for other in results[1:]:
            for a, b in zip(results[0], other):
                for x, y in zip(a, b):
                    np.testing.assert_array_equal(x, y)
        exact = [[a.astype("f8") for a in column] for column in drawn]
        steps("reference")[0 if count == 4 else 1][3](*exact, *options)
        np.testing.assert_allclose(results[0][0][0], exact[0][0], rtol=1e-5, atol=1e-6)
