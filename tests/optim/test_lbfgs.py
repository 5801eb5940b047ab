"""L-BFGS beside torch's: the same path, the same number of evaluations, the same state."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lbfgs import _strong_wolfe

import minigen
from minigen import optim
from minigen.optim.line_search import Point, cubic_minimum, strong_wolfe
from tests.oracle import close

SHAPES = [(3, 2), (), (4,), (2, 0)]


def quadratic(parameters: list) -> Any:
    """Unevenly scaled, so that one step is not the end."""
    return sum((3.0**i * (p - i) ** 2).sum() for i, p in enumerate(parameters))


def rosenbrock(parameters: list) -> Any:
    x = parameters[0].reshape(-1)
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def wavy(parameters: list) -> Any:
    """Many minima: the line search has to bracket and to zoom."""
    return sum(((3 * p).sin() + 0.1 * p**2 + 0.05 * p**4).sum() for p in parameters)


def gentle(parameters: list) -> Any:
    """The gradients sum to less than 1."""
    return 1e-3 * quadratic(parameters)


def leaves(module: Any) -> list:
    rng = np.random.default_rng(3)
    arrays = [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]
    return [module.from_numpy(array).requires_grad_() for array in arrays]


def closure_of(optimizer: Any, parameters: list, function: Callable, calls: list) -> Callable:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = function(parameters)
        loss.backward()
        calls.append(loss.item())
        return loss

    return closure


def number(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("function", [quadratic, rosenbrock, wavy, gentle])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1e-3, "max_iter": 4},
        {"lr": 1e-3, "max_iter": 1},
        {"lr": 2e-3, "history_size": 2, "max_eval": 3},
        {"line_search_fn": "strong_wolfe", "max_iter": 3},
        {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 1, "lr": 0.3},
        {"line_search_fn": "strong_wolfe", "max_eval": 4, "lr": 20.0},
        {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-2, "tolerance_change": 1e-3},
    ],
)
def test_the_path_is_that_of_torch(function: Callable, options: dict[str, Any]) -> None:
    ours, theirs = leaves(minigen), leaves(torch)
    a, b = optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
    # a line search locates a minimum by differences of losses: to the root of their rounding errors
    tolerance = 1e-7 if "line_search_fn" in options else 1e-9
    made: list[float] = []
    asked: list[float] = []
    first, second = closure_of(a, ours, function, made), closure_of(b, theirs, function, asked)
    for step in range(10):
        loss, expected = a.step(first), b.step(second)
        close(loss, expected, tolerance, f"loss of step {step}")
        for p, q in zip(ours, theirs):
            close(p, q, tolerance, f"step {step}")
    assert len(made) == len(asked)
    mine, state = a.state[ours[0]], b.state[theirs[0]]
    assert sorted(mine) == sorted(state)
    assert (mine["n_iter"], mine["func_evals"]) == (state["n_iter"], state["func_evals"])
    for key in ("old_dirs", "old_stps"):
        assert len(mine[key]) == len(state[key]) <= options.get("history_size", 100)
        for v, w in zip(mine[key], state[key]):
            close(v, w, 1e-5, key)
    for key in ("t", "H_diag", "prev_loss"):
        assert mine[key] == pytest.approx(number(state[key]), rel=1e-4), key
    assert mine["ro"] == pytest.approx([number(v) for v in state["ro"]], rel=1e-4)


def both_searches(curve: Callable, first: float, c2: float, most: int) -> tuple[int, float]:
    """Run minigen's and torch's line search along `curve`, t -> (loss, slope), and compare them.

    `curve(None)` is called before each search.
    """

    def theirs(x: Any, t: Any, d: Any) -> Any:
        loss, slope = curve(float(t))
        return loss, torch.tensor([slope], dtype=torch.float64)

    def at(t: float) -> Point:
        loss, slope = curve(t)
        return Point(t, loss, None, slope)

    curve(None)
    one, start = torch.ones(1, dtype=torch.float64), at(0.0)
    gradient = torch.tensor([start.slope], dtype=torch.float64)
    slope = gradient.dot(one)
    *_, t, calls = _strong_wolfe(
        theirs, None, first, one, start.loss, gradient, slope, c2=c2, max_ls=most
    )
    curve(None)
    found, asked = strong_wolfe(at, at(0.0), first, 1.0, c2=c2, max_steps=most)
    assert asked == calls
    assert found.t == pytest.approx(float(t), rel=1e-5)
    return asked, found.t


def test_the_line_search_is_that_of_torch() -> None:
    """Along random curves, from far too short to far too long a first distance."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for trial in range(300):
        size, frequency, phase = rng.standard_normal((3, 4)) * [[1.0], [3.0], [3.0]]
        frequency[0] *= 10 if trial % 3 == 0 else 1
        size *= -np.sign((size * frequency * np.cos(phase)).sum())  # downhill at first

        def curve(t: Any, size: Any = size, frequency: Any = frequency, phase: Any = phase) -> Any:
            wave, t = frequency * (t or 0.0) + phase, t or 0.0
            slope = (size * frequency * np.cos(wave)).sum() + 0.04 * t
            return float((size * np.sin(wave)).sum() + 0.02 * t * t), float(slope)

        first, most = float(10 ** rng.uniform(-3, 2)), int(rng.integers(1, 12))
        outcomes.add(both_searches(curve, first, 0.9 if trial % 2 else 0.05, most)[0])
    assert len(outcomes) > 8, "long searches and short ones"


