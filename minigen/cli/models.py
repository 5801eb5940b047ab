"""`minigen models`: what can be trained, and with which settings of its own."""

from __future__ import annotations

from minigen.training import RunError
from minigen.training.recipes import RECIPES, default_settings


def list_models() -> None:
    """All recipes, a line each."""
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        print(f"{name:{width}}  {recipe.title}")


def describe_model(name: str) -> None:
    """One recipe: what it is, and its settings, as `minigen train NAME --set` takes them."""
    try:
        settings = default_settings(name)
    except ValueError as error:
        raise RunError(str(error)) from error
    print(f"{RECIPES[name].title}\n{RECIPES[name].lead}\n")
    print(f"{settings.steps:,} steps of {settings.batch_size}, learning rate {settings.lr:g}")
    for part, known in (("model", settings.model), ("options", settings.options)):
        print(f"\n{part}:")
        for key, value in known.items():
            if key != "tokenizer":
                print(f"  {key} = {value!r}")
