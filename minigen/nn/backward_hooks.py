"""Full backward hooks: functions that see, and may replace, the gradients at a module's borders.

The tensors that enter a module and those that leave it are passed through an operation that does
nothing but ask, when the walk back comes by: the one at the outputs hands their gradients to the
pre-hooks, the one at the inputs hands both to the hooks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from minigen import backend
from minigen.autograd import Variable, differentiable, wrap
from minigen.modes import is_grad_enabled

__all__ = ["BackwardHooks"]

Gradients = tuple  # of tensors, and None where there is none


def _border(tensors: Sequence[Any], ask: Callable[[Gradients], Any]) -> tuple:
    """The same tensors; on the way back `ask` gives the gradients that go on, or None."""

    def module_border(*tensors: Any) -> list:
        return list(tensors)

    def go_on(g: Sequence) -> list:
        bare = not any(isinstance(each, Variable) for each in g)
        shown = tuple(
            wrap(backend.as_array(each)) if bare and each is not None else each for each in g
        )
        asked = ask(shown)
        gradients = shown if asked is None else asked
        if not bare:
            return list(gradients)
        # a copy: the hooks may have kept what they were shown
        return [None if each is None else each.array.copy() for each in gradients]

    operation = differentiable(module_border, many=True)
    operation.gradients(tensors=go_on)
    passed = operation(*tensors)
    for after, before in zip(passed, tensors):
        after._version = before.version()  # the memory is the same
    return passed


class BackwardHooks:
    """The backward hooks of one call of a module."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.hooks = [hook for hook, _ in module._backward_hooks.values()]
        self.pre_hooks = [hook for hook, _ in module._backward_pre_hooks.values()]
        self.inputs: tuple = ()
        self.any_input = False  # requires grad
        self.grad_outputs: Gradients | None = None

    def _pass(self, values: Sequence, ask: Callable[[Gradients], Any]) -> tuple[tuple, bool]:
        """The values with those that require grad passed through a border; whether any did.

        `ask` is given, and gives, a gradient or None for each of the values.
        """
        places = [i for i, v in enumerate(values) if _is_tensor(v) and v.requires_grad]
        if not places or not is_grad_enabled():
            return tuple(values), False

        def ask_for_all(g: Gradients) -> Any:
            asked = ask(_placed(places, g, len(values)))
            return None if asked is None else tuple(asked[place] for place in places)

        passed = _border([values[place] for place in places], ask_for_all)
        result = list(values)
        for place, value in zip(places, passed):
            result[place] = value
        return tuple(result), True

    def enter(self, args: tuple) -> tuple:
        """What `forward` is given in place of these arguments."""
        self.inputs = args
        args, self.any_input = self._pass(args, self._at_inputs)
        return args

    def leave(self, output: Any) -> Any:
        """What the module returns in place of this output."""
        if isinstance(output, tuple):
            left, _ = self._pass(output, self._at_outputs)
            return type(output)(*left) if hasattr(output, "_fields") else left
        if not isinstance(output, Variable):
            warnings.warn(
                f"{type(self.module).__name__} has backward hooks, but its output is no tensor or "
                f"tuple of tensors but {type(output).__name__}: they are not called",
                stacklevel=4,
            )
            return output
        return self._pass((output,), self._at_outputs)[0][0]

    def _at_outputs(self, grad_outputs: Gradients) -> Gradients:
        for hook in self.pre_hooks:
            changed = hook(self.module, grad_outputs)
            if changed is not None:
                grad_outputs = _as_many(changed, len(grad_outputs), "pre-hook", "grad_output")
        if self.any_input:
            self.grad_outputs = grad_outputs
        elif self.hooks:
            self._without_inputs(grad_outputs)
        return grad_outputs

    def _without_inputs(self, grad_outputs: Gradients) -> None:
        warnings.warn(
            f"a full backward hook of {type(self.module).__name__} is called when the gradients of "
            "its outputs are known, since none of its inputs requires grad",
            stacklevel=2,
        )
        for hook in self.hooks:
            changed = hook(self.module, (None,) * len(self.inputs), grad_outputs)
            if changed is not None and any(each is not None for each in changed):
                raise RuntimeError(
                    "a backward hook of a module of which no input requires grad can replace no "
                    "gradient; it must return None"
                )

    def _at_inputs(self, grad_inputs: Gradients) -> Gradients | None:
        if self.grad_outputs is None:  # a gradient that did not come through the outputs
            return None
        grad_inputs = tuple(
            wrap(backend.zeros_like(given.array)) if g is None and _is_tensor(given) else g
            for g, given in zip(grad_inputs, self.inputs)
        )
        for hook in self.hooks:
            changed = hook(self.module, grad_inputs, self.grad_outputs)
            if changed is not None:
                grad_inputs = _as_many(changed, len(grad_inputs), "hook", "grad_input")
        self.grad_outputs = None
        return grad_inputs


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Variable)


def _placed(places: Sequence[int], values: Sequence, size: int) -> Gradients:
    result = [None] * size
    for place, value in zip(places, values):
        result[place] = value
    return tuple(result)


def _as_many(changed: Any, expected: int, what: str, name: str) -> Gradients:
    given = (changed,) if isinstance(changed, Variable) else tuple(changed)
    if len(given) != expected:
        raise RuntimeError(
            f"a backward {what} returned {len(given)} {name}s, expected {expected}, one for each"
        )
    return given
