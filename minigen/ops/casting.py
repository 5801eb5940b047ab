"""The same values in another dtype, on another device, in other memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend, dtypes
from minigen.autograd import Variable, differentiable
from minigen.backend import silent
from minigen.dtypes import as_dtype
from minigen.tensor import Tensor, method

__all__ = ["clone", "promote_types", "result_type"]


@method("clone")
@differentiable
def clone(input: Any) -> Any:
    """A copy in new memory; gradients flow through it.

    >>> import minigen
    >>> x = minigen.tensor([1.0, 2.0])
    >>> y = minigen.clone(x)
    >>> y[0] = 7.0
    >>> x
    tensor([1., 2.])
    """
    return input.copy()


clone.gradients(input=lambda g: g)


@method("contiguous")
def contiguous(self: Tensor) -> Tensor:
    """The same values with the last dimension's elements side by side: itself, or a copy."""
    return self if self.array.flags.c_contiguous else clone(self)


@differentiable
def _to_copy(input: Any, dtype: np.dtype) -> Any:
    return silent().run(input.astype, dtype)


_to_copy.gradients(input=lambda g: g)  # the engine casts it back


@differentiable
def _to_whole(input: Any, dtype: np.dtype) -> Any:
    """To integers or booleans, where no gradient comes from."""
    return silent().run(input.astype, dtype)


def _cast(tensor: Tensor, dtype: np.dtype) -> Tensor:
    if tensor.array.dtype == dtype:
        return tensor
    return _to_copy(tensor, dtype) if dtype.kind == "f" else _to_whole(tensor, dtype)


@differentiable
def _to_device(input: Any, target: backend.device, source: backend.device) -> Any:
    return backend.to_device(input, target)


_to_device.gradients(input=lambda g, target, source: _to_device(g, source, target))


@method("to")
def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    copy: bool = False,
    non_blocking: bool = False,
) -> Tensor:
    """This tensor in that dtype and on that device: itself if it is so already (unless `copy`).

    `x.to(dtype)`, `x.to(device)`, `x.to(device, dtype)`, `x.to(other)` or by keyword.  Gradients
    flow through it between floating-point dtypes and between devices.

    >>> import minigen
    >>> minigen.tensor([1.5, 2.5]).to(minigen.int64)
    tensor([1, 2])
    """
    for given in args:
        if isinstance(given, Variable):
            dtype, device = given.array.dtype, backend.device_of(given.array)
        elif isinstance(given, str | backend.device):
            device = given
        elif isinstance(given, bool):
            raise TypeError("to: pass non_blocking and copy by keyword")
        elif given is not None:
            dtype = as_dtype(given)
    result = self if dtype is None else _cast(self, as_dtype(dtype).numpy)
    if device is not None:
        target, source = backend.device(device), backend.device_of(self.array)
        if target.type != source.type or target.index not in (None, source.index):
            result = _to_device(result, target, source)
    return clone(self) if copy and result is self else result


@method("cpu")
def cpu(self: Tensor) -> Tensor:
    """This tensor in the memory of the CPU."""
    return to(self, "cpu")


@method("cuda")
def cuda(self: Tensor, device: Any = None) -> Tensor:
    """This tensor in the memory of a GPU.  Raises RuntimeError where there is none."""
    if isinstance(device, int):
        device = backend.device("cuda", device)
    return to(self, "cuda" if device is None else device)


_NAMES = {
    "float": dtypes.float32,
    "double": dtypes.float64,
    "half": dtypes.float16,
    "long": dtypes.int64,
    "int": dtypes.int32,
    "short": dtypes.int16,
    "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool_,
}


def _caster(name: str, wanted: dtypes.dtype) -> None:
    def cast(self: Tensor) -> Tensor:
        return _cast(self, wanted.numpy)

    cast.__name__ = name
    cast.__doc__ = f"This tensor in {wanted.name}; itself if it is so already."
    method(name)(cast)


for _name, _wanted in _NAMES.items():
    _caster(_name, _wanted)


@method("type")
def type_(self: Tensor, dtype: Any = None) -> Any:
    """The tensor in that dtype, as `to`; without an argument the name of its type.

    >>> import minigen
    >>> minigen.ones(2).type()
    'minigen.FloatTensor'
    """
    if dtype is not None:
        return to(self, dtype=dtype)
    name = next(name for name, d in _NAMES.items() if d is self.dtype)
    where = "cuda." if self.is_cuda else ""
    return f"minigen.{where}{name.capitalize()}Tensor"


@method("type_as")
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype and on the device of the other."""
    return to(self, other)


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The dtype of a sum of the two, tensors or numbers.

    >>> import minigen
    >>> minigen.result_type(minigen.tensor([1, 2]), 2.5)
    minigen.float32
    """
    operands = (v.array if isinstance(v, Variable) else v for v in (tensor1, tensor2))
    return dtypes.DTYPES[dtypes.result_type(*operands)]


def promote_types(type1: Any, type2: Any) -> dtypes.dtype:
    """The smallest dtype of at least the size and kind of both.

    >>> import minigen
    >>> promote_types(minigen.int64, minigen.float16)
    minigen.float16
    """
    return dtypes.DTYPES[dtypes.combine(as_dtype(type1).numpy, as_dtype(type2).numpy)]
