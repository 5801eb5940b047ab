"""Writing where a mask is true, or at the places of any index, into a copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen.autograd import differentiable
from minigen.errors import ShapeError, describe
from minigen.ops.accumulate import add_at_places
from minigen.ops.indexing import index_array, pick, read_index
from minigen.tensor import Tensor, method

__all__ = ["index_put", "masked_fill", "masked_scatter"]


@differentiable
def fill_where(input: Any, mask: Any, value: Any) -> Any:
    """`masked_fill` for gradient rules, where input and mask may be bare arrays."""
    kind = input.dtype
    value = value.astype(kind) if hasattr(value, "astype") else kind.type(value)
    return np.where(mask, value, input)


fill_where.gradients(
    input=lambda g, mask: fill_where(g, mask, 0),
    value=lambda g, mask: fill_where(g, ~mask, 0),
)


@method("masked_fill")
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """A copy of input with a number (or 0-d tensor) where the mask, broadcast against it, is true.

    Raises TypeError if the mask is not boolean.

    >>> import minigen
    >>> x = minigen.tensor([1.0, -2.0, 3.0])
    >>> x.masked_fill(x < 0, 7.0)
    tensor([1., 7., 3.])
    """
    if mask.array.dtype != bool:
        raise TypeError(f"masked_fill: expects a boolean mask, got {mask.dtype}")
    if isinstance(value, Tensor) and value.array.ndim:
        raise ShapeError(f"masked_fill: expects a number or a 0-d tensor, got {describe(value)}")
    return fill_where(input, mask, value)


@method("masked_scatter")
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """A copy of input whose elements where the mask is true are taken, in order, from source.

    >>> import minigen
    >>> mask = minigen.tensor([True, False, True])
    >>> minigen.zeros(3).masked_scatter(mask, minigen.tensor([5.0, 6.0]))
    tensor([5., 0., 6.])
    """
    if mask.array.dtype != bool:
        raise TypeError(f"masked_scatter: expects a boolean mask, got {mask.dtype}")
    if source.dtype != input.dtype:
        raise TypeError(f"masked_scatter: expects source of {input.dtype}, got {source.dtype}")
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    mask = mask.expand(shape)
    count = int(mask.array.sum())
    if source.array.size < count:
        raise ShapeError(
            f"masked_scatter: {count} elements are asked for, {describe(source)} has less"
        )
    return index_put(input.expand(shape), (mask,), source.reshape(-1)[:count])


@differentiable
def _put(input: Any, values: Any, places: tuple, accumulate: bool) -> Any:
    output = input.copy()
    if not accumulate:
        output[places] = values
        return output
    shape = output[places].shape
    if not hasattr(values, "dtype"):
        values = np.full_like(input, values, shape=())
    values = np.broadcast_to(values, shape)
    return output + add_at_places(values, input.shape, places)


_put.gradients(
    input=lambda g, places, accumulate: g if accumulate else _put(g, 0, places, False),
    values=lambda g, places: pick(g, places),
)


@method("index_put")
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy of input with `copy[indices] = values`, or `+=` that counts repeated places each time.

    indices: a tuple of integer or boolean tensors (None for a whole dimension); values broadcast.

    >>> import minigen
    >>> i = (minigen.tensor([0, 2, 0]),)
    >>> minigen.zeros(3).index_put(i, minigen.tensor(1.0), accumulate=True)
    tensor([2., 0., 1.])
    """
    if isinstance(values, Tensor) and values.dtype != input.dtype:
        raise TypeError(f"index_put: expects values of {input.dtype}, as input, got {values.dtype}")
    whole = tuple(slice(None) if index is None else index for index in indices)
    return _put(input, values, read_index("index_put", whole, input), accumulate)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """A 1 at the place of each class, 0 elsewhere: (...) -> (..., num_classes), int64.

    num_classes: -1 for one more than the largest class.  Raises ShapeError for a class outside, on
    the CPU.

    >>> import minigen
    >>> one_hot(minigen.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    classes = index_array("one_hot", tensor)
    if classes.dtype != np.int64:
        raise TypeError(f"one_hot: expects int64 classes, got {classes.dtype}")
    if num_classes == -1:
        if not classes.size:
            raise ShapeError("one_hot: num_classes must be given for an empty tensor")
        num_classes = int(classes.max()) + 1
    if num_classes < 1:
        raise ShapeError(f"one_hot: num_classes must be positive, got {num_classes}")
    here = isinstance(classes, np.ndarray)  # a GPU would be waited for
    if here and classes.size and (classes.min() < 0 or classes.max() >= num_classes):
        wrong = classes.min() if classes.min() < 0 else classes.max()
        raise ShapeError(f"one_hot: class {wrong} is not one of the {num_classes} classes")
    return _encode(tensor, num_classes)


@differentiable
def _encode(tensor: Any, num_classes: int) -> Any:
    output = np.zeros_like(tensor, shape=(*tensor.shape, num_classes))
    np.put_along_axis(output, tensor[..., None], 1, -1)
    return output
