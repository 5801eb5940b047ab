"""Schedules beside torch's: the same sequence of rates, alone, chained, in sequence, resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import optim
from minigen.optim import lr_scheduler

STEPS = 23


def optimizer_of(library: Any) -> Any:
    """Two groups with different rates."""
    if library is optim:
        tensors = [minigen.zeros(1, requires_grad=True) for _ in range(2)]
    else:
        tensors = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    return library.SGD([{"params": tensors[:1]}, {"params": tensors[1:], "lr": 0.3}], lr=2.0)


def rates(build: Callable, library: Any, steps: int = STEPS) -> np.ndarray:
    """What the groups' rates are in each step."""
    optimizer = optimizer_of(library)
    schedulers = build(library.lr_scheduler, optimizer)
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        assert schedulers[-1].get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    return np.array(found)


CASES: dict[str, Callable] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda t: 0.9**t + 0.1),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda t: 1 / (1 + t), lambda t: 0.5]),
    "step": lambda s, o: s.StepLR(o, 4, gamma=0.3),
    "multistep": lambda s, o: s.MultiStepLR(o, [9, 3, 3, 15], gamma=0.5),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.8),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=6),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.8, total_iters=7),
    "linear to zero": lambda s, o: s.LinearLR(o, 1.0, 0.0, total_iters=9),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=8, eta_min=0.05),
    "cosine of one": lambda s, o: s.CosineAnnealingLR(o, T_max=1),
    "chained": lambda s, o: [s.LinearLR(o, 0.2, total_iters=5), s.ExponentialLR(o, 0.9)],
    "chained cosine": lambda s, o: [s.StepLR(o, 5), s.CosineAnnealingLR(o, 30)],
    "sequence": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingLR(o, 12, 0.01)], [4]
    ),
    "sequence of three": lambda s, o: s.SequentialLR(
        o,
        [s.ConstantLR(o, 0.5, 3), s.StepLR(o, 3, 0.5), s.ExponentialLR(o, 0.7)],
        milestones=[5, 14],
    ),
    "sequence of lambdas": lambda s, o: s.SequentialLR(
        o, [s.LambdaLR(o, lambda t: t / 5), s.MultiStepLR(o, [2, 5])], [5]
    ),
    "nested sequence": lambda s, o: s.SequentialLR(
        o,
        [s.SequentialLR(o, [s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.9)], [3]),
         s.LinearLR(o, 0.5, total_iters=4)],
        [8],
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step")  # torch's, if nested
@pytest.mark.parametrize("case", CASES)
def test_rates(case: str) -> None:
    ours, theirs = rates(CASES[case], optim), rates(CASES[case], torch.optim)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
    assert len({tuple(row) for row in theirs.tolist()}) > 1, "the case tests something"


@pytest.mark.parametrize("case", [name for name in CASES if "chained" not in name])
def test_going_on_from_a_state_is_going_on(case: str) -> None:
    """Through JSON, as a checkpoint does it."""
    whole = rates(CASES[case], optim, 12)
    optimizer = optimizer_of(optim)
    scheduler = CASES[case](lr_scheduler, optimizer)
    for _ in range(6):
        optimizer.step()
        scheduler.step()
    state, options = json.loads(json.dumps([scheduler.state_dict(), optimizer.state_dict()]))
    resumed = optimizer_of(optim)
    again = CASES[case](lr_scheduler, resumed)
    resumed.load_state_dict(options)
    again.load_state_dict(state)
    found = []
    for _ in range(6):
        found.append([group["lr"] for group in resumed.param_groups])
        resumed.step()
        again.step()
    np.testing.assert_array_equal(np.array(found), whole[6:])


@pytest.mark.parametrize("case", ["exponential", "cosine", "linear", "lambda", "multistep"])
def test_starting_in_the_middle(case: str) -> None:
    """With last_epoch, as torch resumes when the optimizer's state is loaded first."""

    def build(s: Any, o: Any) -> Any:
        for group in o.param_groups:
            group["initial_lr"] = group["lr"] * 3
        kind = type(CASES[case](s, optimizer_of(optim if s is lr_scheduler else torch.optim)))
        options = {
            "exponential": (0.8,), "cosine": (8, 0.05), "linear": (0.1, 0.8, 7),
            "lambda": (lambda t: 0.9**t,), "multistep": ([9, 3, 3, 15], 0.5),
        }  # fmt: skip
        return kind(o, *options[case], last_epoch=4)

    np.testing.assert_allclose(rates(build, optim), rates(build, torch.optim), rtol=1e-12)
    with pytest.raises(KeyError, match=r"initial_lr.*param_groups\[0\]"):
        lr_scheduler.StepLR(optimizer_of(optim), 3, last_epoch=4)


def test_cosine_with_warmup_is_what_it_says() -> None:
    optimizer = optimizer_of(optim)
    scheduler = lr_scheduler.cosine_with_warmup(optimizer, 4, 20, min_ratio=0.1)
    assert isinstance(scheduler, lr_scheduler.LambdaLR)
    found = []
    for _ in range(25):
        found.append(scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
    ratios = np.array(found) / [2.0, 0.3]
    np.testing.assert_allclose(ratios[:, 0], ratios[:, 1])
    ratio = ratios[:, 0]
    np.testing.assert_allclose(ratio[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    expected = 0.1 + 0.9 * (1 + np.cos(math.pi * np.arange(17) / 16)) / 2
    np.testing.assert_allclose(ratio[4:21], expected)
    np.testing.assert_allclose(ratio[20:], 0.1)
    for bad in ((5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="warmup_steps"):
            lr_scheduler.cosine_with_warmup(optimizer, *bad)


def test_stepping_the_schedule_first_is_warned_of() -> None:
    scheduler = lr_scheduler.StepLR(optimizer_of(optim), 2)
    with pytest.warns(UserWarning, match=r"call optimizer\.step\(\) first"):
        scheduler.step()

    class Own(optim.Optimizer):
        def step(self, closure: Any = None) -> None:
            """Whoever writes a step of their own is not counted."""

    lr_scheduler.StepLR(Own([minigen.zeros(1)], {"lr": 1.0}), 2).step()


def test_bad_arguments() -> None:
    optimizer = optimizer_of(optim)
    with pytest.raises(TypeError, match="not an Optimizer"):
        lr_scheduler.StepLR(3, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected 2 lr_lambdas, but got 1"):
        lr_scheduler.LambdaLR(optimizer, [lambda t: 1.0])
    for factor in (0, 1.5, -1):
        with pytest.raises(ValueError, match="factor"):
            lr_scheduler.ConstantLR(optimizer, factor)
        with pytest.raises(ValueError, match="start_factor"):
            lr_scheduler.LinearLR(optimizer, factor)
    with pytest.raises(ValueError, match="end_factor"):
        lr_scheduler.LinearLR(optimizer, end_factor=1.5)
    one = lr_scheduler.StepLR(optimizer, 2)
    with pytest.raises(ValueError, match="one more scheduler than milestones"):
        lr_scheduler.SequentialLR(optimizer, [one], [3])
    with pytest.raises(ValueError, match="same optimizer"):
        lr_scheduler.SequentialLR(optimizer_of(optim), [one], [])
    with pytest.raises(NotImplementedError):
        lr_scheduler.LRScheduler(optimizer)
