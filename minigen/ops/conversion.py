"""From tensors to Python and NumPy: `x.item()`, `x.numpy()`, `float(x)`, `for row in x`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import INFERENCE_VERSION, wrap
from minigen.tensor import Tensor, method

__all__: list[str] = []


@method("numpy")
def numpy(self: Tensor, *, force: bool = False) -> Any:
    """The NumPy array that shares this tensor's memory.

    Raises RuntimeError if the tensor requires grad, TypeError if it is on a GPU, unless `force`.

    >>> import minigen
    >>> minigen.ones(2).numpy()
    array([1., 1.], dtype=float32)
    """
    if not force and self.requires_grad:
        raise RuntimeError("numpy(): the tensor requires grad; use x.detach().numpy()")
    if not force and self.device.type != "cpu":
        raise TypeError("numpy(): the tensor is on a GPU; use x.cpu().numpy()")
    return backend.to_device(self.array, backend.CPU)


@method("__array__")
def to_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """What `np.asarray(x)` gives."""
    array = self.numpy()
    return np.array(array, dtype=dtype, copy=copy) if dtype is not None or copy else array


@method("item")
def item(self: Tensor) -> Any:
    """The value of a tensor with one element, as a Python number."""
    if self.array.size != 1:
        raise RuntimeError(
            f"item(): only one element can become a number, this has {self.array.size}"
        )
    return self.array.item()


@method("tolist")
def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers; a number for a 0-d tensor."""
    return self.array.tolist()


@method("__float__")
def to_float(self: Tensor) -> float:
    return float(item(self))


@method("__int__")
def to_int(self: Tensor) -> int:
    return int(item(self))


@method("__index__")
def to_index(self: Tensor) -> int:
    """Lets an integer tensor of one element index lists and count in `range`."""
    if self.array.dtype.kind == "f":
        raise TypeError("only integer tensors of one element can be used as an index")
    return int(item(self))


@method("__bool__")
def to_bool(self: Tensor) -> bool:
    if self.array.size != 1:
        raise RuntimeError(
            f"the truth of a tensor with {self.array.size} values is ambiguous; use any() or all()"
        )
    return bool(self.array.item())


@method("__len__")
def length(self: Tensor) -> int:
    if self.array.ndim == 0:
        raise TypeError("len() of a 0-d tensor")
    return self.array.shape[0]


@method("__iter__")
def iterate(self: Tensor) -> Iterator[Tensor]:
    if self.array.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


@method("__contains__")
def contains(self: Tensor, value: Any) -> bool:
    return bool((self.array == (value.array if isinstance(value, Tensor) else value)).any())


@method("is_inference")
def is_inference(self: Tensor) -> bool:
    """Whether the tensor was made in `inference_mode`."""
    return self._version is INFERENCE_VERSION


@method("element_size")
def element_size(self: Tensor) -> int:
    """Bytes of one element."""
    return self.array.itemsize


@method("stride")
def stride(self: Tensor, dim: int | None = None) -> Any:
    """Elements (not bytes) between neighbours along each dimension, or along one."""
    strides = tuple(s // self.array.itemsize for s in self.array.strides)
    return strides if dim is None else strides[dim]


@method("is_contiguous")
def is_contiguous(self: Tensor) -> bool:
    return bool(self.array.flags.c_contiguous)


@method("data_ptr")
def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    return int(self.array.__array_interface__["data"][0])


@method("is_floating_point")
def is_floating_point(self: Tensor) -> bool:
    return self.array.dtype.kind == "f"


@method("__format__")
def to_text(self: Tensor, spec: str) -> str:
    """`f"{x:.3f}"` for a 0-d tensor; any other prints as it does."""
    if self.array.ndim == 0 and spec:
        return format(self.array.item(), spec)
    return format(str(self), spec)


@method("__deepcopy__")
def deepcopy(self: Tensor, memo: dict) -> Tensor:
    if self.node is not None:
        raise RuntimeError("only leaves can be deep-copied; detach() first")
    copy = memo[id(self)] = type(self)._of(wrap(self.array.copy()))
    copy._requires_grad = self._requires_grad
    if self.grad is not None:
        copy.grad = wrap(self.grad.array.copy())
    return copy


@method("__reduce_ex__")
def refuse_pickling(self: Tensor, protocol: Any) -> Any:
    raise TypeError(
        "tensors are not pickled: a pickle can run any code when it is opened. "
        "Use minigen.save_file / load_file (safetensors), or x.numpy()"
    )
