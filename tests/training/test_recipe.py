"""What a recipe says of a run: PyTorch's figures belong to its own settings and to no others."""

from __future__ import annotations

import dataclasses
import json

import pytest

from minigen.cli.report import metric_rows
from minigen.training import Settings
from minigen.training.recipe import Figure
from minigen.training.recipes import RECIPES, default_settings

METRICS = {
    "test_loss": 112.0, "nll": 106.0, "frechet": 250.0, "frechet_floor": 2.4, "frechet_n": 1000
}  # fmt: skip


@pytest.mark.parametrize("name", ["vae", "conv_vae", "gpt"])
def test_the_own_settings_are_usual_and_so_are_saved_ones(name: str) -> None:
    own = default_settings(name, seed=7, device="cpu")
    assert RECIPES[name].usual(own)
    saved = Settings.from_dict(json.loads(json.dumps(own.to_dict())))  # tuples became lists
    assert RECIPES[name].usual(saved)
    older = dataclasses.replace(own, options={"test_images": 1000} if name != "gpt" else {})
    assert RECIPES[name].usual(older)
    assert not RECIPES[name].usual(default_settings(name, fast=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 1999},
        {"batch_size": 64},
        {"lr": 2e-3},
        {"precision": "bf16"},
        {"latent": 2},
        {"beta": 4.0},
    ],
)
def test_pytorch_is_compared_with_the_same_alone(changes: dict) -> None:
    known = {"steps", "batch_size", "lr", "precision"}
    if set(changes) <= known:
        changed = default_settings("vae", **changes)
    else:
        changed = default_settings("vae", own=changes)
    usual = {row.metric: row for row in metric_rows(default_settings("vae"), METRICS)}
    other = {row.metric: row for row in metric_rows(changed, METRICS)}
    loss, distance = "negative ELBO on test digits", "Fréchet distance of samples"
    assert "PyTorch" in usual[loss].reference
    assert usual[loss].good
    assert other[loss].reference == ""
    assert other[loss].good is None
    assert "PyTorch" in usual[distance].reference
    assert other[distance].reference == "2.4 (held-out real digits)"


def test_a_figure_that_the_settings_leave_out_is_not_told() -> None:
    without = {name: value for name, value in METRICS.items() if name != "nll"}
    told = [row.metric for row in metric_rows(default_settings("vae"), without)]
    everything = [row.metric for row in metric_rows(default_settings("vae"), METRICS)]
    assert set(everything) - set(told) == {"negative log-likelihood of test digits"}


def test_a_goal_that_is_not_pytorchs_stays() -> None:
    figure = Figure("x", "x", "", beside="y", torch=1.0, goal="beside")
    assert figure.without_torch() == Figure("x", "x", "", beside="y", goal="beside")
