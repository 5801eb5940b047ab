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
    return library.SGD(
        [{"params": tensors[:1]}, {"params": tensors[1:], "lr": 0.3}], lr=2.0, momentum=0.9
    )


def rates(build: Callable, library: Any, steps: int = STEPS) -> np.ndarray:
    """What the groups' rates, and after them their momenta, are in each step."""
    optimizer = optimizer_of(library)
    schedulers = build(library.lr_scheduler, optimizer)
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    found = []
    for _ in range(steps):
        momenta = [group["momentum"] for group in optimizer.param_groups]
        found.append([group["lr"] for group in optimizer.param_groups] + momenta)
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
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda t: 0.9 if t % 2 else 1.05),
    "multiplicatives": lambda s, o: s.MultiplicativeLR(o, [lambda t: 0.9, lambda t: 1 / t]),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=9, power=1.7),
    "polynomial of one": lambda s, o: s.PolynomialLR(o, 1),
    "warm restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, eta_min=0.02),
    "warm restarts, longer": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.1, 0.9, 3, 5),
    "cyclic, halved": lambda s, o: s.CyclicLR(o, [0.1, 0.2], [0.9, 1.0], 4, mode="triangular2"),
    "cyclic, decaying": lambda s, o: s.CyclicLR(o, 0.1, 0.9, 4, mode="exp_range", gamma=0.9),
    "cyclic, own": lambda s, o: s.CyclicLR(
        o, 0.1, 0.9, 4, scale_fn=lambda x: 1 / x if x else 1.0, scale_mode="iterations"
    ),
    "cyclic, own of the cycle": lambda s, o: s.CyclicLR(
        o, 0.1, 0.9, 3, scale_fn=lambda c: 1 / c, cycle_momentum=False
    ),
    "one cycle": lambda s, o: s.OneCycleLR(o, 0.5, total_steps=STEPS),
    "one cycle, linear": lambda s, o: s.OneCycleLR(
        o, [0.5, 0.7], epochs=5, steps_per_epoch=6, anneal_strategy="linear", pct_start=0.6,
        base_momentum=[0.1, 0.2], max_momentum=0.7, div_factor=3.0, final_div_factor=10.0,
    ),
    "one cycle of three": lambda s, o: s.OneCycleLR(o, 0.5, STEPS, three_phase=True),
    "one cycle, momentum kept": lambda s, o: s.OneCycleLR(o, 0.5, STEPS, cycle_momentum=False),
    "all at once": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9), s.PolynomialLR(o, 12)]
    ),
    "all at once, then another": lambda s, o: s.SequentialLR(
        o, [s.ChainedScheduler([s.ConstantLR(o, 0.1, 3), s.StepLR(o, 2, 0.9)]),
            s.CosineAnnealingWarmRestarts(o, 3)], [6]
    ),
    "sequence with restarts": lambda s, o: s.SequentialLR(
        o, [s.PolynomialLR(o, 7), s.CosineAnnealingWarmRestarts(o, 3, 2), s.PolynomialLR(o, 9)],
        [5, 12],
    ),
    "sequence that goes on": lambda s, o: s.SequentialLR(
        o, [s.ExponentialLR(o, 0.8), s.MultiplicativeLR(o, lambda t: 0.7)], [5]
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
        momenta = [group["momentum"] for group in resumed.param_groups]
        found.append([group["lr"] for group in resumed.param_groups] + momenta)
        resumed.step()
        again.step()
    np.testing.assert_array_equal(np.array(found), whole[6:])


@pytest.mark.parametrize(
    "case",
    [
        "exponential",
        "cosine",
        "linear",
        "lambda",
        "multistep",
        "polynomial",
        "multiplicative",
        "restarts",
        "cyclic",
        "one cycle",
    ],
)
def test_starting_in_the_middle(case: str) -> None:
    """With last_epoch, as torch resumes when the optimizer's state is loaded first."""

    def build(s: Any, o: Any) -> Any:
        for group in o.param_groups:
            group["initial_lr"] = group["lr"] * 3
            group["max_lr"], group["min_lr"] = 0.7, 0.1
            group["base_momentum"], group["max_momentum"] = 0.4, 0.6
        name = "warm restarts" if case == "restarts" else case
        kind = type(CASES[name](s, optimizer_of(optim if s is lr_scheduler else torch.optim)))
        options = {
            "exponential": (0.8,), "cosine": (8, 0.05), "linear": (0.1, 0.8, 7),
            "lambda": (lambda t: 0.9**t,), "multistep": ([9, 3, 3, 15], 0.5),
            "polynomial": (12, 2.0), "multiplicative": (lambda t: 0.9,), "restarts": (6,),
            "cyclic": (0.1, 0.9, 3, 5), "one cycle": (0.5, 40),
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


METRICS = [5.0, 4.0, 3.9995, 3.9999, 4.1, 4.0, 3.0, 3.2, float("nan"), 3.0, 3.1, 3.2, 2.99, 3, 3, 3]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1}, {"patience": 0, "factor": 0.3, "cooldown": 2},
        {"mode": "max", "patience": 1}, {"patience": 2, "threshold": 0.1},
        {"patience": 1, "threshold_mode": "abs", "threshold": 0.2},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "patience": 1},
        {"patience": 0, "min_lr": [0.5, 0.25]}, {"patience": 0, "min_lr": 0.1, "eps": 0.5},
    ],
)  # fmt: skip
def test_plateaus(options: dict) -> None:
    def run(library: Any, resume_at: int) -> list:
        optimizer, found = optimizer_of(library), []
        scheduler = library.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        for number, metric in enumerate(METRICS):
            if number == resume_at:
                state = json.loads(json.dumps(scheduler.state_dict()))
                scheduler = library.lr_scheduler.ReduceLROnPlateau(optimizer)
                scheduler.load_state_dict(state)
            optimizer.step()
            scheduler.step(minigen.tensor(metric) if library is optim else metric)
            found.append([*scheduler.get_last_lr(), scheduler.num_bad_epochs, scheduler.best])
        return found

    expected = run(torch.optim, -1)
    np.testing.assert_allclose(run(optim, -1), expected, rtol=1e-6)
    np.testing.assert_allclose(run(optim, 7), expected, rtol=1e-6)
    assert len({row[0] for row in expected}) > 1, "the case reduces a rate"


