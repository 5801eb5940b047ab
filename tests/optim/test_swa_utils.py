"""Averaged models beside torch's: every tensor after every update, statistics, rates, state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn, optim
from minigen.optim import swa_utils
from tests.oracle import close


def network(library: Any) -> Any:
    return library.Sequential(
        library.Linear(3, 4), library.BatchNorm1d(4), library.ReLU(), library.Linear(4, 2)
    )


def pair() -> tuple[Any, Any]:
    """Two equal models in float64."""
    ours, theirs = network(nn).double(), network(torch.nn).double()
    rng = np.random.default_rng(0)
    state = {
        name: np.asarray(rng.standard_normal(tuple(value.shape)))
        for name, value in theirs.state_dict().items()
        if "num_batches" not in name and "running" not in name
    }
    ours.load_state_dict(state, strict=False)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    return ours, theirs


def move(ours: Any, theirs: Any, rng: np.random.Generator) -> None:
    """The same step, and a batch through the batch norms, for both."""
    for p, q in zip(ours.parameters(), theirs.parameters()):
        change = np.asarray(rng.standard_normal(tuple(q.shape)))
        p.data, q.data = minigen.from_numpy(change.copy()), torch.from_numpy(change.copy())
    batch = rng.standard_normal((6, 3))
    ours(minigen.from_numpy(batch))
    theirs(torch.from_numpy(batch))


def equal_states(ours: Any, theirs: Any, tolerance: float = 1e-12) -> None:
    mine, other = ours.state_dict(), theirs.state_dict()
    assert sorted(mine) == sorted(other)
    for name, value in mine.items():
        close(value, other[name], tolerance, name)


CASES = {
    "plain": lambda s: {},
    "plain, buffers": lambda s: {"use_buffers": True},
    "ema": lambda s: {"avg_fn": s.get_ema_avg_fn(0.9)},
    "ema, buffers": lambda s: {"avg_fn": s.get_ema_avg_fn(0.7), "use_buffers": True},
    "ema of lists": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.9)},
    "ema of lists, buffers": lambda s: {
        "multi_avg_fn": s.get_ema_multi_avg_fn(0.6), "use_buffers": True
    },
    "plain of lists": lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
    "own": lambda s: {"avg_fn": lambda mean, now, n: mean * n - now},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_averages(case: str) -> None:
    ours, theirs = pair()
    a = swa_utils.AveragedModel(ours, **CASES[case](swa_utils))
    b = torch.optim.swa_utils.AveragedModel(theirs, **CASES[case](torch.optim.swa_utils))
    equal_states(a, b)
    rng = np.random.default_rng(1)
    # for lists torch makes 1 / (n + 1) in single precision
    tolerance = 1e-6 if case == "plain of lists" else 1e-12
    for _ in range(5):
        move(ours, theirs, rng)
        a.update_parameters(ours)
        b.update_parameters(theirs)
        equal_states(a, b, tolerance)
    assert a.n_averaged.item() == 5
    x = rng.standard_normal((5, 3))
    close(a(minigen.from_numpy(x)), b(torch.from_numpy(x)), max(tolerance, 1e-9), "output")
    assert all(p.requires_grad and p.grad_fn is None for p in a.module.parameters())
    moved = [p.numpy().copy() for p in map(minigen.Tensor.detach, a.module.parameters())]
    move(ours, theirs, rng)
    for p, before in zip(a.module.parameters(), moved):
        np.testing.assert_array_equal(p.detach().numpy(), before, err_msg="memory is its own")


def test_a_state_continues() -> None:
    ours, theirs = pair()
    rng = np.random.default_rng(2)
    a, b = swa_utils.AveragedModel(ours), torch.optim.swa_utils.AveragedModel(theirs)
    for number in range(4):
        move(ours, theirs, rng)
        a.update_parameters(ours)
        b.update_parameters(theirs)
        if number == 1:
            resumed = swa_utils.AveragedModel(network(nn).double())
            resumed.load_state_dict(a.state_dict())
            a = resumed
    equal_states(a, b)


@pytest.mark.parametrize("wrapped", [False, True])
def test_update_bn(wrapped: bool) -> None:
    ours, theirs = pair()
    ours[1].momentum = theirs[1].momentum = 0.3
    ours.eval()
    theirs.eval()
    batches = np.random.default_rng(3).standard_normal((4, 5, 3))
    first = [[minigen.from_numpy(b), 0] if wrapped else minigen.from_numpy(b) for b in batches]
    second = [(torch.from_numpy(b), 0) if wrapped else torch.from_numpy(b) for b in batches]
    swa_utils.update_bn(first, ours, device="cpu" if wrapped else None)
    torch.optim.swa_utils.update_bn(second, theirs)
    equal_states(ours, theirs)
    assert not ours.training
    assert ours[1].momentum == 0.3
    plain = nn.Linear(3, 2)
    swa_utils.update_bn(iter([None]), plain)  # nothing to do: no batch is asked for


@pytest.mark.parametrize(
    "options",
    [
        {"swa_lr": 0.05}, {"swa_lr": [0.05, 1.0], "anneal_epochs": 4},
        {"swa_lr": 0.5, "anneal_epochs": 3, "anneal_strategy": "linear"},
        {"swa_lr": 0.5, "anneal_epochs": 0}, {"swa_lr": 0.5, "anneal_epochs": 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["alone", "with another", "after another", "resumed"])
def test_rates(options: dict[str, Any], kind: str) -> None:
    def rates(library: Any, module: Any) -> list:
        tensors = [module.zeros(1) for _ in range(2)]
        groups = [{"params": tensors[:1]}, {"params": tensors[1:], "lr": 0.3}]
        optimizer = library.SGD(groups, lr=2.0)
        schedules = []
        if kind == "with another":
            schedules.append(library.lr_scheduler.StepLR(optimizer, 2, 0.5))
        if kind == "after another":
            first = library.lr_scheduler.ExponentialLR(optimizer, 0.8)
            last = library.swa_utils.SWALR(optimizer, **options)
            schedules.append(library.lr_scheduler.SequentialLR(optimizer, [first, last], [4]))
        else:
            schedules.append(library.swa_utils.SWALR(optimizer, **options))
        found = []
        for step in range(14):
            if kind == "resumed" and step == 2:
                state = schedules[0].state_dict()
                groups = [dict(group) for group in optimizer.param_groups]
                schedules = [library.swa_utils.SWALR(optimizer, 0.123)]
                schedules[0].load_state_dict(state)
                for group, before in zip(optimizer.param_groups, groups):
                    group.update(lr=before["lr"], swa_lr=before["swa_lr"])
            found.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            for schedule in schedules:
                schedule.step()
        return found

    np.testing.assert_allclose(rates(optim, minigen), rates(torch.optim, torch), rtol=1e-12)


def test_bad_arguments() -> None:
    model, optimizer = nn.Linear(2, 2), optim.SGD([minigen.zeros(1)])
    average = swa_utils.get_swa_avg_fn()
    with pytest.raises(AssertionError, match="not both"):
        swa_utils.AveragedModel(model, avg_fn=average, multi_avg_fn=lambda *_: None)
    for build in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn):
        for decay in (-0.1, 1.1):
            with pytest.raises(ValueError, match="invalid decay"):
                build(decay)
    with pytest.raises(ValueError, match="'exp'"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="exp")
    for epochs in (-1, 1.5):
        with pytest.raises(ValueError, match="anneal_epochs"):
            swa_utils.SWALR(optimizer, 0.1, epochs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="swa_lr must have the same length"):
        swa_utils.SWALR(optimizer, [0.1, 0.2])
    with pytest.raises(TypeError, match="not an Optimizer"):
        swa_utils.SWALR(model, 0.1)  # type: ignore[arg-type]
