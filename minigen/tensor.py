"""Tensor: an array, its gradient, operators and methods.

The mathematics is not here: `minigen.ops` attaches every operation that PyTorch offers as a method
or an operator (`x.exp()`, `x + y`) with `method`.  What stands here is what a tensor is: its
memory, dtype, device and shape, its conversions to Python and NumPy, its place in the graph.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import autograd, backend, dtypes
from minigen.autograd import Node, Variable, wrap
from minigen.hooks import RemovableHandle
from minigen.methods import Methods
from minigen.printing import format_tensor
from minigen.size import Size


class Tensor(Methods, Variable):
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

    def __new__(cls, *data: Any) -> Any:
        dtype = dtypes.get_default_dtype().numpy
        if data and all(isinstance(n, int) for n in data):
            array = np.empty(data, dtype)
        else:
            given = data[0] if data else []
            array = np.array(given.array if isinstance(given, Tensor) else given, dtype)
        self = wrap(array)
        return self if cls is Tensor else cls._of(self)

    def __init__(self, *data: Any, **options: Any) -> None:
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
        """Ask for a gradient of this leaf, or stop asking; RuntimeError for other tensors."""
        if self.node is not None:
            if not requires_grad:
                raise RuntimeError(
                    "requires_grad can be switched off for leaves only; use detach()"
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

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return format_tensor(self)


autograd._tensor_type = Tensor


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
