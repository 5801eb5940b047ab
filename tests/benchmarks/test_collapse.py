"""The measurement of which GANs find all modes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import collapse
import numpy as np
import pytest
import tables_collapse

from minigen import from_numpy
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes.mixtures import mixture


def options(out: Path, **changes: Any) -> argparse.Namespace:
    usual = {"seeds": [0], "only": None, "engine": ["minigen"], "steps": 2, "batch_size": 64}
    return argparse.Namespace(**{**usual, "fast": True, "out": out, **changes})


@pytest.mark.parametrize("name", collapse.CASES)
def test_every_case_is_a_gan_that_can_be_trained(name: str) -> None:
    settings = default_settings("ring", fast=True, own=collapse.CASES[name])
    job = RECIPES["ring"](settings)
    assert "average" in job.modules
    assert (settings.model["pack"] == 2) == (name == "packs of two")


def test_what_is_recorded_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def measure(model: str, engine: str, settings: Any) -> dict[str, Any]:
        trained.append((engine, settings.seed, settings.model["pack"]))
        value = {"modes": 8.0, "high_quality": 0.5 + settings.seed / 10, "mode_distance": 0.1}
        return {"last": value, "average": {**value, "modes": 7.0}}

    monkeypatch.setattr(collapse, "measure", measure)
    only = ["packs of two", "minimax"]
    both = ["minigen", "torch"]
    collapse.run("ring", options(tmp_path, only=only, engine=both))
    assert trained == [("minigen", 0, 2), ("minigen", 0, 1), ("torch", 0, 2)]
    collapse.run("ring", options(tmp_path, only=only, engine=both, seeds=[0, 2]))
    assert [seed for _, seed, _ in trained] == [0, 0, 0, 2, 2, 2]
    result = json.loads((tmp_path / "collapse_ring.json").read_text(encoding="utf-8"))
    case = result["cases"]["minimax"]
    assert [run["seed"] for run in case["runs"]["minigen"]] == [0, 2]
    assert case["mean"]["minigen"]["last"]["high_quality"] == pytest.approx(0.6)
    page = tables_collapse.section(tables_collapse.load(tmp_path))
    assert "| minimax | 8, 8 | 0.600 | 7, 7 | 0.600 |" in page
    assert "| packs of two, by torch | 8, 8 |" in page
    collapse.run("ring", options(tmp_path, only=only, engine=both, steps=3))  # other settings
    assert len(trained) == 9


def test_nothing_recorded_makes_no_section(tmp_path: Path) -> None:
    assert tables_collapse.section(tables_collapse.load(tmp_path)) == ""


def test_the_last_and_the_averaged_generator_are_both_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each by its own points: here one draws what is true, the other a single mode."""
    target = mixture("ring")

    def trained(model: str, engine: str, settings: Any) -> Any:
        job = RECIPES[model](settings)
        job.modules["generator"].draw = lambda n, noise: from_numpy(target.draw(n, noise))
        one = np.repeat(target.centres[:1], 10_000, axis=0).astype(np.float32)
        job.modules["average"].module.draw = lambda n, noise: from_numpy(one)
        return job

    monkeypatch.setattr(collapse.quality, "trained", trained)
    found = collapse.measure("ring", "minigen", default_settings("ring", fast=True))
    assert (found["last"]["modes"], found["average"]["modes"]) == (8, 1)
    assert found["last"]["high_quality"] < 1 == found["average"]["high_quality"]
