"""Elements in other places: repeated, flipped, rolled, masked to triangles, in windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import Variable, differentiable, wrap
from minigen.errors import ShapeError
from minigen.ops.dims import integers, wrap_dim, wrap_dims
from minigen.ops.indexing import narrow, take
from minigen.ops.shape import diagonal as main_diagonals
from minigen.ops.shape import expand, place_diagonal, reshape, transpose
from minigen.tensor import method

__all__ = [
    "diag",
    "diag_embed",
    "flip",
    "fliplr",
    "flipud",
    "repeat_interleave",
    "roll",
    "rot90",
    "tile",
    "tril",
    "triu",
]

# ----------------------------------------------------------------------------------- repeated


@differentiable
def _repeat(input: Any, repeats: tuple) -> Any:
    return np.tile(input, repeats)


def _repeat_gradient(g: Any, input_shape: tuple, repeats: tuple) -> Any:
    """The sum over all copies: dimension i of g is (repeats[i], n[i])."""
    padded = (1,) * (len(repeats) - len(input_shape)) + input_shape
    pairs = [n for pair in zip(repeats, padded) for n in pair]
    copies = tuple(range(0, len(pairs), 2))
    if 0 in repeats:
        return expand(reshape(g.sum(), (1,) * len(input_shape)), input_shape)
    return reshape(reshape(g, tuple(pairs)).sum(copies), input_shape) if pairs else g


_repeat.gradients(input=_repeat_gradient)


@method("repeat")
def _repeat_method(input: Any, *repeats: Any) -> Any:
    """The whole tensor, repeats[i] times along dimension i; more numbers than dimensions put new
    dimensions in front.  Raises ShapeError if there are fewer.

    >>> import minigen
    >>> minigen.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    times = integers(repeats)
    if len(times) < len(input.shape) or any(n < 0 for n in times):
        raise ShapeError(
            f"repeat: expects a number >= 0 for each of {len(input.shape)} dimensions, got {times}"
        )
    return _repeat(input, times)


@method("tile")
def tile(input: Any, *dims: Any) -> Any:
    """As `repeat`, but fewer numbers than dimensions speak of the last dimensions.

    >>> import minigen
    >>> minigen.tile(minigen.tensor([[1], [2]]), (2,))
    tensor([[1, 1],
            [2, 2]])
    """
    times = integers(dims)
    return _repeat_method(input, (1,) * (len(input.shape) - len(times)) + times)


