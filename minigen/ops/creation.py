"""Making tensors from data, or filled with one number.

Sequences and grids are in `ranges.py`, random numbers in `random.py`.
All take `dtype=`, `device=` and `requires_grad=` as in PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import Variable, wrap
from minigen.backend import silent
from minigen.dtypes import as_dtype, combine, get_default_dtype
from minigen.errors import ShapeError
from minigen.tensor import Tensor, method

__all__ = [
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "from_numpy",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def finish(array: Any, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A leaf around the array, on that device."""
    if device is not None:
        array = backend.to_device(array, backend.device(device))
    result = wrap(array)
    return result.requires_grad_() if requires_grad else result


def shape_of(name: str, args: tuple, size: Any = None) -> tuple[int, ...]:
    """The shape that `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))` asks for, checked."""
    size = args if size is None else (size,)
    if not size:
        raise TypeError(f"{name}: missing the size; {name}(()) makes a 0-d tensor")
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    try:
        shape = tuple(n.__index__() for n in size)
    except (AttributeError, TypeError):
        raise TypeError(f"{name}: the size must be integers, got {size!r}") from None
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: a size cannot be negative, got {shape}")
    return shape


# ----------------------------------------------------------------------------------- from data

_PLAIN = {bool, int, float}


def _kinds(data: Any, name: str) -> set:
    """The kinds of number in nested sequences: Python types, and dtypes of arrays."""
    if type(data) in _PLAIN:
        return {type(data)}
    if isinstance(data, Variable):
        if data.array.size != 1:
            raise ShapeError(f"{name}: join tensors with minigen.stack, not in a list")
        return {data.array.dtype}
    if isinstance(data, int | float) and not isinstance(data, np.generic):
        return {float if isinstance(data, float) else int}
    if hasattr(data, "__array__"):
        return {np.asarray(data).dtype}
    if isinstance(data, str | bytes) or not isinstance(data, Sequence):
        raise TypeError(f"{name}: cannot make a tensor of {type(data).__name__} {data!r}")
    kinds = set(map(type, data))
    return kinds if kinds <= _PLAIN else set().union(*(_kinds(item, name) for item in data))


def _common(kinds: set) -> np.dtype:
    """The dtype for numbers of these kinds: Python's own give int64, bool, the default dtype."""
    default = get_default_dtype()
    found = [(default if kind is float else as_dtype(kind)).numpy for kind in kinds]
    return functools.reduce(combine, found) if found else default.numpy


def _items(data: Any) -> Any:
    """The same nested sequences with a number in place of each tensor."""
    if isinstance(data, Variable):
        return data.array.item()
    if isinstance(data, Sequence):
        return [_items(item) for item in data]
    return data


def _ragged(data: Any, depth: int = 1) -> str:
    """Where nested sequences differ in length, in words."""

    def describe(item: Any) -> str:
        if isinstance(item, Sequence) or bool(getattr(item, "ndim", False)):
            return f"a sequence of length {len(item)}"
        return "a number"

    found = [describe(item) for item in data]
    for i, each in enumerate(found):
        if each != found[0]:
            return f"expected {found[0]} at dim {depth}, as in row 0, but row {i} has {each}"
    deeper = (_ragged(row, depth + 1) for row in data if isinstance(row, Sequence))
    return next((text for text in deeper if text), "")


def _from_sequences(data: Any, dtype: np.dtype | None, name: str) -> np.ndarray:
    kinds = _kinds(data, name)
    common = _common(kinds)
    wide = {"b": bool, "f": np.float64}.get(common.kind, np.int64)
    try:
        array = np.array(data if kinds <= _PLAIN else _items(data), wide)
    except OverflowError:
        raise ShapeError(f"{name}: an integer is too large for int64") from None
    except (ValueError, TypeError) as error:
        raise ShapeError(f"{name}: the lists are ragged: {_ragged(data) or error}") from None
    chosen = common if dtype is None else dtype
    _check_fits(array, chosen, name)
    return silent().run(array.astype, chosen)


def _check_fits(numbers: np.ndarray, dtype: np.dtype, name: str) -> None:
    """Raise RuntimeError if a number cannot be one of these integers (-1 may be 255, as in C)."""
    if dtype.kind not in "iu" or numbers.dtype.kind == "b" or not numbers.size:
        return
    limits = np.iinfo(dtype)
    low, high = numbers.min(), numbers.max()  # NaN if there is one
    if not (low >= (limits.min or -limits.max) and high <= limits.max):
        raise ShapeError(f"{name}: a number between {low} and {high} does not fit into {dtype}")


