"""Masks for tests of attention."""

from __future__ import annotations

import numpy as np

rng = np.random.default_rng(2)


def hidden(*shape: int) -> np.ndarray:
    """True at random for what may not be looked at; never for the first key."""
    mask = rng.random(shape) < 0.4
    mask[..., 0] = False
    return mask


def as_numbers(mask: np.ndarray) -> np.ndarray:
    """The same mask to be added to scores."""
    return np.where(mask, -np.inf, 0.0)


def later(size: int) -> np.ndarray:
    """True above the diagonal: the causal mask."""
    return ~np.tri(size, dtype=bool)
