"""The benchmarks of long and of fine-tuned trainings: what they record, and what they would see."""

from __future__ import annotations

import json
from pathlib import Path

import finetuning
import generation
import long_run
import pytest

from minigen import Tensor
from minigen.models.cache import KeyValueCache
from minigen.training import Settings
from minigen.training import recipes as catalogue


def looks(*megabytes: float) -> list[dict[str, float]]:
    return [
        {"step": 100.0 * n, "loss": 1.0, "megabytes": m} for n, m in enumerate(megabytes, start=1)
    ]


def test_growth_is_seen_and_the_first_tenth_is_not() -> None:
    grown = long_run.growth(looks(1, 50, *(100 + n for n in range(18))))
    assert grown["megabytes"] == 67
    still = long_run.growth(looks(1, *[100] * 19))
    assert still["megabytes"] == 0
    assert abs(still["megabytes_per_1000_steps"]) < 1e-9
    leak = long_run.growth(looks(*(100 + 0.5 * n for n in range(40))))
    assert leak["megabytes_per_1000_steps"] == pytest.approx(5)


def test_a_long_run_looks_at_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = iter(range(1000, 2000))
    monkeypatch.setattr(long_run, "resident_megabytes", lambda: float(next(memory)))
    found = long_run.run("gpt", steps=20, every=2, fast=True)
    assert [look["step"] for look in found["looks"]] == list(range(2, 21, 2))
    assert found["finite_losses"] == 20
    assert found["growth"]["megabytes"] == 9
    assert found["metrics"]["validation_loss"] < 5


def test_the_memory_of_this_process() -> None:
    before = long_run.resident_megabytes()
    held = bytearray(b"x" * 80_000_000)
    assert 60 < long_run.resident_megabytes() - before < 100
    assert len(held) == 80_000_000


def test_three_ways_are_recorded_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = catalogue.default_settings

    def small(recipe: str, fast: bool, *args: object, **options: object) -> Settings:
        return plain(recipe, True, *args, **{**options, "batch_size": 2})  # type: ignore[arg-type]

    monkeypatch.setattr(catalogue, "default_settings", small)
    made = finetuning.run(None, steps=10, seed=0, out=tmp_path, every=5, fast=True)
    written = json.loads((tmp_path / "finetuning.json").read_text())
    assert written["ways"] == made["ways"]
    assert (tmp_path / "finetuning.png").read_bytes()[1:4] == b"PNG"
    ways = made["ways"]
    assert list(ways) == ["full", "frozen", "lora"]
    assert len({way["old_loss"][0] for way in ways.values()}) == 1  # one beginning
    assert len({way["new_loss"][-1] for way in ways.values()}) == 3
    assert all(way["steps"] == [0, 5, 10] for way in ways.values())
    assert ways["lora"]["trained"] < ways["full"]["trained"]
    assert 1 < made["ngram_new"] < 3


def test_a_cache_that_changes_the_text_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"layers": 1, "heads": 1, "width": 8}
    found = generation.measure(size, length=16, rounds=1)
    assert 0.1 < found["whole"] < 10
    assert 0.1 < found["last"] < 10
    extend = KeyValueCache.extend

    def wrong(cache: KeyValueCache, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return extend(cache, keys, -values)

    monkeypatch.setattr(KeyValueCache, "extend", wrong)
    with pytest.raises(AssertionError, match="changes what is read"):
        generation.measure(size, length=16, rounds=1)