def _convert(data: Any, dtype: Any, name: str, copy: bool) -> Any:
    chosen = None if dtype is None else as_dtype(dtype).numpy
    if isinstance(data, Variable):
        array = data.array
    elif hasattr(data, "__cuda_array_interface__"):
        array = data
    elif hasattr(data, "__array__"):
        array = np.asarray(data)
    else:
        return _from_sequences(data, chosen, name)
    own = as_dtype(array.dtype).numpy
    return silent().run(array.astype, own if chosen is None else chosen, copy=copy)


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of the data: numbers, nested sequences, arrays, tensors.

    Python floats give the default dtype (float32), ints int64, bools bool; arrays keep theirs.
    Raises ValueError for ragged lists, TypeError for what is not numbers (or complex).

    >>> tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> tensor([1, 2.5], requires_grad=True)
    tensor([1.0000, 2.5000], requires_grad=True)
    """
    return finish(_convert(data, dtype, "tensor", copy=True), device, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """As `tensor`, but without a copy where the data is a tensor or an array that will do.

    >>> x = tensor([1.0])
    >>> as_tensor(x) is x
    True
    """
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return finish(_convert(data, dtype, "as_tensor", copy=False), device)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of `obj`, which shares its memory if that is possible and `copy` is not True.

    Raises RuntimeError if `copy` is False and a copy is needed.
    """
    if copy:
        return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    result = as_tensor(obj, dtype, device)
    memory = obj.array if isinstance(obj, Tensor) else obj
    if copy is False and not (
        isinstance(memory, np.ndarray) and np.shares_memory(memory, result.array)
    ):
        raise ShapeError("asarray: this data cannot be had without a copy")
    return result.detach().requires_grad_() if requires_grad else result


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor that shares the array's memory: a change in one shows in the other.

    >>> array = np.zeros(2)
    >>> x = from_numpy(array)
    >>> array[0] = 7
    >>> x
    tensor([7., 0.], dtype=minigen.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expects a NumPy array, got {type(ndarray).__name__}")
    if as_dtype(ndarray.dtype).numpy != ndarray.dtype:
        raise ShapeError("from_numpy: the bytes of this array are not in this machine's order")
    return wrap(np.asarray(ndarray))


# ------------------------------------------------------------------------------------- filled


def _dtype(dtype: Any) -> np.dtype:
    return (get_default_dtype() if dtype is None else as_dtype(dtype)).numpy


def zeros(
    *args: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros: `zeros(2, 3)` or `zeros((2, 3))`.

    >>> zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return finish(np.zeros(shape_of("zeros", args, size), _dtype(dtype)), device, requires_grad)


def ones(
    *args: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones: `ones(2, 3)` or `ones((2, 3))`.

    >>> ones(2, dtype=int)
    tensor([1, 1])
    """
    return finish(np.ones(shape_of("ones", args, size), _dtype(dtype)), device, requires_grad)


def empty(
    *args: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Memory as it was found: write before you read."""
    return finish(np.empty(shape_of("empty", args, size), _dtype(dtype)), device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number everywhere; it decides the dtype: bool, int64 or the default one.

    >>> full((2,), 7)
    tensor([7, 7])
    """
    if not isinstance(size, tuple | list):
        raise TypeError(f"full: the size must be a tuple of integers, got {size!r}")
    number = scalar("full", fill_value)
    chosen = _common({type(number)}) if dtype is None else as_dtype(dtype).numpy
    _check_fits(np.asarray(number), chosen, "full")
    array = np.empty(shape_of("full", (size,)), chosen)
    silent().run(array.fill, number)
    return finish(array, device, requires_grad)


def scalar(name: str, value: Any) -> Any:
    """A Python number, also of a 0-d tensor or array."""
    value = getattr(value, "array", value)
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if not isinstance(value, int | float):
        raise TypeError(f"{name}: expects a number, got {value!r}")
    return value


def _like(name: str, make: Callable, input: Any, dtype: Any, device: Any, grad: bool) -> Tensor:
    if not isinstance(input, Variable):
        raise TypeError(f"{name}: expects a tensor, got {type(input).__name__}")
    array = make(input.array, dtype=None if dtype is None else as_dtype(dtype).numpy)
    return finish(array, device, grad)


def zeros_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the shape, dtype and device of `input`."""
    return _like("zeros_like", np.zeros_like, input, dtype, device, requires_grad)


def ones_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the shape, dtype and device of `input`."""
    return _like("ones_like", np.ones_like, input, dtype, device, requires_grad)


def empty_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uninitialised memory of the shape, dtype and device of `input`."""
    return _like("empty_like", np.empty_like, input, dtype, device, requires_grad)


def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number everywhere, in the shape, dtype and device of `input`."""
    result = empty_like(input, dtype=dtype, device=device)
    number = scalar("full_like", fill_value)
    _check_fits(np.asarray(number), result.array.dtype, "full_like")
    silent().run(result.array.fill, number)
    return result.requires_grad_() if requires_grad else result


def _new(name: str, function: Callable) -> None:
    def new(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> Any:
        dtype = self.dtype if dtype is None else dtype
        return function(*args, dtype=dtype, device=device or self.device, **kwargs)

    new.__name__ = name
    new.__doc__ = f"`minigen.{function.__name__}` in the dtype and on the device of this tensor."
    method(name)(new)


for _function in (zeros, ones, empty, full, tensor):
    _new("new_" + _function.__name__, _function)
