"""The torch twins have the shapes of minigen's models, and the torch recipes their updates."""

from __future__ import annotations

import dataclasses
import json

import pytest
import steps
import torch
import torch_recipes
import twins

import minigen
from minigen.training import Settings
from minigen.training.recipes import RECIPES, default_settings


def small(model: str) -> Settings:
    settings = default_settings(model, fast=True)
    if model == "vae":
        return dataclasses.replace(settings, model={**settings.model, "hidden": 40}, batch_size=16)
    if model == "gan":
        sizes = {"generator": [12, 16], "discriminator": [16, 12]}
        return dataclasses.replace(settings, model={**settings.model, **sizes})
    return settings


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("model", steps.MODELS)
def test_names_shapes_and_dtypes_of_the_weights(model: str, full: bool) -> None:
    settings = default_settings(model) if full else small(model)
    ours, theirs = RECIPES[model](settings).modules, torch_recipes.RECIPES[model](settings).modules
    assert list(ours) == list(theirs)
    for name, module in ours.items():
        a = {k: (tuple(v.shape), str(v.dtype)[8:]) for k, v in module.state_dict().items()}
        b = {k: (tuple(v.shape), str(v.dtype)[6:]) for k, v in theirs[name].state_dict().items()}
        assert a == b


@pytest.mark.parametrize("model", steps.MODELS)
def test_weights_go_there_and_back(model: str) -> None:
    settings = small(model)
    ours, theirs = steps.jobs(model, settings)
    for name, module in ours.modules.items():
        twins.same_weights(module, theirs.modules[name], tolerance=0)
    minigen.manual_seed(1)
    other = RECIPES[model](settings)
    for name, module in other.modules.items():
        with pytest.raises(AssertionError):
            twins.same_weights(module, theirs.modules[name])
        twins.copy_weights_back(theirs.modules[name], module)
        twins.same_weights(module, theirs.modules[name], tolerance=0)


@pytest.mark.parametrize("model", steps.MODELS)
def test_initial_weights_are_drawn_from_the_same_distributions(model: str) -> None:
    settings = default_settings(model)
    minigen.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = RECIPES[model](settings).modules, torch_recipes.RECIPES[model](settings).modules
    for name, module in ours.items():
        expected = dict(theirs[name].named_parameters())
        for key, parameter in module.named_parameters():
            if parameter.numel() >= 4000:
                a, b = parameter.detach().numpy(), expected[key].detach().numpy()
                assert a.std() == pytest.approx(b.std(), rel=0.08), key
                kurtosis = [(x**4).mean() / x.var() ** 2 for x in (a, b)]
                assert kurtosis[0] == pytest.approx(kurtosis[1], rel=0.25), key


@pytest.mark.parametrize("model", steps.MODELS)
def test_all_contenders_compute_the_same_losses(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(model)
    monkeypatch.setattr("minigen.training.recipes.default_settings", lambda name: settings)
    steps.check(model)
    plain = steps.jobs

    def wrong(*args: object, **options: bool) -> tuple:
        ours, theirs = plain(*args, **options)
        for module in theirs.modules.values():
            for weight in module.parameters():
                weight.data *= 1.1
        return ours, theirs

    monkeypatch.setattr(steps, "jobs", wrong)
    with pytest.raises(AssertionError):
        steps.check(model)


def test_contenders_go_through_the_batches_in_turn() -> None:
    seen: list[int] = []
    step = steps.stepper(seen.append, [1, 2, 3])
    for _ in range(7):
        step()
    assert seen == [1, 2, 3, 1, 2, 3, 1]


def test_new_figures_replace_those_of_the_same_model_and_threads(tmp_path) -> None:
    path = tmp_path / "steps.json"
    assert steps.merged(path, {"2": {"vae": 1}}) == {"threads": {"2": {"vae": 1}}}
    path.write_text(json.dumps({"threads": {"2": {"vae": 1, "gan": 2}}}))
    found = steps.merged(path, {"1": {"gpt": 3}, "2": {"vae": 4}})
    assert found == {"threads": {"1": {"gpt": 3}, "2": {"vae": 4, "gan": 2}}}
