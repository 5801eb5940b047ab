"""The torch twins have the shapes of minigen's models, and the torch recipes their updates."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
import steps
import torch
import torch_recipes
import twins

import minigen
from minigen.training import Settings
from minigen.training.recipes import RECIPES, default_settings

PARTS = ("model", "options")  # of the settings of a recipe


def small(model: str) -> Settings:
    settings = default_settings("gpt" if model == "nanogpt" else model, fast=True)
    if model == "vae":
        return dataclasses.replace(settings, model={**settings.model, "hidden": 40}, batch_size=16)
    if model in ("gan", "wgan_gp", "conditional_gan"):
        sizes = {"generator": [12, 16], "discriminator": [16, 12]}
        return dataclasses.replace(settings, model={**settings.model, **sizes})
    if model == "vq_vae":  # five steps of each half, nothing drawn
        prior = {**settings.options["prior"], "dropout": 0.0}
        halves = {"autoencoder_steps": 5, "prior_steps": 5, "revive_every": 0, "prior": prior}
        return dataclasses.replace(settings, options={**settings.options, **halves}, batch_size=16)
    if model == "restoration":  # the damage that both engines draw alike
        return dataclasses.replace(settings, options={**settings.options, "task": "denoise"})
    return settings


def modules(settings: Settings) -> tuple[dict, dict]:
    recipes = (RECIPES, torch_recipes.RECIPES)
    return tuple(known[settings.recipe](settings).modules for known in recipes)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("model", steps.MODELS)
def test_names_shapes_and_dtypes_of_the_weights(model: str, full: bool) -> None:
    settings = steps.settings_of(model) if full else small(model)
    ours, theirs = modules(settings)
    assert list(ours) == list(theirs)
    for name, module in ours.items():
        a = {k: (tuple(v.shape), str(v.dtype)[8:]) for k, v in module.state_dict().items()}
        b = {k: (tuple(v.shape), str(v.dtype)[6:]) for k, v in theirs[name].state_dict().items()}
        assert a == b


@pytest.mark.parametrize("model", steps.MODELS)
def test_weights_go_there_and_back(model: str) -> None:
    settings = small(model)
    ours, theirs = steps.jobs(settings)
    for name, module in ours.modules.items():
        twins.same_weights(module, theirs.modules[name], tolerance=0)
    minigen.manual_seed(1)
    other = RECIPES[settings.recipe](settings)
    for name, module in other.modules.items():
        with pytest.raises(AssertionError):
            twins.same_weights(module, theirs.modules[name])
        twins.copy_weights_back(theirs.modules[name], module)
        twins.same_weights(module, theirs.modules[name], tolerance=0)


@pytest.mark.parametrize("model", steps.MODELS)
def test_initial_weights_are_drawn_from_the_same_distributions(model: str) -> None:
    settings = steps.settings_of(model)
    minigen.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = modules(settings)
    for name, module in ours.items():
        expected = dict(theirs[name].named_parameters())
        for key, parameter in module.named_parameters():
            if parameter.numel() >= 4000:
                a, b = parameter.detach().numpy(), expected[key].detach().numpy()
                assert a.std() == pytest.approx(b.std(), rel=0.08), key
                if b.std() == 0:
                    continue
                kurtosis = [(x**4).mean() / x.var() ** 2 for x in (a, b)]
                assert kurtosis[0] == pytest.approx(kurtosis[1], rel=0.25), key


@pytest.mark.parametrize("model", steps.MODELS)
def test_all_contenders_compute_the_same_losses(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(model)
    monkeypatch.setattr(steps, "settings_of", lambda name: settings)
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


@pytest.mark.parametrize("model", torch_recipes.RECIPES)
def test_ten_steps_in_double_precision_equal_torch(model: str) -> None:
    """Losses to 1e-8, and all weights and buffers after them: the updates of every recipe."""
    ten_steps_equal_torch(small(model))


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("ring", {"pack": 2, "average": 0.9}),
        ("grid", {"loss": "wasserstein", "penalty": 10.0, "critic_steps": 4, "r1": 0.0}),
        ("conditional_gan", {"mode_seeking": 1.0, "average": 0.5}),
        ("dcgan", {"r1": 0.0, "average": 0.0}),
    ],
)
def test_ten_steps_with_settings_of_its_own_equal_torch(model: str, own: dict) -> None:
    settings = small(model)
    both = {part: {k: own.get(k, v) for k, v in getattr(settings, part).items()} for part in PARTS}
    ten_steps_equal_torch(dataclasses.replace(settings, **both))


def ten_steps_equal_torch(settings: Settings) -> None:
    if "dropout" in settings.model:
        without = {**settings.model, "dropout": 0.0}
        settings = dataclasses.replace(settings, model=without, lr=1e-3)
    minigen.set_default_dtype(minigen.float64)
    try:
        ours, theirs = steps.jobs(settings)
        for name, module in ours.modules.items():
            twins.copy_weights(module.double(), theirs.modules[name])
        theirs.noise = lambda *shape: torch.from_numpy(minigen.randn(*shape).numpy())
        theirs.uniform = lambda *shape: torch.from_numpy(minigen.rand(*shape).numpy())
        batches = list(itertools.islice(itertools.cycle(ours.loader), 10))
        for step, batch in enumerate(batches):
            if isinstance(batch, tuple | list):  # images to double, the classes of some as they are
                batch = [p.double() if p.is_floating_point() else p for p in batch]
            minigen.manual_seed(step)
            a = ours.step(batch)
            minigen.manual_seed(step)
            b = theirs.step(twins.to_torch(batch))
            for name, loss in a.items():
                assert loss.item() == pytest.approx(b[name].item(), rel=1e-8), (step, name)
        for name, module in ours.modules.items():
            twins.same_weights(module, theirs.modules[name], tolerance=1e-7)
    finally:
        minigen.set_default_dtype(minigen.float32)


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
