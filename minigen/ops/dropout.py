"""Dropout: noise that switches elements off, so that no unit can rely on another.

Srivastava et al. 2014, JMLR 15, section 4, in its inverted form: what is kept is scaled up while
training, so that nothing has to be done afterwards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.errors import ShapeError

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d"]


def keep_mask(shape: tuple, p: float) -> Any:
    """A random array of booleans, each True with probability 1 - p.

    Each is a comparison of a random integer with a threshold.  The integers have 8, 16 or 32 bits:
    as few as say 1 - p to a relative 1e-5 (and 8 bits say 1/2 exactly), because drawing random bits
    is what takes the time.

    >>> abs(keep_mask((100_000,), 0.25).mean() - 0.75) < 0.01
    np.True_
    """
    keep = 1 - p
    for bits in (8, 16, 32):
        threshold = round(keep * 2**bits)
        if abs(threshold - keep * 2**bits) <= 1e-5 * keep * 2**bits:
            break
    count = math.prod(shape)
    words = backend.stream(None).bit_generator.random_raw(-(-count * bits // 64))
    integers = words.view(f"u{bits // 8}")[:count].reshape(shape)
    if threshold == 2**bits:
        return np.ones(shape, bool)
    return backend.as_array(integers < integers.dtype.type(threshold))


@differentiable
def _dropout(input: Any, mask: Any, scale: float) -> Any:
    """input · mask · scale; linear in the input, and so its own gradient."""
    if mask.shape == input.shape and backend.large(input):
        return backend.kernel("dropout", input, mask, scale)
    output = np.multiply(input, mask)
    output *= scale
    return output


_dropout.gradients(input=lambda g, mask, scale: _dropout(g, mask, scale))


def _check(name: str, input: Any, p: float, inplace: bool) -> None:
    if not 0 <= p <= 1:
        raise ShapeError(f"{name}: p is a probability, from 0 to 1; got {p}")
    if inplace:
        raise ShapeError(f"{name}: inplace=True is not offered; use x = {name}(x)")
    if getattr(input, "array", input).dtype.kind != "f":
        raise TypeError(f"{name}: needs a floating-point tensor, got {input.dtype}; use .float()")


def _drop(input: Any, p: float, shape: tuple) -> Any:
    """Drop what a random mask of this shape says; all, for p = 1."""
    array = getattr(input, "array", input)
    mask = backend.drawn(lambda: keep_mask(shape, p), backend.device_of(array))
    return _dropout(input, mask, 1 / (1 - p) if p < 1 else 0.0)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element is zero with probability p, else divided by 1 - p: its expectation stays.

    input: any shape, floating point.
    Returns the input itself when not training or p = 0.  The mask comes from the default generator
    (`manual_seed`).  Raises ShapeError (a ValueError) for a p outside [0, 1] or inplace=True.

    >>> import minigen
    >>> sorted(set(dropout(minigen.ones(100), 0.75).tolist()))
    [0.0, 4.0]
    """
    _check("dropout", input, p, inplace)
    if not training or p == 0:
        return input
    return _drop(input, p, tuple(input.shape))


def _drop_channels(
    name: str, ndims: tuple, input: Any, p: float, training: bool, inplace: bool
) -> Any:
    _check(name, input, p, inplace)
    shape = tuple(input.shape)
    if len(shape) not in ndims:
        raise ShapeError(f"{name}: input must have {ndims[0]} dimensions, got shape {shape}")
    if not training or p == 0:
        return input
    spatial = ndims[0] - 2
    return _drop(input, p, (*shape[: len(shape) - spatial], *(1,) * spatial))


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drop whole channels: each (n, c) is zero with probability p, else divided by 1 - p.

    Neighbours in a feature map are alike, so that dropping single elements drops no information
    (Tompson et al. 2015, arXiv:1411.4280, section 3.2).

    input: (batch, channels, length), or without batch, floating point.

    >>> import minigen
    >>> dropout1d(minigen.ones(1, 1, 4), 1.0)
    tensor([[[0., 0., 0., 0.]]])
    """
    return _drop_channels("dropout1d", (3, 2), input, p, training, inplace)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drop whole channels of images, as `dropout1d` does.

    input: (batch, channels, height, width), floating point.

    >>> import minigen
    >>> kept = dropout2d(minigen.ones(1, 2, 2, 2))
    >>> bool((kept.amax((2, 3)) == kept.amin((2, 3))).all())
    True
    """
    return _drop_channels("dropout2d", (4,), input, p, training, inplace)


ALPHA = 1.7580993408473766  # -(lowest value of SELU): alpha times scale


@differentiable
def _alpha_dropout(input: Any, mask: Any, scale: float, shift: float) -> Any:
    """scale · (input where mask, else -ALPHA) + shift"""
    output = np.where(mask, input, input.dtype.type(-ALPHA))
    output *= scale
    output += shift
    return output


_alpha_dropout.gradients(input=lambda g, mask, scale: _dropout(g, mask, scale))


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for networks with SELU: mean 0 and variance 1 stay what they are.

    Elements are set to SELU's lowest value, -1.758..., with probability p, and all are then scaled
    and shifted.  Klambauer et al. 2017, arXiv:1706.02515, section "Dropout".

    input: any shape, floating point.  Note that `training` is False unless given, as in PyTorch.

    >>> import minigen
    >>> y = alpha_dropout(minigen.randn(100_000), 0.3, training=True)
    >>> abs(y.mean().item()) < 0.05, abs(y.var().item() - 1) < 0.05
    (True, True)
    """
    _check("alpha_dropout", input, p, inplace)
    if not training or p == 0:
        return input
    if p == 1:
        return _drop(input, p, tuple(input.shape))
    array = getattr(input, "array", input)
    mask = backend.drawn(lambda: keep_mask(tuple(input.shape), p), backend.device_of(array))
    scale = 1 / math.sqrt((1 - p) * (1 + p * ALPHA**2))
    return _alpha_dropout(input, mask, scale, scale * p * ALPHA)
