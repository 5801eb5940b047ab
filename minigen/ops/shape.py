"""Other shapes for the same elements: views, which share memory with their base as in PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.errors import ShapeError
from minigen.ops.dims import integers, wrap_dim, wrap_dims
from minigen.tensor import Tensor, method

__all__ = [
    "adjoint",
    "broadcast_tensors",
    "broadcast_to",
    "diagonal",
    "flatten",
    "moveaxis",
    "movedim",
    "permute",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
]

# ------------------------------------------------------------------------------------ reshape


@differentiable(view=True)
def _reshape(input: Any, shape: tuple) -> Any:
    if any(n < -1 for n in shape):
        raise ShapeError(f"reshape: invalid shape {shape}: only one size may be -1, none less")
    return input.reshape(shape)


@differentiable(view=True)
def _view(input: Any, shape: tuple) -> Any:
    output = _reshape(input, shape)
    if input.size and not np.may_share_memory(input, output):
        raise ShapeError(
            f"view: no view of shape {shape} exists of memory with shape {input.shape} and strides "
            f"{tuple(s // input.itemsize for s in input.strides)}; use reshape(), which copies then"
        )
    return output


_reshape.gradients(input=lambda g, input_shape: _reshape(g, input_shape))
_view.gradients(input=lambda g, input_shape: _reshape(g, input_shape))


@method("reshape")
def reshape(input: Any, *shape: Any) -> Any:
    """The same elements in row-major order in another shape; one size may be -1, "what is left".

    A view where the strides allow it, a copy otherwise.  Raises ShapeError if the sizes do not fit.

    >>> import minigen
    >>> minigen.reshape(minigen.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return _reshape(input, integers(shape))


@method("view")
def _view_method(input: Any, *shape: Any) -> Any:
    """As `reshape`, but always a view: raises ShapeError where that needs a copy."""
    return _view(input, integers(shape))


@method("view_as")
def _view_as(input: Any, other: Any) -> Any:
    """A view of the shape of `other`."""
    return _view(input, tuple(other.shape))


@method("reshape_as")
def _reshape_as(input: Any, other: Any) -> Any:
    """Reshaped to the shape of `other`."""
    return _reshape(input, tuple(other.shape))


@method("flatten")
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dimensions from `start_dim` through `end_dim` as one; a 0-d tensor becomes 1-d.

    (..., a, b, c, ...) -> (..., a b c, ...)

    >>> import minigen
    >>> minigen.zeros(2, 3, 4).flatten(1).shape
    minigen.Size([2, 12])
    """
    shape = tuple(input.shape)
    start, end = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if start > end:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    merged = math.prod(shape[start : end + 1])
    return _reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


@method("ravel")
def ravel(input: Any) -> Any:
    """All elements in row-major order, 1-d; a view where possible."""
    return _reshape(input, (-1,)) if math.prod(input.shape) else _reshape(input, (0,))


@method("unflatten")
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """One dimension as several, of the given sizes, one of which may be -1.

    >>> import minigen
    >>> minigen.zeros(2, 12).unflatten(1, (3, -1)).shape
    minigen.Size([2, 3, 4])
    """
    shape = tuple(input.shape)
    dim, sizes = wrap_dim(dim, len(shape)), integers((sizes,))
    known = math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1 or (known != shape[dim] if -1 not in sizes else shape[dim] % known):
        raise ShapeError(
            f"unflatten: sizes {sizes} do not multiply to {shape[dim]}, dimension {dim}"
        )
    return _reshape(input, (*shape[:dim], *sizes, *shape[dim + 1 :]))


@method("squeeze")
def squeeze(input: Any, dim: Any = None) -> Any:
    """Without the dimensions of size 1: all of them, or those named in `dim`.

    >>> import minigen
    >>> minigen.zeros(1, 3, 1).squeeze(0).shape
    minigen.Size([3, 1])
    """
    shape = tuple(input.shape)
    dims = wrap_dims(dim, len(shape))
    return _reshape(input, tuple(n for i, n in enumerate(shape) if n != 1 or i not in dims))


@method("unsqueeze")
def unsqueeze(input: Any, dim: int) -> Any:
    """With a dimension of size 1 put in at `dim`.

    >>> import minigen
    >>> minigen.zeros(3).unsqueeze(-1).shape
    minigen.Size([3, 1])
    """
    shape = tuple(input.shape)
    dim = wrap_dim(dim, len(shape) + 1)
    return _reshape(input, (*shape[:dim], 1, *shape[dim:]))


# ------------------------------------------------------------------- the order of dimensions


@method("transpose", "swapaxes", "swapdims")
@differentiable(view=True)
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions swapped, as a view.

    >>> import minigen
    >>> minigen.zeros(2, 3, 4).transpose(0, -1).shape
    minigen.Size([4, 3, 2])
    """
    n = input.ndim
    if not (-n <= dim0 < n and -n <= dim1 < n):
        dim0, dim1 = wrap_dim(dim0, n), wrap_dim(dim1, n)
    return input.swapaxes(dim0, dim1) if n else input[...]


transpose.gradients(input=lambda g, dim0, dim1: transpose(g, dim0, dim1))
swapaxes = swapdims = transpose


@differentiable(view=True)
def _permute(input: Any, dims: tuple) -> Any:
    return input.transpose(dims)


_permute.gradients(
    input=lambda g, dims: _permute(g, tuple(dims.index(i) for i in range(len(dims))))
)


@method("permute")
def permute(input: Any, *dims: Any) -> Any:
    """All dimensions in the order `dims`, as a view.

    >>> import minigen
    >>> minigen.zeros(2, 3, 4).permute(2, 0, 1).shape
    minigen.Size([4, 2, 3])
    """
    order = wrap_dims(integers(dims), len(input.shape))
    if len(order) != len(input.shape):
        raise ShapeError(
            f"permute: dims {order} do not name each of the {len(input.shape)} dimensions once"
        )
    return _permute(input, order)


@method("movedim", "moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """The dimensions `source` moved to the places `destination`, the others keep their order.

    >>> import minigen
    >>> minigen.zeros(2, 3, 4).movedim(0, -1).shape
    minigen.Size([3, 4, 2])
    """
    ndim = len(input.shape)
    origin, target = wrap_dims(source, ndim), wrap_dims(destination, ndim)
    if len(origin) != len(target):
        raise ShapeError(f"movedim: {len(origin)} dimensions cannot go to {len(target)} places")
    rest = iter(i for i in range(ndim) if i not in origin)
    placed = dict(zip(target, origin))
    return _permute(input, tuple(placed[i] if i in placed else next(rest) for i in range(ndim)))


moveaxis = movedim


@method("t")
def t(input: Any) -> Any:
    """The transpose of a matrix; vectors and single numbers as they are."""
    if len(input.shape) > 2:
        raise ShapeError(f"t: expects at most 2 dimensions, got {len(input.shape)}; use mT")
    return transpose(input, 0, -1)


@method("adjoint")
def adjoint(input: Any) -> Any:
    """`x.mT`: every matrix in the last two dimensions transposed."""
    if len(input.shape) < 2:
        raise ShapeError(f"mT: needs at least 2 dimensions, got shape {tuple(input.shape)}")
    return transpose(input, -2, -1)


def _reversed(input: Tensor) -> Tensor:
    return _permute(input, tuple(reversed(range(input.ndim))))


Tensor.mT = property(adjoint, doc="Every matrix in the last two dimensions transposed.")  # type: ignore[attr-defined]
Tensor.T = property(_reversed, doc="All dimensions in reverse order.")  # type: ignore[attr-defined]

# ---------------------------------------------------------------------------------- expansion


@differentiable(view=True)
def _expand(input: Any, sizes: tuple) -> Any:
    if input.size and math.prod(sizes) == input.size:  # nothing is stretched: it stays writable
        return input.reshape(sizes)
    return np.broadcast_to(input, sizes)


_expand.gradients(input=lambda g: g)  # the engine sums over what was stretched


@method("expand")
def expand(input: Any, *sizes: Any) -> Any:
    """Dimensions of size 1, and new ones in front, stretched without copying; -1 keeps a size.

    What was stretched is read-only, since its elements share places.  Raises ShapeError where a
    dimension of another size than 1 would have to change.

    >>> import minigen
    >>> minigen.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    shape, wanted = tuple(input.shape), integers(sizes)
    lead = len(wanted) - len(shape)
    known = (*(-1,) * lead, *shape)
    full = tuple(k if n == -1 else n for n, k in zip(wanted, known))
    if lead < 0 or any(n < 0 or (k not in (1, -1) and k != n) for n, k in zip(full, known)):
        raise ShapeError(
            f"expand: shape {shape} does not stretch to {wanted}; only dimensions of size 1 and "
            "new ones in front can change"
        )
    return _expand(input, full)


def broadcast_to(input: Any, shape: Any) -> Any:
    """`expand` to the given shape."""
    return expand(input, shape)


@method("expand_as")
def _expand_as(input: Any, other: Any) -> Any:
    """Expanded to the shape of `other`."""
    return expand(input, tuple(other.shape))


method("broadcast_to")(broadcast_to)


def broadcast_tensors(*tensors: Any) -> tuple:
    """Views of all tensors in the shape they broadcast to."""
    shape = np.broadcast_shapes(*(tuple(each.shape) for each in tensors))
    return tuple(_expand(each, shape) for each in tensors)


# ----------------------------------------------------------------------------------- diagonal


def _writable(view: Any, base: Any) -> Any:
    """NumPy hands out diagonals read-only; as a view of a tensor they can be written."""
    if isinstance(view, np.ndarray) and base.flags.writeable:
        view.flags.writeable = True
    return view


@method("diagonal")
@differentiable(view=True)
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonals of the matrices in dim1 and dim2, as the last dimension of a view.

    offset: 0 the main diagonal, k > 0 the k-th above it, k < 0 below.

    >>> import minigen
    >>> minigen.arange(6).reshape(2, 3).diagonal(1)
    tensor([1, 5])
    """
    dim1, dim2 = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    if dim1 == dim2:
        raise ShapeError(f"diagonal: dim1 and dim2 are the same dimension, {dim1}")
    return _writable(input.diagonal(offset, dim1, dim2), input)


@differentiable
def place_diagonal(diagonals: Any, shape: tuple, offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of `shape` with these diagonals."""
    output = np.zeros_like(diagonals, shape=shape)
    diagonal(output, offset, dim1, dim2)[...] = diagonals
    return output


diagonal.gradients(
    input=lambda g, input_shape, offset, dim1, dim2: place_diagonal(
        g, input_shape, offset, dim1, dim2
    )
)
place_diagonal.gradients(diagonals=lambda g, offset, dim1, dim2: diagonal(g, offset, dim1, dim2))
