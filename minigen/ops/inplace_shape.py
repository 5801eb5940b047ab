"""Another shape for the tensor itself: `x.unsqueeze_(0)`, `x.resize_(2, 3)`, `x.detach_()`.

The memory stays; what changes is how the tensor looks at it, and so its place in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.autograd import View
from minigen.errors import ShapeError
from minigen.modes import GRAD, mode
from minigen.ops.dims import integers
from minigen.ops.history import check_writable, stands_for
from minigen.tensor import Tensor, method

__all__: list[str] = []


def _reshaping(name: str) -> None:
    operation: Callable = getattr(Tensor, name)

    def change(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self.refresh()
        check_writable(self)
        if self._requires_grad and self._view is None and self._version is not None:
            raise RuntimeError(
                f"{name}_: an operation or a view may still rely on the shape of this tensor, "
                f"which requires grad; use x = x.{name}(...)"
            )
        result = operation(stands_for(self), *args, **kwargs)
        view = self._view
        self.array = result.array
        if view is not None:  # of its base, by one step more
            first = view.operation
            self._view = View(
                lambda base, *more: operation(first(base, *more), *args, **kwargs),
                view.base,
                view.args,
            )
        if mode.flags & GRAD:
            self.node = result.node
        return self

    change.__name__ = name + "_"
    change.__doc__ = f"The in-place form of `{name}`; returns the tensor itself."
    method(change.__name__)(change)


for _name in ("squeeze", "unsqueeze", "transpose", "swapaxes", "swapdims", "t"):
    _reshaping(_name)


@method("detach_")
def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off from the graph: from now on it is a leaf that requires no grad.

    Raises RuntimeError for a view, whose base would stay in the graph.

    >>> import minigen
    >>> (minigen.ones(2, requires_grad=True) * 2).detach_().requires_grad
    False
    """
    if self._view is not None:
        raise RuntimeError("detach_: a view cannot be cut off from its base; use x = x.detach()")
    self.node, self._requires_grad = None, False
    return self


@method("resize_")
def resize_(self: Tensor, *sizes: Any) -> Tensor:
    """Take another shape: the first elements stay, in row-major order, new ones are not filled.

    Raises RuntimeError for a tensor that requires grad, or a view.

    >>> import minigen
    >>> minigen.arange(4).resize_(2, 1)
    tensor([[0],
            [1]])
    """
    if self.requires_grad or self._view is not None:
        raise RuntimeError("resize_: a tensor that requires grad, or a view, cannot be resized")
    shape = integers(sizes)
    if min(shape, default=0) < 0:
        raise ShapeError(f"resize_: sizes must not be negative, got {shape}")
    count = math.prod(shape)
    flat = self.array.reshape(-1)
    if flat.size < count:
        longer = np.empty_like(flat, shape=count)
        longer[: flat.size] = flat
        flat = longer
    self.array = flat[:count].reshape(shape)
    self.changed_in_place()
    return self


@method("resize_as_")
def resize_as_(self: Tensor, the_template: Tensor) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(self, tuple(the_template.shape))
