"""Images of another size: interpolation, and pixels moved between channels and space."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import differentiable
from minigen.backend import beside, silent
from minigen.ops.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d
from minigen.ops.indexing import take
from minigen.ops.pooling import repeated
from minigen.ops.shape import permute, reshape
from minigen.ops.windows import per_dimension, require

__all__ = ["interpolate", "pixel_shuffle", "pixel_unshuffle", "upsample"]


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


def _nearest(input: Any, dim: int, size: int, step: float, shift: float) -> Any:
    """out[i] = input[floor((i + shift) · step)]; computed in float32, as PyTorch computes it."""
    points = (np.arange(size, dtype=np.float32) + np.float32(shift)) * np.float32(step)
    places = np.minimum(np.floor(points).astype(np.int64), input.shape[dim] - 1)
    times, rest = divmod(size, input.shape[dim])
    floating = getattr(input, "array", input).dtype.kind == "f"
    if rest or not floating or (places != np.arange(size) // times).any():
        return take(input, dim, places)
    return repeated(input, dim, times)


def _points(extent: int, size: int, step: float, align_corners: bool) -> Any:
    """Where in the input each element of the output lies.

    Pixels are points with corners aligned to corners, or squares of area 1 whose borders are.
    """
    if align_corners:
        return np.arange(size) * ((extent - 1) / (size - 1) if size > 1 else 0.0)
    return (np.arange(size) + 0.5) * step - 0.5


def _mixed(input: Any, dim: int, first: Any, weights: list) -> Any:
    """out[i] = Σ_k weights[k][i] input[first[i] + k], places beyond the borders taken at them."""
    dtype = getattr(input, "array", input).dtype
    total: Any = 0.0
    for k, weight in enumerate(weights):
        places = (first + k).clip(0, input.shape[dim] - 1)
        column = weight.astype(dtype).reshape((-1,) + (1,) * (len(input.shape) - dim - 1))
        total = total + take(input, dim, places) * beside(column, input)
    return total


class Phases(NamedTuple):
    """Interpolation to a whole multiple of the extent: the same weights for every element.

    out[factor·j + r] = Σ_k weights[r][k] input[j + offsets[r] + k], r = 0 ... factor - 1, places
    beyond the borders taken at them.  On the whole array as one row, where input[j + k] of all j
    lies side by side, a phase is a few products of long vectors.
    """

    dim: int
    offsets: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]

    def reach(self) -> tuple[int, int]:
        """How many places before the first and after the last element are asked for."""
        ends = [offset + len(w) - 1 for offset, w in zip(self.offsets, self.weights)]
        return max(0, -min(self.offsets)), max(0, *ends)

    def along(self, places: slice) -> tuple:
        return (*(slice(None),) * self.dim, places)

    def every(self, phase: int) -> tuple:
        """The elements of the output that belong to a phase."""
        return self.along(slice(phase, None, len(self.offsets)))

    def shifts(self, padded: Any, phase: int) -> list:
        """What each weight of a phase meets, for all elements; those in the padding are in vain."""
        before, after = self.reach()
        step = math.prod(padded.shape[self.dim + 1 :])
        count = max(0, padded.size - (before + after) * step)
        flat, first = padded.reshape(-1), before + self.offsets[phase]
        starts = [(first + k) * step for k in range(len(self.weights[phase]))]
        return [flat[start : start + count] for start in starts]


@differentiable
def _enlarged(input: Any, phases: Phases) -> Any:
    return silent().run(_enlarge, input, phases)


def _enlarge(input: Any, phases: Phases) -> Any:
    dim, extent, factor = phases.dim, input.shape[phases.dim], len(phases.offsets)
    widths = [(0, 0)] * input.ndim
    widths[dim] = phases.reach()
    padded = np.pad(input, widths, mode="edge")
    sums = np.empty_like(padded, order="C")
    shape = (*input.shape[:dim], extent * factor, *input.shape[dim + 1 :])
    output = np.empty_like(input, shape=shape, order="C")
    for phase, weights in enumerate(phases.weights):
        shifts = phases.shifts(padded, phase)
        total = sums.reshape(-1)[: len(shifts[0])]
        np.multiply(shifts[0], weights[0], out=total)
        for shift, weight in zip(shifts[1:], weights[1:]):
            total += shift * weight
        output[phases.every(phase)] = sums[phases.along(slice(extent))]
    return output


@differentiable
def _reduced(input: Any, phases: Phases) -> Any:
    """The adjoint of `_enlarged`."""
    return silent().run(_reduce, input, phases)


def _reduce(input: Any, phases: Phases) -> Any:
    dim, extent = phases.dim, input.shape[phases.dim] // len(phases.offsets)
    before, after = phases.reach()
    shape = (*input.shape[:dim], before + extent + after, *input.shape[dim + 1 :])
    padded, part = (np.zeros_like(input, shape=shape, order="C") for _ in range(2))
    for phase, weights in enumerate(phases.weights):
        part[phases.along(slice(extent))] = input[phases.every(phase)]
        shifts = phases.shifts(padded, phase)
        flat = part.reshape(-1)[: len(shifts[0])]
        for shift, weight in zip(shifts, weights):
            shift += flat * weight
    output = padded[phases.along(slice(before, before + extent))].copy()
    first, last = phases.along(slice(1)), phases.along(slice(extent - 1, extent))
    output[first] += padded[phases.along(slice(before))].sum(axis=dim, keepdims=True)
    rest = slice(before + extent, None)
    output[last] += padded[phases.along(rest)].sum(axis=dim, keepdims=True)
    return output


_enlarged.gradients(input=lambda g, phases: _reduced(g, phases))
_reduced.gradients(input=lambda g, phases: _enlarged(g, phases))


def _whole_factor(input: Any, dim: int, size: int, step: float, align_corners: bool) -> int:
    """By how much the extent is multiplied, if that is a whole number and `Phases` can do it."""
    factor, rest = divmod(size, input.shape[dim])
    floating = getattr(input, "array", input).dtype.kind == "f"
    return factor if not rest and not align_corners and step * factor == 1 and floating else 0


def _linear(input: Any, dim: int, size: int, step: float, align_corners: bool) -> Any:
    """out[i] = (1 - t) input[j] + t input[j + 1] at the point j + t of the input."""
    if factor := _whole_factor(input, dim, size, step, align_corners):
        points = _points(1, factor, step, False)
        offsets = np.floor(points)
        weights = tuple((1 - t, t) for t in (points - offsets).tolist())
        return _enlarged(input, Phases(dim, tuple(offsets.astype(int).tolist()), weights))
    points = _points(input.shape[dim], size, step, align_corners).clip(0, None)
    first = np.floor(points)
    t = points - first
    return _mixed(input, dim, first.astype(np.int64), [1 - t, t])


def cubic_weights(t: Any) -> list:
    """The weights of the elements at -1, 0, 1 and 2 for the point t in [0, 1): array or tensor.

    Source: Keys, "Cubic convolution interpolation for digital image processing" (IEEE Trans.
    Acoustics, Speech, Signal Processing 29, 1981), with his parameter a = -3/4, as PyTorch has it.

    >>> [float(weight) for weight in cubic_weights(0.5)]
    [-0.09375, 0.59375, 0.59375, -0.09375]
    """
    a = -0.75

    def near(x: Any) -> Any:  # |x| <= 1
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:  # 1 < |x| < 2
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _cubic(input: Any, dim: int, size: int, step: float, align_corners: bool) -> Any:
    """The cubic through four neighbours, at the point that each output lies at."""
    if factor := _whole_factor(input, dim, size, step, align_corners):
        points = _points(1, factor, step, False)
        offsets = np.floor(points)
        weights = tuple(zip(*(w.tolist() for w in cubic_weights(points - offsets))))
        return _enlarged(input, Phases(dim, tuple((offsets.astype(int) - 1).tolist()), weights))
    points = _points(input.shape[dim], size, step, align_corners)
    first = np.floor(points)
    return _mixed(input, dim, first.astype(np.int64) - 1, cubic_weights(points - first))


def _sizes(shape: tuple, size: Any, scale_factor: Any, recompute: bool) -> tuple[tuple, list]:
    """The extents of the result, and how far apart in the input its neighbours are."""
    extents = shape[2:]
    n = len(extents)
    require(
        (size is None) != (scale_factor is None),
        "interpolate: give either size or scale_factor, not both and not none",
    )
    if size is not None:
        require(not recompute, "interpolate: recompute_scale_factor needs a scale_factor, no size")
        sizes = per_dimension(size, n, "interpolate: size")
        return sizes, [extent / new for extent, new in zip(extents, sizes)]
    factors = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor,) * n
    require(
        len(factors) == n and all(f > 0 for f in factors),
        f"interpolate: scale_factor must be positive, one or {n} of them; got {scale_factor}",
    )
    sizes = tuple(math.floor(extent * factor) for extent, factor in zip(extents, factors))
    require(min(sizes) > 0, f"interpolate: scale_factor {scale_factor} leaves nothing of {shape}")
    if recompute:
        return sizes, [extent / new for extent, new in zip(extents, sizes)]
    return sizes, [1 / factor for factor in factors]


_SMOOTH = {3: ("linear",), 4: ("bilinear", "bicubic")}


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Resize to `size`, or by `scale_factor`.

    input: (batch, channels, length) or (batch, channels, height, width).
    mode:  "nearest"             the element that lies below
           "nearest-exact"       the element that lies nearest to the middle of the new pixel
           "linear", "bilinear"  between the two (four) nearest, for one (two) spatial dimensions
           "bicubic"             cubics through 4 x 4 neighbours, which may overshoot
           "area"                the mean of what falls together, `adaptive_avg_pool`
    align_corners: of the smooth modes: whether the corner elements of input and output coincide
           (True), or the borders of the corner pixels (False, the default).
    recompute_scale_factor: place the pixels by the ratio of the integer extents, not by the factor.
    Returns (batch, channels, ...); an extent is floor(scale_factor·extent) unless given by `size`.
    Raises ShapeError for other modes, for antialias=True, and where the arguments contradict each
    other.

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
    smooth = _SMOOTH[len(shape)]
    offered = ("nearest", "nearest-exact", "area", *smooth)
    require(
        mode in offered,
        f"interpolate: mode {mode!r} is not offered for {len(shape)} dimensions; choose one of "
        f"{', '.join(map(repr, offered))}",
    )
    require(
        align_corners is None or mode in smooth,
        f"interpolate: align_corners is for the smooth modes alone, not for {mode!r}",
    )
    require(
        not antialias,
        "interpolate: antialias=True is not offered; avg_pool2d, or mode 'area', averages what "
        "falls together",
    )
    sizes, steps = _sizes(shape, size, scale_factor, bool(recompute_scale_factor))
    if mode == "area":
        pool = adaptive_avg_pool1d if len(shape) == 3 else adaptive_avg_pool2d
        return pool(input, sizes)
    for dim, (new, step) in enumerate(zip(sizes, steps), 2):
        if mode in smooth:
            between = _cubic if mode == "bicubic" else _linear
            input = between(input, dim, new, step, bool(align_corners))
        else:
            input = _nearest(input, dim, new, step, 0.5 if mode == "nearest-exact" else 0.0)
    return input


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """`interpolate` by its older name, with a warning that it is deprecated."""
    warnings.warn("upsample is deprecated; use interpolate", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)
