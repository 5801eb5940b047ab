"""Every recipe trained on the stand-in for a GPU: the same run, and no step that waits."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigen
from minigen.training import Interrupted, Run, make_job, train
from minigen.training.loop import moved
from minigen.training.recipes import RECIPES
from tests.standin.install import Synchronised, installed, traffic
from tests.training.recipes_for_tests import small


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    with installed():
        yield


def run_of(path: Path, recipe: str, device: str, **changes: Any) -> Run:
    return Run.create(path, small(recipe, device=device, **changes))


def losses_of(run: Run, steps: int, watched: bool = False) -> list[dict[str, Any]]:
    """What the first steps return, and nothing of it read."""
    minigen.manual_seed(run.settings.seed)
    job = make_job(run, RECIPES[run.settings.recipe])
    where = minigen.device(run.settings.device)
    batches = itertools.chain.from_iterable(itertools.repeat(job.loader))
    found = [job.step(moved(next(batches), where))]  # the first one makes the optimizer's state
    for _ in range(steps - 1):
        batch = moved(next(batches), where)
        if watched:
            with traffic.without_synchronisation():
                found.append(job.step(batch))
        else:
            found.append(job.step(batch))
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_losses_and_no_step_waits(recipe: str, tmp_path: Path) -> None:
    """Weights, batches and noise are the same bits; what is computed differs by rounding."""
    here = losses_of(run_of(tmp_path / "cpu", recipe, "cpu"), 3)
    there = losses_of(run_of(tmp_path / "cuda", recipe, "cuda"), 3, watched=True)
    for ours, theirs in zip(there, here):
        assert list(ours) == list(theirs)
        for name, loss in ours.items():
            assert loss.is_cuda
            np.testing.assert_allclose(loss.item(), theirs[name].item(), rtol=2e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_stops_and_goes_on(recipe: str, tmp_path: Path) -> None:
    """On the GPU, with log, checkpoints, evaluation and samples; then its weights on the CPU."""
    changes = {"steps": 6, "save_every": 4, "log_every": 3}
    whole = run_of(tmp_path / "whole", recipe, "cuda", **changes)
    parts = run_of(tmp_path / "parts", recipe, "cuda", **changes)
    job = train(whole, RECIPES[recipe])
    assert all(p.is_cuda for module in job.modules.values() for p in module.parameters())
    with pytest.raises(Interrupted):
        train(parts, RECIPES[recipe], stop_after=2)
    train(Run.open(parts.path), RECIPES[recipe])
    ours, theirs = whole.load(), parts.load()
    for name, tensor in ours.tensors.items():
        np.testing.assert_array_equal(tensor.numpy(), theirs.tensors[name].numpy(), err_msg=name)
    assert [r["step"] for r in whole.records()] == [r["step"] for r in parts.records()]


def test_losses_are_read_every_few_steps(tmp_path: Path) -> None:
    """A step that waits would be noticed here, too: 12 steps, read in 3, 8, 9 and 12."""
    run = run_of(tmp_path / "run", "gan", "cuda", steps=12, save_every=100, log_every=9)
    run = Run.create(tmp_path / "b", dataclasses.replace(run.settings, read_every=4))
    seen: list[int] = []

    class Progress:
        def start(self, *_: Any) -> None: ...
        def line(self, *_: Any) -> None: ...
        def stop(self) -> None: ...
        def update(self, step: int, losses: Any) -> None:
            seen.append(step)
            assert all(isinstance(value, float) for value in losses.values())

    train(run, RECIPES["gan"], progress=Progress())
    assert seen == [4, 8, 9, 12]


def test_a_hidden_wait_is_noticed() -> None:
    x = minigen.ones(3, device="cuda")
    with traffic.without_synchronisation():
        y = (x * 2).sum()
        with pytest.raises(Synchronised, match="item"):
            float(y)
        with pytest.raises(Synchronised):
            x[x > 0]
