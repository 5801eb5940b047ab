"""What all configurations of models have in common: their whole numbers are sizes."""

from __future__ import annotations

import dataclasses
from typing import Any


def require_sizes(config: Any, but: tuple[str, ...] = ()) -> None:
    """Raises ValueError if a whole number among the fields of a dataclass, those in `but` excepted,
    is less than 1.

    >>> from minigen.models.vae import VAEConfig
    >>> VAEConfig(latent=0)
    Traceback (most recent call last):
    ...
    ValueError: latent must be 1 or more, got 0
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and value < 1 and field.name not in but:
            raise ValueError(f"{field.name} must be 1 or more, got {value}")
