"""The recipe of the classifier: what it is trained on, and what is said of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import minigen
from minigen.data import load_mnist5k
from minigen.metrics import digit_classifier
from minigen.models.adversarial import fgsm, pgd
from minigen.nn import functional as F
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes.classifier import accuracy, labelled, neighbour_error, under_attack


def job_of(**own: object):
    settings = default_settings("classifier", fast=True, own={"test_images": 100, **own})
    minigen.manual_seed(4)
    return RECIPES["classifier"](settings)


@pytest.mark.parametrize("against", ["nothing", "fgsm", "pgd"])
def test_it_trains_on_the_digits_it_should(against: str) -> None:
    """The loss of a step is that of the attacked digits, before the update."""
    job = job_of(against=against, eps=0.2, attack_steps=2)
    model = job.modules["classifier"]
    x, y = next(iter(job.loader))
    assert (float(x.min()), float(x.max())) == (0, 1)
    minigen.manual_seed(8)
    attacked = {
        "nothing": lambda: x,
        "fgsm": lambda: fgsm(model, x, y, 0.2),
        "pgd": lambda: pgd(model, x, y, 0.2, steps=2),
    }[against]()
    with minigen.no_grad():
        expected = F.cross_entropy(model(attacked), y).item()
        clean = F.cross_entropy(model(x), y).item()
    minigen.manual_seed(8)
    before = model.head.weight.detach().numpy().copy()
    loss = job.step([x, y])["loss"].item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert (against == "nothing") == (loss == pytest.approx(clean, rel=1e-5))
    assert (model.head.weight.detach().numpy() != before).any()


def test_digits_are_shifted_and_stay_in_range() -> None:
    job = job_of()
    first, again = (next(iter(job.loader))[0].numpy() for _ in range(2))
    assert first.shape == (50, 1, 28, 28)
    whole = labelled("train")[0].numpy()
    same = [(np.abs(whole - image).max((1, 2, 3)) < 1e-6).any() for image in first[:10]]
    assert not any(same)
    assert again.min() >= 0
    assert again.max() <= 1


def test_attacks_are_worse_than_noise_and_training_against_them_helps() -> None:
    """The shipped classifier, and the same after 20 steps against attacks."""
    job = job_of(against="pgd", attack_steps=2)
    model = job.modules["classifier"]
    model.load_state_dict(digit_classifier().state_dict())
    x, y = (part[:100] for part in labelled("test"))
    before = under_attack(model, x, y, job.settings)
    assert before["noise_error"] <= 5
    assert before["noise_error"] + 10 < before["fgsm_error"] <= before["pgd_error"]
    for batch, _ in zip(job.loader, range(20)):
        job.step(batch)
    after = under_attack(model, x, y, job.settings)
    assert after["pgd_error"] < before["pgd_error"] - 10


def test_the_yardstick_is_the_nearest_neighbour() -> None:
    images, labels = load_mnist5k("train")
    test, truth = load_mnist5k("test")
    train, wrong = images.reshape(-1, 784).astype(int), 0
    for image, label in zip(test[:60].reshape(-1, 784).astype(int), truth):
        wrong += labels[((train - image) ** 2).sum(1).argmin()] != label
    assert neighbour_error(60)["neighbour_error"] == pytest.approx(100 * wrong / 60)


def test_accuracy_counts_all_parts() -> None:
    model = lambda x: F.one_hot(x[:, 0, 0, 0].long(), 3).float()  # noqa: E731
    x = minigen.tensor([0.0, 1, 2] * 100).reshape(300, 1, 1, 1)
    y = minigen.tensor([0, 1, 1] * 100)
    assert accuracy(model, x, y) == pytest.approx(200 / 3)


def test_a_sample_is_a_picture_of_digits_and_their_attacks() -> None:
    job = job_of(eps=0.05)
    pairs = job.draw(3, minigen.Generator().manual_seed(1))
    assert pairs.shape == (3, 2, 28, 28)
    change = np.abs(pairs[:, 1] - pairs[:, 0]).max((1, 2))
    assert (change > 0).all()
    assert (change <= 0.05 + 1e-6).all()
    np.testing.assert_array_equal(pairs, job.draw(3, minigen.Generator().manual_seed(1)))
    assert job.plot(pairs)[1:4] == b"PNG"


def test_an_unknown_attack_is_refused() -> None:
    settings = default_settings("classifier", fast=True)
    wrong = dataclasses.replace(settings, options={**settings.options, "against": "noise"})
    with pytest.raises(ValueError, match="against must be one of nothing, fgsm, pgd"):
        RECIPES["classifier"](wrong)
