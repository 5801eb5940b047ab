"""All recipes by name, and their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from minigen.training.job import Job, Settings
from minigen.training.recipes import gan, language, vae

RECIPES: dict[str, Callable[[Settings], Job]] = {
    "vae": vae.vae,
    "conv_vae": vae.conv_vae,
    "gan": gan.gan,
    "dcgan": gan.dcgan,
    "wgan_gp": gan.wgan_gp,
    "gpt": language.gpt,
    "lstm": language.lstm,
}
_SETTINGS: dict[str, Callable[[bool], Settings]] = {
    "vae": vae.vae_settings,
    "conv_vae": vae.conv_vae_settings,
    "gan": gan.gan_settings,
    "dcgan": gan.dcgan_settings,
    "wgan_gp": gan.wgan_gp_settings,
    "gpt": language.gpt_settings,
    "lstm": language.lstm_settings,
}


def default_settings(recipe: str, fast: bool = False, **changes: Any) -> Settings:
    """The recipe's own settings, with what is not None of `changes` in their place.

    `fast` makes a run of seconds out of it, to see that everything works; it learns little.
    Raises ValueError for an unknown recipe or a setting out of range.
    """
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    given = {name: value for name, value in changes.items() if value is not None}
    settings = dataclasses.replace(_SETTINGS[recipe](fast), **given)
    return language.scheduled(settings) if recipe in ("gpt", "lstm") else settings
