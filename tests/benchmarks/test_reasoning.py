"""What is recorded of written-out steps: gaps by length, their spread, and the picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import reasoning

from minigen.training import recipes


def test_gaps_are_told_by_length_with_their_spread() -> None:
    runs: list[dict[str, Any]] = [
        {"written": {1: 100.0, 2: 90.0}, "none": {1: 100.0, 2: 30.0}},
        {"written": {1: 100.0, 2: 80.0}, "none": {1: 90.0, 2: 50.0}},
    ]
    found = reasoning.summary(runs)
    assert found["written"] == {1: 100.0, 2: 85.0}
    assert found["none"] == {1: 95.0, 2: 40.0}
    assert found["gap"][1] == {"mean": 5.0, "lowest": 0.0, "highest": 10.0}
    assert found["gap"][2] == {"mean": 45.0, "lowest": 30.0, "highest": 60.0}


def test_a_run_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"layers": 1, "heads": 2, "width": 8, "lengths": [1, 2], "longest": 3}
    few = {"examples": 100, "test_examples": 5}
    tiny = recipes.default_settings("arithmetic", True, own | few, steps=2, batch_size=8)
    monkeypatch.setattr(recipes, "default_settings", lambda recipe, fast: tiny)
    options = argparse.Namespace(task=["arithmetic"], seeds=[3, 4], fast=True, out=tmp_path)
    reasoning.run(options)
    written = json.loads((tmp_path / "reasoning.json").read_text(encoding="utf-8"))
    task = written["tasks"]["arithmetic"]
    assert [run["seed"] for run in task["runs"]] == [3, 4]
    assert list(task["gap"]) == ["1", "2", "3"]
    assert (tmp_path / "reasoning-arithmetic.png").read_bytes()[1:4] == b"PNG"