def test_plateaus_with_a_group_that_came_later() -> None:
    optimizer = optimizer_of(optim)
    shared = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.1)
    each = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.1, 0.2])
    optimizer.add_param_group({"params": [minigen.zeros(1)], "lr": 1.0})
    for metric in (1.0, 1.0):
        shared.step(metric)
    assert optimizer.param_groups[2]["lr"] == pytest.approx(0.1)
    each.step(1.0)
    with pytest.raises(RuntimeError, match="3 parameter groups by now, but min_lr has 2"):
        each.step(1.0)


@pytest.mark.parametrize("multiple", [1, 2])
def test_restarts_at_fractions_of_epochs(multiple: int) -> None:
    found = []
    for library in (optim, torch.optim):
        optimizer = optimizer_of(library)
        s = library.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, T_mult=multiple)
        rows = []
        for epoch in (0.0, 0.4, 2.5, 3.0, 7.7, None, None, 20.0, 1.5, None):
            optimizer.step()
            s.step() if epoch is None else s.step(epoch)
            rows.append([*s.get_last_lr(), s.last_epoch, s.T_cur, s.T_i])
        found.append(rows)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    with pytest.raises(ValueError, match="epoch >= 0"):
        lr_scheduler.CosineAnnealingWarmRestarts(optimizer_of(optim), 3).step(-1)


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_the_first_beta_is_a_momentum(name: str) -> None:
    found = []
    for library, module in ((optim, minigen), (torch.optim, torch)):
        optimizer = library.Adam([module.zeros(1)], betas=(0.5, 0.7))
        options = (0.1, 0.9, 3) if name == "CyclicLR" else (0.9, 20)
        scheduler = getattr(library.lr_scheduler, name)(optimizer, *options)
        for _ in range(9):
            optimizer.step()
            scheduler.step()
            found.append(optimizer.param_groups[0]["betas"])
    np.testing.assert_allclose(found[:9], found[9:], rtol=1e-12)
    assert {second for _, second in found} == {0.7}
    adagrad = optim.Adagrad([minigen.zeros(1)])
    with pytest.raises(ValueError, match="Adagrad has neither"):
        getattr(lr_scheduler, name)(adagrad, *options)
    getattr(lr_scheduler, name)(adagrad, *options, cycle_momentum=False)


