"""Module: parameters, buffers and submodules under one name each, and a `forward`.

An attribute that is a Parameter, a Module or a registered buffer is kept in one of three tables
(`minigen.nn.registry`); everything else a module can do is a walk over them.
The keys of `state_dict` are the attribute names on the way down, joined by dots, as in PyTorch.
How a state is loaded stands in `minigen.nn.loading`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from minigen import backend
from minigen.autograd import wrap
from minigen.dtypes import as_dtype, float16, float32, float64
from minigen.hooks import RemovableHandle
from minigen.nn.backward_hooks import BackwardHooks
from minigen.nn.loading import IncompatibleKeys, load
from minigen.nn.parameter import Parameter, clear_gradient
from minigen.nn.registry import Registry
from minigen.tensor import Tensor

__all__ = ["Module"]

_next_hook = itertools.count().__next__


class Module(Registry):
    """Base class of all layers, losses and models.

    A subclass calls `super().__init__()` first, assigns its parameters and submodules as attributes
    and defines `forward`; the module is then called like a function.

    >>> import minigen
    >>> from minigen import nn
    >>> class Affine(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.Parameter(minigen.tensor([2.0, 3.0]))
    ...         self.register_buffer("shift", minigen.tensor([0.0, 1.0]))
    ...     def forward(self, x):
    ...         return self.scale * x + self.shift
    >>> Affine()(minigen.tensor([1.0, 1.0]))
    tensor([2., 4.], grad_fn=<AddBackward0>)
    >>> list(Affine().state_dict())
    ['scale', 'shift']
    """

    training: bool

    # -------------------------------------------------------------------------- calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines its own."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
        ):
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        for hook, with_kwargs in tuple(self._forward_pre_hooks.values()):
            changed = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if changed is None:
                continue
            if not with_kwargs:
                args = changed if isinstance(changed, tuple) else (changed,)
            elif isinstance(changed, tuple) and len(changed) == 2:
                args, kwargs = changed
            else:
                raise RuntimeError(
                    f"a forward pre-hook with kwargs returns None or (args, kwargs), got {changed}"
                )
        backward = None
        if self._backward_hooks or self._backward_pre_hooks:
            backward = BackwardHooks(self)
            args = backward.enter(args)
        output = self.forward(*args, **kwargs)
        for hook, with_kwargs in tuple(self._forward_hooks.values()):
            given = (self, args, kwargs, output) if with_kwargs else (self, args, output)
            changed = hook(*given)
            output = output if changed is None else changed
        return output if backward is None else backward.leave(output)

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns replaces the arguments."""
        return _register(self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after `forward`; its result replaces the output."""
        return _register(self._forward_hooks, hook, prepend, with_kwargs)

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are known.

        It is given a tuple, and may return the gradients to go on with.
        """
        return _register(self._backward_pre_hooks, hook, prepend, False)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known.

        Both are tuples.  grad_input has None for what is no tensor and zeros where no gradient
        arrived; keyword arguments are not among the inputs.  grad_output has None for what is no
        tensor or has no gradient.  The hook may return the gradients of the inputs to go on with.

        >>> import minigen
        >>> layer = minigen.nn.Tanh()
        >>> handle = layer.register_full_backward_hook(lambda module, grad_input, grad_output:
        ...     print(grad_input, grad_output))
        >>> layer(minigen.zeros(1, requires_grad=True)).backward(minigen.tensor([3.0]))
        (tensor([3.]),) (tensor([3.]),)
        """
        return _register(self._backward_hooks, hook, prepend, False)

    # -------------------------------------------------------------------------- walking

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, each once, with its path."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one, each once."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def _named_members(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set = set()
        start = self.named_modules(None, prefix, remove_duplicate)
        for path, module in start if recurse else [(prefix, self)]:
            for name, member in module.__dict__[table].items():
                if member is not None and member not in seen:
                    if remove_duplicate:
                        seen.add(member)
                    yield _join(path, name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its path; one that is tied (used in two places) comes once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, once: what an optimizer is given."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "blocks.0.mlp".  Raises AttributeError if there is none."""
        module = self
        for name in target.split(".") if target else ():
            found = getattr(module, name, None)
            if not isinstance(found, Module):
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r}")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path.  Raises AttributeError if there is none."""
        return self._get_member(target, "_parameters", "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path.  Raises AttributeError if there is none."""
        return self._get_member(target, "_buffers", "buffer")

    def _get_member(self, target: str, table: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = module.__dict__[table].get(name)
        if found is None:
            raise AttributeError(f"{type(module).__name__} has no {what} {name!r}")
        return found

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Call `fn` on every module, children first; returns the module itself."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -------------------------------------------------------------------------- modes and types

    def train(self, mode: bool = True) -> Any:
        """Put this module and all below it in training mode (dropout drops, statistics move)."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Any:
        """The opposite of `train()`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Ask for gradients of all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            clear_gradient(parameter, set_to_none)

    def _convert(self, change: Callable[[Any], Any]) -> Any:
        """Put `change(array)` in place of the array of every parameter, gradient and buffer."""
        for child in self.children():
            child._convert(change)
        for parameter in self._parameters.values():
            if parameter is not None:
                parameter.data = wrap(change(parameter.array))
                if parameter.grad is not None:
                    parameter.grad = wrap(change(parameter.grad.array))
        for name, buffer in self._buffers.items():
            if buffer is not None:
                array = change(buffer.array)
                self._buffers[name] = buffer if array is buffer.array else wrap(array)
        return self

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Any:
        """Move to a device and cast to a floating-point dtype, in place; returns the module itself.

        `to("cuda")`, `to(minigen.float64)`, `to("cpu", minigen.float64)`, `to(like_this_tensor)`.
        Integer buffers keep their dtype.
        """
        for given in args:
            if isinstance(given, Tensor):
                device, dtype = given.device, given.dtype
            elif isinstance(given, str | backend.device):
                device = given
            elif given is not None:
                dtype = given
        wanted = None if dtype is None else as_dtype(dtype)
        if wanted is not None and not wanted.is_floating_point:
            raise TypeError(f"Module.to: only floating-point dtypes are taken, got {wanted}")
        place = None if device is None else backend.device(device)

        def change(array: Any) -> Any:
            if wanted is not None and array.dtype.kind == "f":
                array = array.astype(wanted.numpy, copy=False)
            return array if place is None else backend.to_device(array, place)

        return self._convert(change)

    def type(self, dst_type: Any) -> Any:
        """Cast all parameters and, unlike `to`, all buffers; in place; returns the module itself.

        Raises RuntimeError for a dtype that cannot have gradients while a parameter asks for one.
        """
        wanted = as_dtype(dst_type)
        if not wanted.is_floating_point and any(p.requires_grad for p in self.parameters()):
            raise RuntimeError(
                f"Module.type: parameters of {wanted} cannot require grad; requires_grad_(False) "
                "first"
            )
        return self._convert(lambda array: array.astype(wanted.numpy, copy=False))

    def float(self) -> Any:
        return self.to(float32)

    def double(self) -> Any:
        return self.to(float64)

    def half(self) -> Any:
        return self.to(float16)

    def cpu(self) -> Any:
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Any:
        return self.to(backend.device("cuda", device))

    # -------------------------------------------------------------------------- state

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """Parameters and persistent buffers by path, cut off from the graph.

        They share their memory with the module: `copy.deepcopy` what is to outlive the next step.
        """
        found = {} if destination is None else destination
        for name, parameter in self._parameters.items():
            if parameter is not None:
                found[prefix + name] = parameter if keep_vars else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                found[prefix + name] = buffer if keep_vars else buffer.detach()
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names, in place.

        The values are tensors or NumPy arrays.  Returns (missing_keys, unexpected_keys).  Raises
        one RuntimeError that lists every wrong shape and, if `strict`, every key that is missing
        or unexpected; nothing is copied then.
        """
        return load(type(self).__name__, self.state_dict(keep_vars=True), state_dict, strict)

    # -------------------------------------------------------------------------- printing

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What `print(module)` shows between the brackets, before the submodules."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + indent(repr(m)) for name, m in self._modules.items()]
        if len(lines) <= 1 and not children:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


def _register(hooks: dict, hook: Callable, prepend: bool, with_kwargs: bool) -> RemovableHandle:
    key = _next_hook()
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[key] = (hook, with_kwargs)
    hooks.update(others)
    return RemovableHandle(hooks, key)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def indent(text: str) -> str:
    return text.replace("\n", "\n  ")
