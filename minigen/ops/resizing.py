"""Images of another size: interpolation, and pixels moved between channels and space."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.ops.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d
from minigen.ops.indexing import take
from minigen.ops.shape import permute, reshape
from minigen.ops.windows import per_dimension, require

__all__ = ["interpolate", "pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Groups of r² channels become r x r blocks of pixels.

    out[..., c, r h + i, r w + j] = input[..., r² c + r i + j, h, w],  r = upscale_factor.

    (..., C·r², H, W) -> (..., C, H·r, W·r).  Shi et al. 2016, arXiv:1609.05158, equation 4.
    Raises ShapeError if r² does not divide the channels.

    >>> import minigen
    >>> pixel_shuffle(minigen.arange(4.0).reshape(4, 1, 1), 2)
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    (r,) = per_dimension(upscale_factor, 1, "pixel_shuffle: upscale_factor")
    shape = tuple(input.shape)
    require(
        len(shape) >= 3 and shape[-3] % (r * r) == 0,
        f"pixel_shuffle: input must be (..., channels, height, width) with channels a multiple of "
        f"upscale_factor² = {r * r}; got {shape}",
    )
    *lead, channels, height, width = shape
    n = len(lead)
    blocks = reshape(input, (*lead, channels // (r * r), r, r, height, width))
    moved = permute(blocks, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshape(moved, (*lead, channels // (r * r), height * r, width * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """The inverse of `pixel_shuffle`: r x r blocks of pixels become groups of r² channels.

    (..., C, H·r, W·r) -> (..., C·r², H, W), r = downscale_factor.  Raises ShapeError if r does not
    divide height and width.

    >>> import minigen
    >>> pixel_unshuffle(minigen.arange(4.0).reshape(1, 2, 2), 2).shape
    minigen.Size([4, 1, 1])
    """
    (r,) = per_dimension(downscale_factor, 1, "pixel_unshuffle: downscale_factor")
    shape = tuple(input.shape)
    require(
        len(shape) >= 3 and shape[-1] % r == 0 and shape[-2] % r == 0,
        f"pixel_unshuffle: input must be (..., channels, height, width) with height and width "
        f"multiples of downscale_factor = {r}; got {shape}",
    )
    *lead, channels, height, width = shape
    n = len(lead)
    blocks = reshape(input, (*lead, channels, height // r, r, width // r, r))
    moved = permute(blocks, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return reshape(moved, (*lead, channels * r * r, height // r, width // r))


def _nearest(input: Any, dim: int, size: int, step: float) -> Any:
    """out[i] = input[floor(i · step)]; the product is taken in float32, as PyTorch takes it."""
    extent = input.shape[dim]
    places = np.floor(np.arange(size, dtype=np.float32) * np.float32(step)).astype(np.int64)
    return take(input, dim, np.minimum(places, extent - 1))


def _linear(input: Any, dim: int, size: int, step: float, align_corners: bool) -> Any:
    """out[i] = (1 - t) input[j] + t input[j + 1] at the point j + t of the input that i stands for.

    Pixels are points with corners aligned to corners, or squares of area 1 whose borders are.
    """
    extent = input.shape[dim]
    if align_corners:
        points = np.arange(size) * ((extent - 1) / (size - 1) if size > 1 else 0.0)
    else:
        points = ((np.arange(size) + 0.5) * step - 0.5).clip(0, None)
    left = np.minimum(points.astype(np.int64), extent - 1)
    right = np.minimum(left + 1, extent - 1)
    weight = points - left
    dtype = getattr(input, "array", input).dtype
    weight = weight.astype(dtype).reshape((-1,) + (1,) * (len(input.shape) - dim - 1))
    return take(input, dim, left) * (1 - weight) + take(input, dim, right) * weight


def _sizes(shape: tuple, size: Any, scale_factor: Any) -> tuple[tuple, list]:
    """The extents of the result, and how far apart in the input its neighbours are."""
    extents = shape[2:]
    n = len(extents)
    require(
        (size is None) != (scale_factor is None),
        "interpolate: give either size or scale_factor, not both and not none",
    )
    if size is not None:
        sizes = per_dimension(size, n, "interpolate: size")
        return sizes, [extent / new for extent, new in zip(extents, sizes)]
    factors = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor,) * n
    require(
        len(factors) == n and all(f > 0 for f in factors),
        f"interpolate: scale_factor must be positive, one or {n} of them; got {scale_factor}",
    )
    sizes = tuple(math.floor(extent * factor) for extent, factor in zip(extents, factors))
    require(min(sizes) > 0, f"interpolate: scale_factor {scale_factor} leaves nothing of {shape}")
    return sizes, [1 / factor for factor in factors]


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """Resize to `size`, or by `scale_factor`.

    input: (batch, channels, length) or (batch, channels, height, width).
    mode:  "nearest"             the element that lies below
           "linear", "bilinear"  between the two (four) nearest, for one (two) spatial dimensions
           "area"                the mean of what falls together, `adaptive_avg_pool`
    align_corners: of the linear modes: whether the corner elements of input and output coincide
           (True), or the borders of the corner pixels (False, the default).
    Returns (batch, channels, ...); an extent is floor(scale_factor·extent) unless given by `size`.
    Raises ShapeError for other modes, and where the arguments contradict each other.

    >>> import minigen
    >>> x = minigen.tensor([[[0.0, 4.0]]])
    >>> interpolate(x, scale_factor=2)
    tensor([[[0., 0., 4., 4.]]])
    >>> interpolate(x, size=4, mode="linear")
    tensor([[[0., 1., 3., 4.]]])
    """
    shape = tuple(input.shape)
    require(
        len(shape) in (3, 4) and min(shape[1:]) > 0,
        "interpolate: input must be (batch, channels, length) or (batch, channels, height, width), "
        f"got {shape}",
    )
    linear = {3: "linear", 4: "bilinear"}[len(shape)]
    require(
        mode in ("nearest", "area", linear),
        f"interpolate: mode {mode!r} is not offered for {len(shape)} dimensions; "
        f"choose 'nearest', {linear!r} or 'area'",
    )
    require(
        align_corners is None or mode == linear,
        f"interpolate: align_corners is for the linear modes alone, not for {mode!r}",
    )
    sizes, steps = _sizes(shape, size, scale_factor)
    if mode == "area":
        pool = adaptive_avg_pool1d if len(shape) == 3 else adaptive_avg_pool2d
        return pool(input, sizes)
    for dim, (new, step) in enumerate(zip(sizes, steps), 2):
        if mode == "nearest":
            input = _nearest(input, dim, new, step)
        else:
            input = _linear(input, dim, new, step, bool(align_corners))
    return input
