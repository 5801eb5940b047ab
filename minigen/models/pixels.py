"""Images as models of them take them: one a row, pixels from 0 to 1, or a clear error."""

from __future__ import annotations

import math
from typing import Protocol

from minigen import Tensor


class Sized(Protocol):
    """A model's config: how many values an image has."""

    @property
    def pixels(self) -> int: ...


def as_rows(x: Tensor, config: Sized) -> Tensor:
    """Images (N, D), (N, s, s) or (N, c, s, s) -> (N, D), one a row.

    config: has `pixels`, and `channels` and `size` if the model knows of them. Raises ValueError
    for images of another size or number of channels, which a mere reshape would cut into more
    images than there are.

    >>> import minigen
    >>> from minigen.models import VAEConfig
    >>> as_rows(minigen.zeros(5, 28, 28), VAEConfig()).shape
    minigen.Size([5, 784])
    """
    shape = tuple(x.shape)
    if len(shape) < 2 or math.prod(shape[1:]) != config.pixels:
        raise ValueError(
            f"expected N images of {config.pixels} values each, such as (N, {config.pixels}); "
            f"got shape {shape}"
        )
    size = getattr(config, "size", None)  # a perceptron's has none
    if len(shape) == 4 and size is not None:
        expected = (getattr(config, "channels", 1), size, size)
        if shape[1:] != expected:
            raise ValueError(
                f"expected images of (channels, height, width) = {expected}, got shape {shape}"
            )
    return x.reshape(-1, config.pixels)  # (N, ...) -> (N, D)


def require_pixels(x: Tensor) -> Tensor:
    """The images themselves. Raises ValueError if one holds NaN or leaves [0, 1].

    >>> import minigen
    >>> require_pixels(minigen.tensor([[0.0, 255.0]]))
    Traceback (most recent call last):
    ValueError: pixels must lie from 0 to 1, got 0 to 255: divide bytes by 255
    """
    if x.numel() == 0:
        return x
    low, high = float(x.min()), float(x.max())
    if math.isnan(low) or math.isnan(high):
        raise ValueError("the images hold NaN")
    if low < 0 or high > 1:
        advice = ": divide bytes by 255" if high > 2 else ""
        raise ValueError(f"pixels must lie from 0 to 1, got {low:g} to {high:g}{advice}")
    return x
