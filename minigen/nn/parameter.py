"""Parameter: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

from minigen.autograd import wrap
from minigen.backend import zeros_like
from minigen.dtypes import get_default_dtype
from minigen.printing import format_tensor
from minigen.tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor that registers itself with the `Module` whose attribute it becomes.

    It shares the memory of `data`, a tensor of any shape, and is a leaf of the graph.  Operations
    on it give plain tensors.  Raises TypeError if `data` is no tensor and RuntimeError if it is
    not floating-point but `requires_grad`.

    >>> import minigen
    >>> Parameter(minigen.tensor([1.0, 2.0]))
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter: data must be a tensor, not {type(data).__name__}; "
                "make one with minigen.tensor(data)"
            )
        return cls._of(data.detach()).requires_grad_(requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Nothing is left to do: `__new__` has filled the slots."""

    def __repr__(self) -> str:
        return "Parameter containing:\n" + format_tensor(self)

    def __deepcopy__(self, memo: dict) -> Parameter:
        """A parameter with memory of its own; the gradient is not copied."""
        return type(self)(wrap(self.array.copy()), self._requires_grad)

    def _description(self) -> str:
        """One line, as a list of parameters prints it."""
        kind = f"{type(self).__name__} containing"
        size = "x".join(str(n) for n in self.shape)
        where = "" if self.device.type == "cpu" else f" ({self.device})"
        return f"{kind}: [{self.dtype!r} of size {size}{where}]"


def clear_gradient(parameter: Tensor, set_to_none: bool) -> None:
    """Forget the gradient, or fill it with zeros in place."""
    gradient = parameter.grad
    if set_to_none or gradient is None:
        parameter.grad = None
    elif gradient.node is not None:  # a differentiable one belongs to the graph
        parameter.grad = wrap(zeros_like(gradient.array))
    else:
        gradient.array[...] = 0
        gradient.changed_in_place()


def factory(device: Any, dtype: Any) -> dict[str, Any]:
    """Where and of what type a layer makes its parameters: float32 on the CPU, unless told."""
    return {"device": device, "dtype": get_default_dtype() if dtype is None else dtype}