def test_what_the_newer_schedules_reject() -> None:
    s, o = lr_scheduler, optimizer_of(optim)
    step = s.StepLR(o, 2)
    plateau = s.ReduceLROnPlateau(o)
    for build, text in (
        (lambda: s.CosineAnnealingWarmRestarts(o, 0), "T_0"),
        (lambda: s.CosineAnnealingWarmRestarts(o, 2.0), "T_0"),
        (lambda: s.CosineAnnealingWarmRestarts(o, 2, 0), "T_mult"),
        (lambda: s.CosineAnnealingWarmRestarts(o, 2, eta_min="0"), "eta_min"),
        (lambda: s.MultiplicativeLR(o, [lambda t: 1.0]), "expected 2 lr_lambdas"),
        (lambda: s.CyclicLR(o, 0.1, 1.0, mode="sawtooth"), "'sawtooth' is unknown"),
        (lambda: s.CyclicLR(o, 0.1, 1.0, scale_mode="epochs"), "scale_mode"),
        (lambda: s.CyclicLR(o, [0.1], 1.0), "base_lr must have the same length"),
        (lambda: s.OneCycleLR(o, 0.1), "total_steps, or both"),
        (lambda: s.OneCycleLR(o, 0.1, epochs=3), "total_steps, or both"),
        (lambda: s.OneCycleLR(o, 0.1, 0), "positive integer as total_steps"),
        (lambda: s.OneCycleLR(o, 0.1, epochs=2, steps_per_epoch=1.5), "as steps_per_epoch"),
        (lambda: s.OneCycleLR(o, 0.1, 9, pct_start=1), "float between 0 and 1"),
        (lambda: s.OneCycleLR(o, 0.1, 9, pct_start=1.5), "float between 0 and 1"),
        (lambda: s.OneCycleLR(o, 0.1, 9, anneal_strategy="exp"), "'cos' or 'linear'"),
        (lambda: s.OneCycleLR(o, [0.1], 9), "max_lr must have the same length"),
        (lambda: s.ReduceLROnPlateau(o, factor=1.0), "less than 1"),
        (lambda: s.ReduceLROnPlateau(o, "least"), "'least' is unknown"),
        (lambda: s.ReduceLROnPlateau(o, threshold_mode="half"), "'half' is unknown"),
        (lambda: s.ReduceLROnPlateau(o, min_lr=[0.1]), "min_lr must have the same length"),
        (lambda: s.ChainedScheduler([]), "at least one"),
        (lambda: s.ChainedScheduler([step, plateau]), "needs a metric"),
        (lambda: s.SequentialLR(o, [step, plateau], [3]), "needs a metric"),
        (lambda: s.ChainedScheduler([step], optimizer_of(optim)), "same optimizer"),
        (lambda: s.SequentialLR(o, [step, s.ChainedScheduler([step])], [3]), "come first"),
    ):
        with pytest.raises(ValueError, match=text):
            build()
    for build in (
        lambda: s.ChainedScheduler([3]),
        lambda: s.ReduceLROnPlateau(3),
        lambda: s.CyclicLR(3, 0.1, 1.0),
        lambda: s.OneCycleLR(3, 0.1, 9),
        lambda: s.MultiplicativeLR(o, [1.0, 2.0]),
    ):
        with pytest.raises(TypeError):
            build()
    once = s.OneCycleLR(o, 0.1, 1)
    o.step()
    once.step()
    with pytest.raises(ValueError, match="step 2 of 1"):
        once.step()


def test_noam_is_equation_3() -> None:
    """The rates of the base model (section 5.3), by hand: 512 wide, 4,000 steps of warm-up."""
    optimizer = optim.SGD([minigen.zeros(1)], lr=1.0)
    scheduler = lr_scheduler.noam(optimizer, 4000, width=512)
    found = {}
    for step in range(1, 16_001):
        found[step] = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
    for step in (1, 1000, 4000, 4001, 16_000):
        assert found[step] == pytest.approx(512**-0.5 * min(step**-0.5, step * 4000**-1.5))
    assert max(found, key=found.__getitem__) == 4000
    assert found[4000] == pytest.approx(7e-4, rel=0.002)


def test_noam_by_its_highest_rate() -> None:
    ours = rates(lambda s, o: s.noam(o, 5), optim)
    whole = rates(lambda s, o: s.noam(o, 5, width=2), optim)
    np.testing.assert_allclose(ours[:, 0], whole[:, 0] * 10**0.5, rtol=1e-12)
    assert ours[4, 0] == 2.0
    for bad in ((0, None), (-1, None), (5, 0)):
        with pytest.raises(ValueError, match="positive warmup_steps"):
            lr_scheduler.noam(optim.SGD([minigen.zeros(1)], lr=1.0), *bad)
