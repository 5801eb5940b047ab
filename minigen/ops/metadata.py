"""What a tensor is, under all the names that PyTorch has for it."""

from __future__ import annotations

from typing import Any

from minigen.ops.conversion import is_floating_point, is_inference
from minigen.ops.creation import empty
from minigen.size import Size
from minigen.tensor import Tensor, method

__all__ = [
    "detach", "is_complex", "is_floating_point", "is_inference", "is_nonzero", "is_same_size",
    "is_signed", "is_tensor", "numel",
]  # fmt: skip


def is_tensor(obj: Any) -> bool:
    """Whether something is a tensor.

    >>> import minigen
    >>> is_tensor(minigen.ones(1)), is_tensor(1.0)
    (True, False)
    """
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """The number of elements.

    >>> import minigen
    >>> numel(minigen.zeros(2, 3))
    6
    """
    return input.array.size


def detach(input: Tensor) -> Tensor:
    """The same memory, cut off from the graph; the method as a function."""
    return input.detach()


@method("is_complex")
def is_complex(input: Tensor) -> bool:
    """Whether the elements are complex numbers: never, minigen has none."""
    return False


@method("is_signed")
def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.array.dtype.kind in "fi"


@method("is_nonzero")
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero.  Raises RuntimeError unless there is just one."""
    if input.array.size != 1:
        raise RuntimeError(f"is_nonzero: expects a single element, got {input.array.size}")
    return bool(input.array.item())


@method("is_same_size")
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.array.shape == other.array.shape


@method("nelement")
def _nelement(self: Tensor) -> int:
    """The number of elements."""
    return self.array.size


@method("ndimension")
def _ndimension(self: Tensor) -> int:
    """The number of dimensions."""
    return self.array.ndim


@method("get_device")
def _get_device(self: Tensor) -> int:
    """The number of the GPU that holds the tensor, -1 on the CPU."""
    return (self.device.index or 0) if self.is_cuda else -1


@method("new")
def _new(self: Tensor, *data: Any) -> Tensor:
    """A tensor of this dtype and device: new(2, 3) and new(x.size()) unfilled, new([1, 2]) a copy.

    >>> import minigen
    >>> minigen.zeros(1).double().new([1, 2])
    tensor([1., 2.], dtype=minigen.float64)
    """
    sizes = data[0] if len(data) == 1 and isinstance(data[0], Size) else data
    if all(isinstance(n, int) for n in sizes):
        return empty(tuple(sizes) or (0,), dtype=self.dtype, device=self.device)
    if len(data) > 1:
        raise TypeError("new: expects sizes, or one sequence or tensor")
    return self.new_tensor(data[0])


def _constant(name: str, value: Any, meaning: str) -> None:
    setattr(Tensor, name, property(lambda self: value, doc=meaning))


_constant("is_sparse", False, "Whether most elements are left out: never, minigen has no such.")
_constant("is_xpu", False, "Whether the tensor is on such an accelerator: never.")
_constant("is_mps", False, "Whether the tensor is on such an accelerator: never.")
_constant("is_quantized", False, "Whether the elements are quantized: never.")
Tensor.is_cpu = property(lambda self: not self.is_cuda, doc="Whether it is on the CPU.")  # type: ignore[attr-defined]
Tensor.itemsize = property(lambda self: self.array.itemsize, doc="Bytes of one element.")  # type: ignore[attr-defined]
Tensor.nbytes = property(lambda self: self.array.nbytes, doc="Bytes of all elements.")  # type: ignore[attr-defined]