def test_the_line_search_takes_every_branch_that_torch_takes() -> None:
    """The losses and slopes are random, so that no turn of events is too rare to be seen."""
    rng = np.random.default_rng(1)
    for _ in range(1000):
        script = rng.standard_normal((40, 2)) - [0.5, 0.3]
        script[0] = 0.0, -1.0
        turns = iter(())

        def curve(t: Any, script: Any = script) -> Any:
            nonlocal turns
            if t is None:
                turns = iter(script.tolist())
                return None
            return next(turns)

        both_searches(curve, 1.0, 0.2, int(rng.integers(1, 9)))


def test_a_cubic_without_minimum_gives_the_middle() -> None:
    assert cubic_minimum(Point(0.0, 0.0, None, -1.0), Point(2.0, -5.0, None, -1.0)) in (1.0, 2.0)
    assert cubic_minimum(Point(4.0, 0.0, None, -1.0), Point(2.0, math.nan, None, -1.0)) == 3.0


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_going_on_from_a_state_is_going_on(line_search: str | None) -> None:
    options = {"line_search_fn": line_search, "lr": 1e-2, "max_iter": 2}
    whole, part = leaves(minigen), leaves(minigen)
    a, b = optim.LBFGS(whole, **options), optim.LBFGS(part, **options)
    for _ in range(4):
        a.step(closure_of(a, whole, wavy, []))
    for _ in range(2):
        b.step(closure_of(b, part, wavy, []))
    resumed = [minigen.from_numpy(p.detach().numpy().copy()).requires_grad_() for p in part]
    c = optim.LBFGS(resumed)
    c.load_state_dict(copy.deepcopy(b.state_dict()))
    for _ in range(2):
        c.step(closure_of(c, resumed, wavy, []))
    for p, q in zip(whole, resumed):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_a_state_of_torch_can_be_taken_over() -> None:
    options = {"line_search_fn": "strong_wolfe", "max_iter": 2}
    ours, theirs = leaves(minigen), leaves(torch)
    b = torch.optim.LBFGS(theirs, **options)
    for _ in range(2):
        b.step(closure_of(b, theirs, wavy, []))

    def ported(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return minigen.from_numpy(value.numpy().copy())
        if isinstance(value, list):
            return [ported(each) for each in value]
        return {k: ported(v) for k, v in value.items()} if isinstance(value, dict) else value

    for p, q in zip(ours, theirs):
        p.data = minigen.from_numpy(q.detach().numpy().copy())
    a = optim.LBFGS(ours)
    a.load_state_dict(ported(b.state_dict()))
    for _ in range(2):
        a.step(closure_of(a, ours, wavy, []))
        b.step(closure_of(b, theirs, wavy, []))
    for p, q in zip(ours, theirs):
        close(p, q, 1e-9, "resumed")


def test_a_minimum_is_left_alone_and_missing_gradients_are_zeros() -> None:
    at_rest, unused = minigen.zeros(2, requires_grad=True), minigen.ones(1, requires_grad=True)
    optimizer = optim.LBFGS([at_rest, unused])
    optimizer.step(closure_of(optimizer, [at_rest], lambda p: (p[0] ** 2).sum(), []))
    assert optimizer.state[at_rest] == {"func_evals": 1, "n_iter": 0}
    at_rest.data = minigen.ones(2)
    optimizer.step(closure_of(optimizer, [at_rest], lambda p: (p[0] ** 2).sum(), []))
    assert at_rest.abs().max().item() < 1e-3
    assert unused.tolist() == [1.0]
    with minigen.no_grad():  # the closure is recorded all the same
        optimizer.step(closure_of(optimizer, [unused], lambda p: (p[0] ** 2).sum(), []))


def test_bad_arguments() -> None:
    w, v = minigen.ones(1, requires_grad=True), minigen.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="no parameter groups"):
        optim.LBFGS([{"params": [w]}, {"params": [v]}])
    with pytest.raises(ValueError, match="'armijo' is not offered"):
        optim.LBFGS([w], line_search_fn="armijo")
    with pytest.raises(ValueError, match="learning rate"):
        optim.LBFGS([w], lr=-1)
    with pytest.raises(ValueError, match="history_size"):
        optim.LBFGS([w], history_size=0)
    optimizer = optim.LBFGS([w])
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()
    optimizer.step(closure_of(optimizer, [w], lambda p: (p[0] ** 4).sum(), []))
    other = optim.LBFGS([minigen.ones(3, requires_grad=True)])
    with pytest.raises(ValueError, match=r"3 elements in all has shape \(1,\)"):
        other.load_state_dict(optimizer.state_dict())
