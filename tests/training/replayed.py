"""A recipe trained for some steps, on a GPU or what stands in for one, as it is or by replays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigen
from minigen.nested import split
from minigen.training import Run, make_job
from minigen.training.loop import moved
from minigen.training.recipes import RECIPES
from minigen.training.replay import WARM_UP, Replayed
from tests.training.recipes_for_tests import small


class Trained:
    """A job after some steps: what they returned, and all that a checkpoint would hold."""

    def __init__(self, path: Any, recipe: str, steps: int, wrap: Callable = lambda step: step):
        run = Run.create(path, small(recipe, device="cuda"))
        minigen.manual_seed(run.settings.seed)
        self.job = make_job(run, RECIPES[recipe])
        self.step = wrap(self.job.step)
        batches = itertools.chain.from_iterable(itertools.repeat(self.job.loader))
        there = minigen.device("cuda")
        self.losses = [
            {name: float(value) for name, value in self.step(moved(next(batches), there)).items()}
            for _ in range(steps)
        ]

    def state(self) -> dict[str, Any]:
        tensors: dict[str, Any] = {}
        parts = {n: split(p.state_dict(), n, tensors) for n, p in self.job.parts().items()}
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return {"parts": parts, "random": minigen.default_generator.state, **arrays}


def check_replays(recipe: str, folder: Path, refused: str = "", steps: int = WARM_UP + 3) -> None:
    """Replaying a recipe's steps gives the same losses, weights, optimizers' state, counts,
    schedules, statistics and random state as running them, bit for bit. So does what no graph can
    hold, which is `refused` for that reason."""
    plain = Trained(folder / "plain", recipe, steps)
    want = plain.state()
    replayed = Trained(folder / "replayed", recipe, steps, Replayed)
    got = replayed.state()
    assert refused in replayed.step.refused
    assert bool(replayed.step.refused) == bool(refused) != bool(replayed.step._captured)
    assert replayed.losses == plain.losses
    assert list(got) == list(want)
    for name, value in want.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(got[name], value, err_msg=name)
        else:
            assert got[name] == value, name
