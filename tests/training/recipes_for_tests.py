"""Small runs of the real recipes."""

from __future__ import annotations

import dataclasses

from minigen.training import Settings
from minigen.training.recipes import default_settings

SMALL: dict[str, dict] = {
    "vae": {"hidden": 24, "latent": 4},
    "gan": {"generator": [16, 24], "discriminator": [24, 16]},
    "conv_vae": {"widths": [2, 3], "hidden": 8, "latent": 3},
    "dcgan": {"width": 2},
    "wgan_gp": {"generator": [16, 24], "discriminator": [24, 16]},
    "lstm": {"context": 16, "embedding": 4, "hidden": 8},
    "gpt": {"context": 16, "layers": 1, "heads": 2, "width": 16, "dropout": 0.1},
    "classifier": {},
    **{
        name: {"layers": 1, "heads": 2, "width": 8, "hidden": 16, "dropout": 0.1}
        for name in ("reverse", "sort", "dates")
    },
    **{
        name: {"layers": 1, "heads": 2, "width": 16, "dropout": 0.1}
        for name in ("arithmetic", "addition")
    },
}


def small(recipe: str, **changes: object) -> Settings:
    settings = default_settings(recipe, fast=True, steps=20, seed=3)
    settings = dataclasses.replace(
        settings,
        log_every=4,
        save_every=7,
        batch_size=8,
        model={**settings.model, **SMALL[recipe]},
        options={**settings.options, "test_images": 100},
    )
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
