"""No configuration takes a size that nothing can be made of."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import pytest

import minigen.models

CONFIGS = {
    value
    for module in pkgutil.iter_modules(minigen.models.__path__, "minigen.models.")
    for value in vars(importlib.import_module(module.name)).values()
    if isinstance(value, type) and value.__name__.endswith("Config")
}


@pytest.mark.parametrize("config", sorted(CONFIGS, key=lambda c: c.__name__))
def test_a_size_of_0_is_refused(config: type) -> None:
    sizes = [f.name for f in dataclasses.fields(config) if str(f.type).startswith("int")]
    assert sizes
    for name in {*sizes} - {"padding"}:
        for size in (0, -1):
            with pytest.raises(ValueError, match=f"{name} must be"):
                config(**{name: size})
