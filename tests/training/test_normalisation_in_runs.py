"""The scale of the data is in the run's config, and what is sampled comes back in their units."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from minigen import Generator
from minigen.data import Normalisation
from minigen.training import Run
from minigen.training.recipes import RECIPES, default_settings
from minigen.training.recipes.images import TO_TANH, digits


@pytest.mark.parametrize("recipe", ["gan", "dcgan", "wgan_gp"])
def test_the_config_of_a_run_holds_it(recipe: str, tmp_path: Path) -> None:
    Run.create(tmp_path / "run", default_settings(recipe, fast=True))
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert Normalisation.from_dict(saved["settings"]["options"]["normalisation"]) == TO_TANH
    assert Run.open(tmp_path / "run").settings.options["normalisation"] == TO_TANH.to_dict()


def test_samples_come_back_in_the_units_of_the_data() -> None:
    """The loader gives tanh's range; the images of the job that of the digits, to the last bit
    what the generator's own `sample` gives."""
    job = RECIPES["gan"](default_settings("gan", fast=True))
    (batch,) = next(iter(job.loader))
    assert (float(batch.min()), float(batch.max())) == (-1, 1)
    whole = job.loader.dataset.tensors[0].numpy()
    np.testing.assert_array_equal(whole, digits("train").numpy() * 2 - 1)
    assert job.images is not None
    made = job.images(7, Generator().manual_seed(3))
    same = job.modules["generator"].sample(7, Generator().manual_seed(3)).numpy()
    np.testing.assert_array_equal(made, same.reshape(7, 28, 28))
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1


def test_another_scale_goes_both_ways_and_an_older_run_has_the_usual_one() -> None:
    settings = default_settings("gan", fast=True)
    wide = Normalisation.from_range(0, 1, to=(-3, 3)).to_dict()
    changed = dataclasses.replace(settings, options={**settings.options, "normalisation": wide})
    older = dataclasses.replace(
        settings, options={k: v for k, v in settings.options.items() if k != "normalisation"}
    )
    ranges, middles = [], []
    for each in (changed, older):
        job = RECIPES["gan"](each)
        whole = job.loader.dataset.tensors[0].numpy()
        ranges.append((whole.min(), whole.max()))
        assert job.images is not None
        middles.append(np.ptp(job.images(5, Generator().manual_seed(0))))
    assert ranges == [(-3, 3), (-1, 1)]
    assert middles[0] < middles[1]
