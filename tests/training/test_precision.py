"""`--precision bf16`: products of rounded operands, everything else in float32, the same loss."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import minigen
from minigen.training import Interrupted, Run, Settings, train
from minigen.training.recipes import RECIPES
from tests.training.recipes_for_tests import small


def trained(path: Path, settings: Settings) -> tuple[float, np.ndarray]:
    """Mean loss of the last 10 steps, and all weights in a row."""
    run = Run.create(path, settings)
    job = train(run, RECIPES[settings.recipe])
    losses = [r["loss"] for r in run.records() if "loss" in r]
    weights = [p for module in job.modules.values() for p in module.parameters()]
    assert all(p.dtype is minigen.float32 for p in weights)
    state = job.optimizers[next(iter(job.optimizers))].state_dict()["state"]
    assert all(s["exp_avg"].dtype is minigen.float32 for s in state.values())
    return losses[-1], np.concatenate([p.detach().numpy().ravel() for p in weights])


@pytest.mark.parametrize(("recipe", "steps"), [("vae", 100), ("gpt", 60)])
def test_bf16_converges_to_the_loss_of_fp32(recipe: str, steps: int, tmp_path: Path) -> None:
    """Nearer than two seeds are to each other, and not by being the same."""
    plan = dataclasses.replace(small(recipe), steps=steps, log_every=10, save_every=steps)
    seeds = [trained(tmp_path / f"fp32-{s}", dataclasses.replace(plan, seed=s)) for s in (1, 2, 3)]
    losses = [loss for loss, _ in seeds]
    rounded, weights = trained(
        tmp_path / "bf16", dataclasses.replace(plan, seed=1, precision="bf16")
    )
    first = Run.open(tmp_path / "bf16").records()[0]["loss"]
    assert rounded < 0.9 * first  # it has learned something
    noise = max(losses) - min(losses)
    assert abs(rounded - losses[0]) < max(noise, 0.02 * losses[0])
    assert not np.array_equal(weights, seeds[0][1])
    assert minigen.get_float32_matmul_precision() == "highest"  # as it was before


def test_a_run_keeps_its_precision(tmp_path: Path) -> None:
    """Stopped and resumed it ends bit for bit as one that never stopped."""
    plan = small("vae", precision="bf16")
    whole = train(Run.create(tmp_path / "whole", plan), RECIPES["vae"])
    parts = Run.create(tmp_path / "parts", plan)
    with pytest.raises(Interrupted):
        train(parts, RECIPES["vae"], stop_after=9)
    config = json.loads((tmp_path / "parts" / "config.json").read_text())
    assert config["settings"]["precision"] == "bf16"
    again = train(Run.open(tmp_path / "parts"), RECIPES["vae"])
    for one, other in zip(whole.modules["vae"].parameters(), again.modules["vae"].parameters()):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())


def test_settings_of_older_runs_are_fp32() -> None:
    saved = small("vae").to_dict()
    del saved["precision"]
    assert Settings.from_dict(saved).precision == "fp32"
    with pytest.raises(ValueError, match="precision must be fp32 or bf16, got 'fp8'"):
        small("vae", precision="fp8")
