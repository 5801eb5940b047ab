"""The gate compares ratios of what is minigen's, and only those that both results have."""

from __future__ import annotations

from typing import Any

import gate
import pytest


def timed(**contenders: float) -> dict[str, Any]:
    return {name: {"seconds": 1.0, "ratio": ratio} for name, ratio in contenders.items()}


def test_ratios_of_every_kind_of_result() -> None:
    steps = {"threads": {"1": {"vae": timed(torch=1, minigen=0.7)}, "2": {"vae": timed(minigen=9)}}}
    assert gate.ratios(steps) == {"vae / minigen": 0.7}
    ladders = {"threads": {"1": {"matmul": {"8x8x8": timed(numpy=1, tile=1.2, torch=0.9)}}}}
    assert gate.ratios(ladders) == {"matmul / 8x8x8 / tile": 1.2}
    overhead = {"machine": {"cores": 2}, "chain": timed(torch=1, minigen=0.5, hips=2, numpy=0.1)}
    assert gate.ratios(overhead) == {"chain / minigen": 0.5}


def test_slower_by_more_than_the_tolerance_is_worse() -> None:
    recorded = {"a": 1.0, "b": 2.0, "c": 1.0, "gone": 1.0}
    fresh = {"a": 1.2, "b": 2.6, "c": 0.5, "new": 50.0}
    assert gate.worse(recorded, fresh, 1.25) == {"b": (2.0, 2.6)}


@pytest.mark.parametrize(
    ("second", "found"),
    [({"a": 1.0, "b": 9.0}, {}), ({"a": 3.0, "b": 1.0}, {"a": (1.0, 3.0)})],
)
def test_worse_counts_only_twice(second, found, monkeypatch, tmp_path) -> None:
    (tmp_path / "steps.json").write_text('{"a": {"ratio": 1.0}, "b": {"ratio": 1.0}}')
    monkeypatch.setattr(gate.harness, "RESULTS", tmp_path)
    runs = iter([{"a": 2.0, "b": 1.0}, second])
    monkeypatch.setattr(gate, "measured", lambda name: next(runs))
    assert gate.compare("steps", 1.25) == found


def test_the_recorded_results_have_ratios() -> None:
    import json

    for name in gate.SCRIPTS:
        path = gate.harness.RESULTS / f"{name}.json"
        assert gate.ratios(json.loads(path.read_text(encoding="utf-8"))), name
