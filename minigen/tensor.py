"""Tensor: an array, its gradient, operators and methods.

The mathematics is not here: `minigen.ops` attaches every operation that PyTorch offers as a method
or an operator (`x.exp()`, `x + y`) with `method`.  What stands here is what a tensor is: its
memory, dtype, device and shape, its conversions to Python and NumPy, its place in the graph.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minigen import autograd, backend, dtypes
from minigen.autograd import Node, Variable, wrap
from minigen.printing import format_tensor


class Size(tuple):
    """The shape of a tensor: a tuple of ints that can count its elements.

    >>> Size((2, 3)).numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        count = 1
        for n in self:
            count *= n
        return count

    def __repr__(self) -> str:
        return f"minigen.Size({list(self)})"


class RemovableHandle:
    """What registering a hook returns; `remove()` takes the hook off again."""

    def __init__(self, hooks: Any, hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        if isinstance(self._hooks, dict):
            self._hooks.pop(self._hook, None)
        elif self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Tensor(Variable):
    """An n-dimensional array that remembers how it was computed.

    Make one with `minigen.tensor`, `zeros`, `randn`, `from_numpy`, ...; `Tensor(2, 3)` and
    `Tensor([1, 2])` make float32 tensors, as in PyTorch.  `.array` is the NumPy (or CuPy) array
    itself.

    >>> import minigen
    >>> x = minigen.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y
    tensor(14., grad_fn=<SumBackward0>)
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()
    __array_priority__ = 1000  # ndarray + Tensor is left to Tensor.__radd__

    if TYPE_CHECKING:  # the methods that minigen.ops attaches

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

    def __new__(cls, *data: Any) -> Any:
        dtype = dtypes.get_default_dtype().numpy
        if data and all(isinstance(n, int) for n in data):
            array = np.empty(data, dtype)
        else:
            given = data[0] if data else []
            array = np.array(given.array if isinstance(given, Tensor) else given, dtype)
        self = wrap(array)
        return self if cls is Tensor else cls._of(self)

    def __init__(self, *data: Any) -> None:
        """Nothing is left to do: `__new__` has filled the slots."""

    @classmethod
    def _of(cls, tensor: Tensor) -> Any:
        """A tensor of this subclass over the same memory."""
        self = object.__new__(cls)
        for slot in ("array", "node", "grad", "_requires_grad", "_version", "_view", "_hooks"):
            setattr(self, slot, getattr(tensor, slot))
        return self

    # ------------------------------------------------------------------ what it is made of

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.DTYPES[self.array.dtype]

    @property
    def device(self) -> backend.device:
        return backend.device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def shape(self) -> Size:
        return Size(self.array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or its extent along one dimension."""
        return self.shape if dim is None else self.array.shape[dim]

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        return self.array.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Elements (not bytes) between neighbours along each dimension, or along one."""
        strides = tuple(s // self.array.itemsize for s in self.array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        return bool(self.array.flags.c_contiguous)

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self.array.__array_interface__["data"][0])

    def is_floating_point(self) -> bool:
        return self.array.dtype.kind == "f"

    # ------------------------------------------------------------------ its place in the graph

    @property
    def requires_grad(self) -> bool:
        if self._view is not None:
            self.refresh()
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.requires_grad_(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient of this leaf, or stop asking.  Raises RuntimeError for other tensors."""
        if self.node is not None:
            if not requires_grad:
                raise RuntimeError(
                    "requires_grad can be switched off for leaves only; detach() gives a tensor that "
                    "is cut off from the graph"
                )
        elif requires_grad and self.array.dtype.kind != "f":
            raise RuntimeError(
                f"only floating-point tensors can require grad, this is {self.dtype}"
            )
        else:
            self._requires_grad = bool(requires_grad)
        return self

    @property
    def grad_fn(self) -> Node | None:
        if self._view is not None:
            self.refresh()
        return self.node

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def data(self) -> Tensor:
        """The same memory outside the graph: changes through it are not noticed by backward."""
        return wrap(self.array)

    @data.setter
    def data(self, new: Any) -> None:
        self.array = new.array if isinstance(new, Tensor) else np.asarray(new)
        self.changed_in_place()

    def detach(self) -> Tensor:
        """The same memory, cut off from the graph; changes in place are still noticed."""
        result = wrap(self.array)
        result._version = self.version()
        return result

    @property
    def _is_view(self) -> bool:
        return self._view is not None

    def is_inference(self) -> bool:
        return self._version is autograd._INFERENCE

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add to `.grad` of every leaf the gradient of this tensor; see `autograd.backward`."""
        autograd.backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(gradient)` when the gradient of this tensor is known; it may replace it."""
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor does not require grad")
        if self.node is None:
            hooks = self._hooks = [] if self._hooks is None else self._hooks
        else:
            hooks = self.node.hooks = [] if self.node.hooks is None else self.node.hooks
        hooks.append(hook)
        return RemovableHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is not a leaf in its `.grad`, too."""
        if self.node is None:
            if not self._requires_grad:
                raise RuntimeError("retain_grad: the tensor does not require grad")
            return
        myself = weakref.ref(self)  # the node must not keep its output alive

        def keep(gradient: Tensor) -> None:
            tensor = myself()
            if tensor is not None:
                tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient

        self.register_hook(keep)

    # ------------------------------------------------------------------ to Python and NumPy

    def numpy(self, *, force: bool = False) -> Any:
        """The NumPy array that shares this tensor's memory.

        Raises RuntimeError if the tensor is part of a graph or on a GPU, unless `force`.
        """
        if not force and self.requires_grad:
            raise RuntimeError("numpy(): the tensor requires grad; use x.detach().numpy()")
        if not force and self.device.type != "cpu":
            raise TypeError("numpy(): the tensor is on a GPU; use x.cpu().numpy()")
        return backend.to_device(self.array, backend.CPU)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        return np.array(array, dtype=dtype, copy=copy) if dtype or copy else array

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(
                f"item(): only one element can become a number, this has {self.array.size}"
            )
        return self.array.item()

    def tolist(self) -> Any:
        return self.array.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind == "f":
            raise TypeError("only integer tensors of one element can be used as an index")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise RuntimeError(
                f"the truth of a tensor with {self.array.size} values is ambiguous; use any() or all()"
            )
        return bool(self.array.item())

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, value: Any) -> bool:
        return bool((self.array == (value.array if isinstance(value, Tensor) else value)).any())

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return format_tensor(self)

    def __format__(self, spec: str) -> str:
        if self.array.ndim == 0 and spec:
            return format(self.array.item(), spec)
        return format(str(self), spec) if spec else str(self)

    def __deepcopy__(self, memo: dict) -> Tensor:
        if self.node is not None:
            raise RuntimeError("only leaves can be deep-copied; detach() first")
        copy = (
            type(self)._of(wrap(self.array.copy()))
            if type(self) is not Tensor
            else wrap(self.array.copy())
        )
        copy._requires_grad = self._requires_grad
        if self.grad is not None:
            copy.grad = self.grad.detach().clone()
        memo[id(self)] = copy
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "tensors are not pickled: a pickle can run any code when it is opened. "
            "Use minigen.save_file / load_file (safetensors), or x.numpy()"
        )


autograd.use_tensor_type(Tensor)


def method(*names: str, reflected: str | None = None) -> Callable:
    """Attach an operation to Tensor under these names: decorate it with `@method("exp")`.

    `reflected` names the operator for a tensor on the right-hand side, as in `2 - x`.
    """

    def attach(operation: Callable) -> Callable:
        for name in names:
            setattr(Tensor, name, operation)
        if reflected:
            setattr(Tensor, reflected, lambda self, other: operation(other, self))
        return operation

    return attach


__all__ = ["RemovableHandle", "Size", "Tensor", "method"]
