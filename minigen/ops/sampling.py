"""Images read at any place: `grid_sample`, and the grid of an affine map.

What a spatial transformer network is made of: Jaderberg et al. 2015, arXiv:1506.02025, section 3.
All is composed of operations that are differentiable in the image and in the places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable, wrap
from minigen.backend import zeros_like
from minigen.errors import describe
from minigen.ops.linalg import matmul
from minigen.ops.masking import fill_where
from minigen.ops.resizing import cubic_weights
from minigen.ops.rounding import no_slope
from minigen.ops.scatter import gather
from minigen.ops.shape import adjoint, expand, reshape
from minigen.ops.windows import require

__all__ = ["affine_grid", "grid_sample"]


# -------------------------------------------------------------------------------- coordinates


def _unnormalized(coordinate: Any, extent: int, align_corners: bool) -> Any:
    """From [-1, 1], edge to edge of the image, to pixels: 0 is the middle of the first."""
    if align_corners:
        return (coordinate + 1) * ((extent - 1) / 2)
    return (coordinate + 1) * (extent / 2) - 0.5


@differentiable
def _affine(input: Any, slope: Any, offset: Any) -> Any:
    """slope · x + offset, where slope is 1, -1 or 0 at each element: a fold of the line."""
    return input * slope + offset


_affine.gradients(input=lambda g, slope: g * slope)


def _clipped(coordinate: Any, extent: int) -> Any:
    """Into [0, extent - 1]; on the border and beyond there is no slope."""
    x = coordinate.array
    inside = ((x > 0) & (x < extent - 1)).astype(x.dtype)
    # fmax, fmin: what is NaN lies at 0
    border = np.where(inside, 0, np.fmin(np.fmax(x, 0), extent - 1)).astype(x.dtype)
    return _affine(fill_where(coordinate, inside == 0, 0), inside, border)


def _reflected(coordinate: Any, extent: int, align_corners: bool) -> Any:
    """Mirrored at the middles of the border pixels, or at their outer edges, as often as needed."""
    low, span = (0.0, extent - 1.0) if align_corners else (-0.5, float(extent))
    x = coordinate.array
    if span == 0:
        return _affine(coordinate, zeros_like(x), zeros_like(x))
    finite = np.where(np.isfinite(x), x, 0) - low
    turns = np.floor(abs(finite) / span)
    odd = turns % 2 == 1
    slope = np.where((finite < 0) != odd, -1, 1).astype(x.dtype)
    # |x - low| - turns · span counts up from low, or down from low + span
    start = np.where(odd, (turns + 1) * span, -turns * span) + low - slope * low
    return _affine(fill_where(coordinate, ~np.isfinite(x), 0), slope, start.astype(x.dtype))


def _padded(coordinate: Any, extent: int, padding_mode: str, align_corners: bool) -> Any:
    """The coordinate that is read in place of one beyond the borders."""
    if padding_mode == "zeros":
        return coordinate
    if padding_mode == "reflection":
        coordinate = _reflected(coordinate, extent, align_corners)
    return _clipped(coordinate, extent)


# ----------------------------------------------------------------------------------- sampling


def _read(image: Any, rows: Any, columns: Any) -> Any:
    """image[n, c, rows[n, i], columns[n, i]], and 0 where these lie beyond the borders.

    image (N, C, H, W), rows and columns arrays (N, P) of whole numbers -> (N, C, P).
    """
    batch, channels, height, width = image.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    with np.errstate(invalid="ignore"):
        index = np.where(inside, rows * width + columns, 0).astype(np.int64)[:, None]
    index = np.broadcast_to(index, (batch, channels, index.shape[-1]))
    values = gather(reshape(image, (batch, channels, height * width)), 2, wrap(index))
    if not backend.on_gpu(inside) and inside.all():  # which to ask would wait for the GPU
        return values
    return fill_where(values, ~inside[:, None], 0)


@differentiable
def _constant_in(values: Any, grid: Any) -> Any:
    """The values, which small changes of the grid do not move: its gradient is zero."""
    return values


_constant_in.gradients(values=lambda g: g, grid=lambda g, grid: no_slope(grid))


def _nearest(image: Any, x: Any, y: Any) -> Any:
    values = _read(image, np.rint(y.array), np.rint(x.array))
    return _constant_in(_constant_in(values, x), y)


def _bilinear(image: Any, x: Any, y: Any) -> Any:
    left, top = np.floor(x.array), np.floor(y.array)
    right, down = x - wrap(left), y - wrap(top)
    total: Any = 0.0
    for row, weight_y in ((top, 1 - down), (top + 1, down)):
        for column, weight_x in ((left, 1 - right), (left + 1, right)):
            total = total + _read(image, row, column) * (weight_x * weight_y).unsqueeze(1)
    return total


def _bicubic(image: Any, x: Any, y: Any, padding_mode: str, align_corners: bool) -> Any:
    height, width = image.shape[-2:]
    left, top = np.floor(x.array), np.floor(y.array)
    weights_x, weights_y = cubic_weights(x - wrap(left)), cubic_weights(y - wrap(top))

    def place(whole: Any, extent: int) -> Any:
        return np.rint(_padded(wrap(whole), extent, padding_mode, align_corners).array)

    columns = [place(left + k, width) for k in (-1, 0, 1, 2)]
    total: Any = 0.0
    for k, weight_y in zip((-1, 0, 1, 2), weights_y):
        row = place(top + k, height)
        for column, weight_x in zip(columns, weights_x):
            total = total + _read(image, row, column) * (weight_x * weight_y).unsqueeze(1)
    return total


def _check(input: Any, grid: Any, mode: str, padding_mode: str) -> None:
    require(
        mode in ("bilinear", "nearest", "bicubic"),
        f"grid_sample: mode must be 'bilinear', 'nearest' or 'bicubic', not {mode!r}",
    )
    require(
        padding_mode in ("zeros", "border", "reflection"),
        "grid_sample: padding_mode must be 'zeros', 'border' or 'reflection', not "
        f"{padding_mode!r}",
    )
    require(
        len(input.shape) == 4 and len(grid.shape) == 4 and grid.shape[-1] == 2,
        "grid_sample: input must be (N, C, H, W) and grid (N, H', W', 2); volumes are not offered; "
        f"got {describe(input)} and {describe(grid)}",
    )
    require(
        input.shape[0] == grid.shape[0] and min(input.shape[2:]) > 0,
        f"grid_sample: input {describe(input)} and grid {describe(grid)} must have one batch size, "
        "and the image must not be empty",
    )
    if input.dtype != grid.dtype or input.array.dtype.kind != "f":
        raise TypeError(
            f"grid_sample: input and grid must have one floating-point dtype, got {input.dtype} "
            f"and {grid.dtype}"
        )


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """The image at the places of a grid: (N, C, H, W), (N, H', W', 2) -> (N, C, H', W').

    grid:          (x, y) of each place, from -1 (left, top) to 1 (right, bottom).
    mode:          "bilinear" between 4 pixels, "nearest" pixel, "bicubic" through 4 x 4 pixels.
    padding_mode:  what lies beyond the borders: "zeros", the "border" pixel, or the "reflection".
    align_corners: whether -1 and 1 are the middles of the corner pixels, or (False, the default)
                   their outer edges.
    Raises ShapeError for volumes, unknown modes and shapes that do not fit.

    >>> import minigen
    >>> image = minigen.tensor([[[[0.0, 10.0]]]])
    >>> grid_sample(image, minigen.tensor([[[[0.0, 0.0], [-0.5, 0.0]]]]), align_corners=False)
    tensor([[[[5., 0.]]]])
    """
    _check(input, grid, mode, padding_mode)
    align_corners = bool(align_corners)
    batch, rows, columns, _ = grid.shape
    height, width = input.shape[-2:]
    places = reshape(grid, (batch, rows * columns, 2))
    x = _unnormalized(places[..., 0], width, align_corners)
    y = _unnormalized(places[..., 1], height, align_corners)
    if mode == "bicubic":
        values = _bicubic(input, x, y, padding_mode, align_corners)
    else:
        x = _padded(x, width, padding_mode, align_corners)
        y = _padded(y, height, padding_mode, align_corners)
        values = (_nearest if mode == "nearest" else _bilinear)(input, x, y)
    return reshape(values, (batch, input.shape[1], rows, columns))


def _middles(extent: int, align_corners: bool) -> Any:
    """The coordinates of the pixels of a row, in [-1, 1]."""
    if extent == 1:
        return np.zeros(1)
    line = np.linspace(-1, 1, extent)
    return line if align_corners else line * (extent - 1) / extent


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The grid that makes `grid_sample` apply an affine map: (N, 2, 3) -> (N, H, W, 2).

    grid[n, i, j] = theta[n] (x_j, y_i, 1), with the pixels x_j, y_i of an output image of `size`
    (N, C, H, W).  align_corners: as in `grid_sample`.

    >>> import minigen
    >>> identity = minigen.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> affine_grid(identity, (1, 1, 1, 2), align_corners=False)
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    if theta.array.dtype.kind != "f":
        raise TypeError(f"affine_grid: expects a floating-point theta, got {theta.dtype}")
    sizes = tuple(size)
    require(
        len(sizes) == 4 and tuple(theta.shape) == (sizes[0], 2, 3) and min(sizes) > 0,
        "affine_grid: theta must be (N, 2, 3) for a size (N, C, H, W), all positive; volumes are "
        f"not offered; got {describe(theta)} and {sizes}",
    )
    batch, _, height, width = sizes
    x = np.broadcast_to(_middles(width, bool(align_corners)), (height, width))
    y = np.broadcast_to(_middles(height, bool(align_corners))[:, None], (height, width))
    points = np.stack([x, y, np.ones_like(x)], -1).reshape(height * width, 3)
    base = theta.new_tensor(points)
    moved = matmul(expand(base, (batch, height * width, 3)), adjoint(theta))
    return reshape(moved, (batch, height, width, 2))
