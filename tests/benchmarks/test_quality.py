"""What is compared when the qualities are compared: the same settings, batches, and judge."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import quality
import torch_recipes

from minigen.training import recipes
from minigen.training.recipes import default_settings, gan, images, vae


def test_summary_compares_the_seeds_that_both_have() -> None:
    runs = {
        "minigen": [{"seed": s, "validation_loss": v} for s, v in ((0, 2.0), (1, 2.5), (2, 9.0))],
        "torch": [{"seed": s, "validation_loss": v} for s, v in ((1, 2.1), (0, 1.8))],
    }
    found = quality.summary("gpt", runs)
    assert found["mean"]["minigen"]["validation_loss"] == pytest.approx(4.5)
    assert found["mean"]["torch"]["validation_loss"] == pytest.approx(1.95)
    assert found["difference"]["validation_loss"] == pytest.approx(0.3)
    assert found["standard_error"]["validation_loss"] == pytest.approx(0.1)


def test_summary_without_a_partner_has_no_difference() -> None:
    one = {"torch": [{"seed": 0, "validation_loss": 2.0}], "minigen": []}
    assert set(quality.summary("gpt", one)) == {"mean"}
    assert set(quality.summary("gpt", {"torch": one["torch"]})) == {"mean"}


@pytest.mark.parametrize("model", ["vae", "gan", "gpt"])
def test_both_engines_train_on_the_same_batches(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[np.ndarray]] = {"minigen": [], "torch": []}

    def spied(engine: str, recipe: Any) -> Any:
        def build(settings: Any) -> Any:
            job = recipe(settings)

            def note(batch: Any) -> None:
                part = batch[0] if isinstance(batch, tuple | list) else batch
                seen[engine].append(part.numpy().copy())

            job.step = note
            return job

        return dataclasses.replace(recipe, build=build) if engine == "minigen" else build

    monkeypatch.setitem(recipes.RECIPES, model, spied("minigen", recipes.RECIPES[model]))
    theirs = spied("torch", torch_recipes.RECIPES[model])
    monkeypatch.setitem(torch_recipes.RECIPES, model, theirs)
    settings = default_settings(model, fast=True, steps=3, seed=5)
    for engine in seen:
        quality.trained(model, engine, settings)
    assert [len(batches) for batches in seen.values()] == [3, 3]
    np.testing.assert_array_equal(seen["minigen"], seen["torch"])


def test_the_weights_of_torch_come_back_to_be_judged() -> None:
    settings = default_settings("gpt", fast=True, steps=30, seed=1)
    trained = quality.trained("gpt", "torch", settings).evaluate(False)["validation_loss"]
    untrained = recipes.RECIPES["gpt"](settings).evaluate(False)["validation_loss"]
    assert trained < untrained - 0.3


def test_a_whole_comparison(tmp_path: Path) -> None:
    options = argparse.Namespace(
        seeds=[4],
        engine=["minigen", "torch"],
        steps=4,
        fast=True,
        set=["bias=False"],
        add=False,
        out=tmp_path,
    )
    quality.run("gpt", options)
    written = json.loads((tmp_path / "quality_gpt-bias-False.json").read_text(encoding="utf-8"))
    assert written["settings"]["steps"] == 4
    assert written["settings"]["model"]["bias"] is False
    assert [run["seed"] for run in written["runs"]["torch"]] == [4]
    assert written["yardsticks"]["ngram_loss"] < written["mean"]["torch"]["validation_loss"]
    options.seeds, options.add = [5], True
    quality.run("gpt", options)
    added = json.loads((tmp_path / "quality_gpt-bias-False.json").read_text(encoding="utf-8"))
    assert [run["seed"] for run in added["runs"]["torch"]] == [4, 5]
    assert added["runs"]["torch"][0] == written["runs"]["torch"][0]
    options.engine = ["torch"]  # the other engine's training of this seed stays
    quality.run("gpt", options)
    again = json.loads((tmp_path / "quality_gpt-bias-False.json").read_text(encoding="utf-8"))
    assert again["runs"]["minigen"] == added["runs"]["minigen"]
    assert sorted(run["seed"] for run in again["runs"]["torch"]) == [4, 5]
    options.steps = 3
    with pytest.raises(ValueError, match="other settings"):
        quality.run("gpt", options)


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """200 of each split, 100 samples."""
    all_digits = images.digits
    for module in (images, vae, gan):
        monkeypatch.setattr(module, "digits", lambda split: all_digits(split)[:200])
    monkeypatch.setattr(quality, "SAMPLES", 100)
    images.real_features.cache_clear()
    yield
    images.real_features.cache_clear()


@pytest.mark.usefixtures("few_digits")
@pytest.mark.parametrize("model", ["vae", "gan", "gpt"])
def test_each_metric_is_measured(model: str) -> None:
    settings = default_settings(model, fast=True, steps=1)
    metrics = quality.judge(model, quality.trained(model, "minigen", settings))
    assert {*quality.measured(model), *quality.yardsticks(model)} <= set(metrics)
    if model == "gan":
        assert metrics["frechet_floor"] < metrics["frechet"]
        assert 1 <= metrics["inception"] < metrics["inception_floor"] <= 10