@method("repeat_interleave")
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Every slice along `dim` (every element, without dim) repeated next to itself.

    repeats: one number, or a tensor with a number for each slice; left out, `input` holds the
    numbers and the result says which slice each place shows.

    >>> import minigen
    >>> minigen.tensor([1, 2]).repeat_interleave(2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        return repeat_interleave(_arange_like(input, input.shape[0]), input, 0)
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    dim = wrap_dim(dim, len(input.shape))
    times = repeats.array if isinstance(repeats, Variable) else np.asarray(repeats)
    if times.dtype.kind not in "iu" or times.ndim > 1 or (times < 0).any():
        raise ShapeError("repeat_interleave: repeats must be integers >= 0, one, or one a slice")
    if times.size not in (1, input.shape[dim]):
        raise ShapeError(
            f"repeat_interleave: {times.size} repeats for {input.shape[dim]} slices of dim {dim}"
        )
    index = np.repeat(np.arange(input.shape[dim]), backend.to_device(times, backend.CPU))
    if output_size is not None and output_size != len(index):
        raise ShapeError(
            f"repeat_interleave: output_size is {output_size}, repeats give {len(index)}"
        )
    return take(input, dim, backend.to_device(index, input.device))


def _arange_like(input: Any, n: int) -> Any:
    return wrap(backend.array_module(input.array).arange(n))


# ------------------------------------------------------------------------- flipped and rolled


@differentiable
def _flip(input: Any, dims: tuple) -> Any:
    return np.flip(input, dims).copy()


_flip.gradients(input=lambda g, dims: _flip(g, dims))


@method("flip")
def flip(input: Any, *dims: Any) -> Any:
    """In reverse order along `dims`; a copy.

    >>> import minigen
    >>> minigen.flip(minigen.tensor([[1, 2], [3, 4]]), [1])
    tensor([[2, 1],
            [4, 3]])
    """
    return _flip(input, wrap_dims(integers(dims), len(input.shape)) if len(input.shape) else ())


@method("fliplr")
def fliplr(input: Any) -> Any:
    """Columns in reverse order."""
    return flip(input, 1)


@method("flipud")
def flipud(input: Any) -> Any:
    """Rows in reverse order."""
    return flip(input, 0)


@differentiable
def _roll(input: Any, shifts: tuple, dims: Any) -> Any:
    return np.roll(input, shifts, dims)


_roll.gradients(input=lambda g, shifts, dims: _roll(g, tuple(-n for n in shifts), dims))


@method("roll")
def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Shifted along `dims`, what leaves at the end comes back at the start; flattened without dims.

    >>> import minigen
    >>> minigen.tensor([1, 2, 3]).roll(1)
    tensor([3, 1, 2])
    """
    steps = integers((shifts,)) if isinstance(shifts, tuple | list) else (int(shifts),)
    if dims is None or dims == ():
        if len(steps) != 1:
            raise ShapeError(f"roll: {len(steps)} shifts need as many dims")
        return reshape(_roll(reshape(input, (-1,)), steps, (0,)), tuple(input.shape))
    given = dims if isinstance(dims, tuple | list) else (dims,)
    axes = tuple(wrap_dim(d, len(input.shape)) for d in given)
    if len(axes) != len(steps):
        raise ShapeError(f"roll: {len(steps)} shifts for {len(axes)} dims")
    return _roll(input, steps, axes)


@method("rot90")
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """Rotated k times by 90 degrees in the plane of two dimensions, from the first to the second.

    >>> import minigen
    >>> minigen.rot90(minigen.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    axes = wrap_dims(tuple(dims), len(input.shape))
    if len(axes) != 2:
        raise ShapeError(f"rot90: expects two dims, got {tuple(dims)}")
    k %= 4
    if k == 2:
        return flip(input, axes)
    if k == 1:
        return flip(transpose(input, *axes), axes[0])
    return flip(transpose(input, *axes), axes[1]) if k == 3 else input.clone()


# ------------------------------------------------------------------- triangles and diagonals


def _at_least_matrix(name: str, input: Any) -> None:
    if input.ndim < 2:
        raise ShapeError(f"{name}: expects at least 2 dimensions, got shape {input.shape}")


@method("tril")
@differentiable
def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangles of matrices: zero above the k-th diagonal, k = `diagonal`.

    >>> import minigen
    >>> minigen.ones(2, 3).tril()
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
    """
    _at_least_matrix("tril", input)
    return np.tril(input, diagonal)


@method("triu")
@differentiable
def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangles of matrices: zero below the k-th diagonal, k = `diagonal`."""
    _at_least_matrix("triu", input)
    return np.triu(input, diagonal)


tril.gradients(input=lambda g, diagonal: tril(g, diagonal))
triu.gradients(input=lambda g, diagonal: triu(g, diagonal))


@method("diag_embed")
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The vectors in the last dimension as diagonals of square matrices in dim1 and dim2.

    >>> import minigen
    >>> minigen.diag_embed(minigen.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    lead, size = tuple(input.shape[:-1]), input.shape[-1] + abs(offset)
    ndim = len(lead) + 2
    first, second = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if first == second:
        raise ShapeError(f"diag_embed: dim1 and dim2 are the same dimension, {first}")
    rest = iter(lead)
    shape = tuple(size if i in (first, second) else next(rest) for i in range(ndim))
    return place_diagonal(input, shape, offset, first, second)


@method("diag")
def diag(input: Any, diagonal: int = 0) -> Any:
    """The matrix with a vector as its diagonal, or a copy of the diagonal of a matrix.

    >>> import minigen
    >>> minigen.diag(minigen.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    if len(input.shape) == 1:
        return diag_embed(input, diagonal)
    if len(input.shape) != 2:
        raise ShapeError(f"diag: expects 1 or 2 dimensions, got shape {tuple(input.shape)}")
    return main_diagonals(input, diagonal, 0, 1).clone()


# ------------------------------------------------------------------------------------ windows


@differentiable(view=True)
def _windows(input: Any, dimension: int, size: int, step: int) -> Any:
    count = (input.shape[dimension] - size) // step + 1
    shape = (*input.shape[:dimension], count, *input.shape[dimension + 1 :], size)
    stride = input.strides[dimension]
    strides = list(input.strides)
    strides[dimension] = stride * step
    tricks = backend.array_module(input).lib.stride_tricks
    return tricks.as_strided(input, shape, (*strides, stride))


@differentiable
def _overlap(windows: Any, shape: tuple, dimension: int, size: int, step: int) -> Any:
    """Zeros of `shape` with all windows added where they came from."""
    output = np.zeros_like(windows, shape=shape)
    count = windows.shape[dimension]
    for offset in range(size):
        stop = offset + step * (count - 1) + 1
        output[(slice(None),) * dimension + (slice(offset, stop, step),)] += windows[..., offset]
    return output


_windows.gradients(
    input=lambda g, input_shape, dimension, size, step: _overlap(
        g, input_shape, dimension, size, step
    )
)
_overlap.gradients(windows=lambda g, dimension, size, step: _windows(g, dimension, size, step))


@method("unfold")
def _unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """All windows of `size` elements along a dimension, `step` apart; a view with the windows'
    elements in a new last dimension.

    >>> import minigen
    >>> minigen.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    dim = wrap_dim(dimension, len(input.shape))
    extent = input.shape[dim] if len(input.shape) else 1
    if not 0 <= size <= extent or step < 1:
        raise ShapeError(
            f"unfold: windows of {size}, {step} apart, do not fit into dim {dim} of size {extent}"
        )
    if not len(input.shape):
        return narrow(reshape(input, (1,)), 0, 0, size)
    return _windows(input, dim, size, step)
