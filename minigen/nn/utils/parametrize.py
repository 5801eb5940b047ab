"""Parametrizations: a parameter that is computed from others whenever it is read.

After `register_parametrization(layer, "weight", f)` the layer's `weight` is f(original), and what
is learned is `layer.parametrizations.weight.original`.  Reading and assigning `layer.weight` goes
through a property, for which the module gets a class of its own.  Source: `torch.nn.utils.
parametrize`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from minigen.modes import no_grad
from minigen.nn.containers import ModuleDict, ModuleList
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter
from minigen.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

_blocks = 0  # of `cached` that are open
_values: dict[tuple[int, str], Any] = {}


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside it every parametrized tensor is computed once, when it is first read.

    >>> import minigen
    >>> from minigen import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    >>> with cached():
    ...     layer.weight is layer.weight
    True
    """
    global _blocks
    _blocks += 1
    try:
        yield
    finally:
        _blocks -= 1
        if not _blocks:
            _values.clear()


class ParametrizationList(ModuleList):
    """The functions, applied in order, that make one tensor of a module, and what they start from.

    That is `original`, or `original0`, `original1`, ... if the last function's `right_inverse`
    gives several tensors.  Made by `register_parametrization`.
    """

    def __init__(self, modules: Sequence[Any], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList needs at least one parametrization")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            start = _inverted(self, original)
        if not isinstance(start, Tensor | Sequence):
            raise ValueError(
                "right_inverse must return a tensor or a sequence of tensors, "
                f"got {type(start).__name__}"
            )
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if isinstance(start, Tensor) else len(start)
        if isinstance(start, Tensor):
            _same_dtype("right_inverse", start, dtype)
            original.data = start
            _register(self, "original", original)
        else:
            for number, part in enumerate(start):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        f"right_inverse must return tensors, got {type(part).__name__} at "
                        f"index {number}"
                    )
                if isinstance(original, Parameter):
                    part = Parameter(part, original.requires_grad)
                _register(self, f"original{number}", part)
        if not unsafe:
            _check(self(), shape, dtype)

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{number}") for number in range(self.ntensors)]

    def forward(self) -> Any:
        """The tensor that the module shows."""
        first, *others = self
        value = first(*self._originals())
        for parametrization in others:
            value = parametrization(value)
        return value

    def right_inverse(self, value: Tensor) -> None:
        """Change the originals so that `value` is shown, as far as the functions can be inverted.

        Raises RuntimeError if one of them has no `right_inverse`, ValueError for another shape or
        dtype than that of the originals.
        """
        with no_grad():
            for parametrization in reversed(list(self)):
                if not hasattr(parametrization, "right_inverse"):
                    raise RuntimeError(
                        f"{type(parametrization).__name__} has no right_inverse, so that the "
                        "parametrized tensor cannot be assigned to; define one"
                    )
                value = parametrization.right_inverse(value)
        parts = [value] if self.is_tensor else list(value)
        if len(parts) != self.ntensors:
            raise ValueError(
                f"right_inverse must return {self.ntensors} tensors, as it did when the "
                f"parametrization was registered; it returned {len(parts)}"
            )
        for original, part in zip(self._originals(), parts):
            if not isinstance(part, Tensor):
                raise ValueError(f"right_inverse must return tensors, got {type(part).__name__}")
            _same_dtype("right_inverse", part, original.dtype)
        for original, part in zip(self._originals(), parts):
            original.data = part


def _inverted(parametrizations: ModuleList, value: Any) -> Any:
    """What the functions start from to give `value`; one without an inverse starts from itself."""
    for parametrization in reversed(list(parametrizations)):
        if hasattr(parametrization, "right_inverse"):
            with contextlib.suppress(NotImplementedError):
                value = parametrization.right_inverse(value)
    return value


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _same_dtype(what: str, value: Tensor, dtype: Any) -> None:
    if value.dtype != dtype:
        raise ValueError(
            f"{what} must keep the dtype unless unsafe=True: it is {value.dtype}, the tensor's "
            f"{dtype}"
        )


def _check(value: Any, shape: Any, dtype: Any, what: str = "a parametrization") -> None:
    """Raise ValueError unless it is a tensor of that shape and dtype."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{what} must return a tensor, got {type(value).__name__}")
    _same_dtype(what, value, dtype)
    if value.shape != shape:
        raise ValueError(
            f"{what} must keep the shape unless unsafe=True: it is {tuple(value.shape)}, the "
            f"tensor's {tuple(shape)}"
        )


def _property(name: str) -> property:
    """Reading computes (once, if `cached`), assigning inverts."""

    def read(self: Any) -> Any:
        if not _blocks:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _values:
            _values[key] = self.parametrizations[name]()
        return _values[key]

    def assign(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, assign)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer be `parametrization(original)` from now on; returns the module.

    parametrization: a module from the originals to the tensor.  If it has a method `right_inverse`,
        this gives the originals of the present value, which may be one tensor or several, and the
        tensor can be assigned to; otherwise the original is the present value.  A second one is
        applied to the result of the first.
    unsafe: do not check that shape and dtype stay the same.

    Raises ValueError if there is no such tensor, or for a result of another shape or dtype.

    >>> import minigen
    >>> from minigen import nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, X):
    ...         return X.triu() + X.triu(1).mT
    >>> layer = register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    >>> minigen.equal(layer.weight, layer.weight.mT)
    True
    >>> list(layer.state_dict())
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            shown = getattr(module, tensor_name)
            result = parametrization(shown)
            _check(result, shown.shape, shown.dtype)
            with contextlib.suppress(NotImplementedError):
                if hasattr(parametrization, "right_inverse"):
                    back = parametrization.right_inverse(result)
                    _check(back, shown.shape, shown.dtype, "right_inverse")
        found = module.parametrizations[tensor_name]
        found.append(parametrization)
        found.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"{type(module).__name__} has no parameter, buffer or parametrized tensor named "
            f"{tensor_name!r}"
        )
    made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        kind = type(module)
        module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), {})
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _property(tensor_name))
    module.parametrizations[tensor_name] = made
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether that tensor of the module, or any, is parametrized."""
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Let the tensor be an ordinary parameter or buffer again; returns the module.

    It has the value that it shows now or, unless `leave_parametrized`, that of the original.
    Raises ValueError if it is not parametrized, or was made of several tensors and is not to keep
    the value that it shows.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"{type(module).__name__}: {tensor_name!r} is not parametrized")
    found = module.parametrizations[tensor_name]
    if not leave_parametrized and not found.is_tensor:
        raise ValueError(
            f"{tensor_name!r} is made of {found.ntensors} tensors: there is no one original to "
            "leave; pass leave_parametrized=True"
        )
    shown = getattr(module, tensor_name)
    if found.is_tensor:
        original = found.original
        if leave_parametrized:
            original.data = shown.detach()
    else:
        original = Parameter(shown.detach()) if shown.requires_grad else shown
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
