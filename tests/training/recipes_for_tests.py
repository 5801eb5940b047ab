"""Small runs of the real recipes."""

from __future__ import annotations

import dataclasses

from minigen.training import Settings
from minigen.training.recipes import default_settings

SMALL: dict[str, dict] = {
    "vae": {"hidden": 24, "latent": 4},
    "gan": {"generator": [16, 24], "discriminator": [24, 16]},
    "iwae": {"hidden": 24, "latent": 2},
    "conditional_vae": {"hidden": 24, "latent": 4},
    "vq_vae": {"widths": [2, 3], "codes": 9, "dimension": 4},
    "restoration": {"widths": [2, 3], "hidden": 8, "latent": 3},
    "conv_vae": {"widths": [2, 3], "hidden": 8, "latent": 3},
    "dcgan": {"width": 2},
    "wgan_gp": {"generator": [16, 24], "discriminator": [24, 16]},
    "conditional_gan": {"generator": [16, 24], "discriminator": [24, 16]},
    "ring": {"width": 8},
    "grid": {"width": 8},
    "ddpm": {"widths": [4, 8], "groups": 2, "time": 8},
    "flow": {"widths": [4, 8], "groups": 2, "time": 8},
    "text_to_image": {"widths": [2, 4], "codes": 8, "layers": 1, "heads": 2, "channels": 8},
    "lstm": {"context": 16, "embedding": 4, "hidden": 8},
    "bert": {"context": 16, "layers": 1, "heads": 2, "width": 16, "hidden": 16, "dropout": 0.1},
    "finetune": {"context": 16, "layers": 1, "heads": 2, "width": 16, "dropout": 0.1},
    "gru": {"context": 16, "embedding": 4, "hidden": 8},
    "ar": {"order": 3},
    "wavenet": {"layers": 2, "levels": 16, "channels": 4, "skips": 4},
    "bpe_gpt": {"context": 16, "layers": 1, "heads": 2, "width": 16, "dropout": 0.1},
    "gpt": {"context": 16, "layers": 1, "heads": 2, "width": 16, "dropout": 0.1},
    "style_gan": {"latent": 8, "width": 2, "mapping": 1},
    "colour_dcgan": {"width": 2},
    "folder_gan": {"width": 2},
    "folder_vae": {"widths": [2, 3], "hidden": 8, "latent": 3},
    "classifier": {},
    "style_transfer": {},
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
        batch_size=10 if recipe == "wgan_gp" else 8,  # which is divided by 5
        model={**settings.model, **SMALL[recipe]},
        options={**settings.options, "test_images": 100},
    )
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
