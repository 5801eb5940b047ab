"""Reverse mode as functions of functions: `grad`, `value_and_grad`, `vjp`.

The graph is the engine's; what is added is that a function's arguments are made the start of one,
for the time of a call, whatever they are: tensors with or without a history, in structures, or
inside `jvp` and `vmap`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from minigen.autograd import Node
from minigen.errors import describe
from minigen.modes import enable_grad, is_grad_enabled
from minigen.ops.creation import ones_like, zeros_like
from minigen.transforms.structure import flatten, map_structure, unflatten
from minigen.transforms.tracing import (
    Traced,
    active_traces,
    fresh,
    is_floating,
    lifted,
    pull,
    requires_grad,
    tensor_output,
    unrecorded,
    with_aux,
)

__all__ = ["grad", "grad_and_value", "value_and_grad", "vjp"]


def start(name: str, value: Any) -> Any:
    """The start of a graph, of its own for every example of the batches that we are inside of."""
    if not is_floating(value):
        raise RuntimeError(
            f"{name}: gradients are with respect to floating-point tensors, got {describe(value)}"
        )
    return fresh(lifted(value, active_traces()))


def selected(name: str, argnums: Any, args: tuple) -> list[int]:
    """The positions that `argnums`, one number or several, names."""
    numbers = argnums if isinstance(argnums, tuple | list) else (argnums,)
    for n in numbers:
        if isinstance(n, bool) or not isinstance(n, int) or not -len(args) <= n < len(args):
            raise RuntimeError(f"{name}: argnums {n!r} names none of {len(args)} arguments")
    positions = [n % len(args) for n in numbers]
    if len(set(positions)) < len(positions) or not positions:
        raise RuntimeError(f"{name}: argnums {argnums!r} has to name arguments, each once")
    return positions


class Started:
    """Arguments of a function as the start of a graph, and what was reached from there."""

    def __init__(self, name: str, args: Sequence) -> None:
        self.leaves, self.structure = flatten(tuple(args))
        self.starts = [start(name, each) for each in self.leaves]
        self.own = {
            bottom for bottom in _bottoms(self.starts) if bottom.__class__ is not Node
        }  # made here; a tensor that had a history leads on to it

    @property
    def arguments(self) -> tuple:
        return unflatten(self.starts, self.structure)

    def pull(self, outputs: list, cotangents: list, create_graph: bool) -> Any:
        """The gradients, in the structure of the arguments; zeros where nothing depends on one."""
        found = pull(outputs, self.starts, cotangents, create_graph)
        gradients = [zeros_like(x) if g is None else g for x, g in zip(self.leaves, found)]
        if not create_graph:
            gradients = list(map(unrecorded, gradients))
        return unflatten(gradients, self.structure)

    def outside(self, outputs: Sequence) -> bool:
        """Whether outputs depend on anything that requires grad besides what was started here.

        Only then can a gradient be differentiated outside.
        """
        seen: set = set()
        stack = list(_bottoms(outputs))
        while stack:
            place = stack.pop()
            if place in seen:
                continue
            seen.add(place)
            if place.__class__ is not Node:
                if place not in self.own:
                    return True
            else:
                stack += [parent for parent, _ in place.next_functions]
        return False


def _bottoms(values: Sequence) -> set:
    """The places in the graph of what the values are made of at the bottom."""
    found: set = set()
    for value in values:
        if isinstance(value, Traced):
            found |= _bottoms(value.components)
        elif requires_grad(value):
            found.add(value.node or value)
    return found


def value_and_grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns (func(*args), its gradient with respect to `argnums`).

    func:    returns a single number, a 0-d tensor; with has_aux (loss, aux).
    argnums: the position of an argument, or several; each a tensor or a structure of tensors.

    The gradient has the structure of the argument, and is a tuple if argnums is one.  With has_aux
    the function returns ((loss, aux), gradient).

    >>> import minigen
    >>> value_and_grad(lambda x: (x**2).sum())(minigen.tensor([1.0, 3.0]))
    (tensor(10.), tensor([2., 6.]))
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        positions = selected("grad", argnums, args)
        started = Started("grad", [args[i] for i in positions])
        given = list(args)
        for i, argument in zip(positions, started.arguments):
            given[i] = argument
        with enable_grad():
            value = func(*given, **kwargs)
        value, aux = with_aux("grad", value) if has_aux else (value, None)
        if tensor_output("grad", value).array.ndim:
            raise RuntimeError(
                f"grad: the function has to return a single number, a 0-d tensor, got "
                f"{describe(value)}; reduce it to a loss, or use vjp or jacrev"
            )
        create = is_grad_enabled() and started.outside([value])
        gradients = started.pull([value], [ones_like(value)], create)
        gradient = tuple(gradients) if isinstance(argnums, tuple | list) else gradients[0]
        keep = (lambda each: each) if create else unrecorded
        value, aux = keep(value), map_structure(keep, aux)
        return ((value, aux) if has_aux else value), gradient

    return call


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of `func`; with has_aux, (gradient, aux).

    Arguments as in `value_and_grad`.  It can be applied again, for derivatives of higher order.

    >>> import minigen
    >>> grad(grad(lambda x: x**3))(minigen.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return call


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """`value_and_grad` in PyTorch's order: (gradient, value)."""
    both = value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return gradient, value

    return call


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(func(*primals), a function of cotangents); with has_aux (output, function, aux).

    The function takes a cotangent of the output's structure and shapes, and returns a tuple: a
    gradient for each primal, the cotangent multiplied by the transposed Jacobian.  It can be called
    any number of times.

    >>> import minigen
    >>> y, vjp_fn = vjp(lambda x: x**2, minigen.tensor([1.0, 2.0]))
    >>> vjp_fn(minigen.tensor([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    if not primals:
        raise RuntimeError("vjp: expects at least one primal")
    started = Started("vjp", primals)
    with enable_grad():
        output = func(*started.arguments)
    output, aux = with_aux("vjp", output) if has_aux else (output, None)
    outputs, structure = flatten(output)
    for each in outputs:
        tensor_output("vjp", each)
    outside = started.outside(outputs)

    def pull_back(*cotangents: Any) -> tuple:
        """The gradients for a cotangent of the output."""
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        leaves, form = flatten(given)
        if form != structure:
            raise RuntimeError(f"vjp: the output is {structure}, the cotangent {form}")
        for each, cotangent in zip(outputs, leaves):
            if tuple(tensor_output("vjp", cotangent).array.shape) != tuple(each.array.shape):
                raise RuntimeError(
                    f"vjp: the cotangent {describe(cotangent)} has to have the shape of the "
                    f"output, {describe(each)}"
                )
        create = is_grad_enabled() and (outside or any(map(requires_grad, leaves)))
        return started.pull(outputs, leaves, create)

    keep = (lambda each: each) if outside and is_grad_enabled() else unrecorded
    shown = unflatten([keep(each) for each in outputs], structure)
    return (shown, pull_back, map_structure(keep, aux)) if has_aux else (shown, pull_back)
