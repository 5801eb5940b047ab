"""All recipes by name, and their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from minigen.training.job import Settings
from minigen.training.recipe import Recipe
from minigen.training.recipes import (
    ar,
    arithmetic,
    bert,
    classifier,
    colour,
    conditional_gan,
    conditional_vae,
    diffusion,
    finetune,
    folder,
    gan,
    iwae,
    language,
    mixtures,
    restoration,
    sequences,
    style_gan,
    style_transfer,
    text_to_image,
    vae,
    vq_vae,
    wavenet,
)

RECIPES: dict[str, Recipe] = {
    **vae.RECIPES,
    **iwae.RECIPES,
    **conditional_vae.RECIPES,
    **vq_vae.RECIPES,
    **restoration.RECIPES,
    **gan.RECIPES,
    **conditional_gan.RECIPES,
    **style_gan.RECIPES,
    **colour.RECIPES,
    **folder.RECIPES,
    **mixtures.RECIPES,
    **diffusion.RECIPES,
    **text_to_image.RECIPES,
    **language.RECIPES,
    **finetune.RECIPES,
    **bert.RECIPES,
    **ar.RECIPES,
    **wavenet.RECIPES,
    **classifier.RECIPES,
    **style_transfer.RECIPES,
    **sequences.RECIPES,
    **arithmetic.RECIPES,
}


def default_settings(
    recipe: str, fast: bool = False, own: Mapping[str, Any] | None = None, **changes: Any
) -> Settings:
    """The recipe's own settings, with what is not None of `changes` in their place.

    `fast` makes a run of seconds out of it, to see that everything works; it learns little. `own`
    are settings that only this recipe has, by name: fields of its model or options.
    Raises ValueError for an unknown recipe or setting, or a setting out of range.

    >>> default_settings("vae", own={"latent": 2}).model["latent"]
    2
    """
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    given = {name: value for name, value in changes.items() if value is not None}
    settings = dataclasses.replace(RECIPES[recipe].settings(fast), **given)
    for name, value in (own or {}).items():
        settings = _with(settings, name, value)
    return RECIPES[recipe].follow(settings)


def _with(settings: Settings, name: str, value: Any) -> Settings:
    """With one of the recipe's own settings changed."""
    if name in settings.model:
        _require_like(name, value, settings.model[name])
        return dataclasses.replace(settings, model={**settings.model, name: value})
    if name in settings.options:
        _require_like(name, value, settings.options[name])
        return dataclasses.replace(settings, options={**settings.options, name: value})
    names = ", ".join(sorted({*settings.model, *settings.options} - {"tokenizer"}))
    raise ValueError(f"{settings.recipe} has no setting {name!r}; it has {names}")


def _require_like(name: str, value: Any, default: Any) -> None:
    """Raises ValueError if the value is of another kind than the default, which may be None."""
    kinds: tuple[type, ...] = (type(default),)
    if isinstance(default, float):
        kinds = (float, int)
    elif isinstance(default, list | tuple):
        kinds = (list, tuple)
    if default is None or value is None:
        return
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ValueError(f"{name} must be like {default!r}, got {value!r}")
