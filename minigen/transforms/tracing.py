"""Tensors that stand for more than an array, while a function runs: what `jvp` and `vmap` share.

A `Traced` tensor belongs to a `Trace`, one run of `jvp` or `vmap`.  It has components, which are
tensors: a value and its tangent, or all examples of a batch.  An operation that is given a traced
tensor asks its `refresh`, as it asks every view, and is told what to do instead: `dispatch`.  So
the engine knows nothing of this, and an operation on other tensors costs nothing more.

Components may be traced in turn, by traces that began earlier: this is how transforms nest.  What
is at the bottom are tensors as everywhere, with a graph if they require grad.  Reverse mode is done
on that graph: `pull` says how the gradient of traced tensors follows from gradients of their
components.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minigen import autograd
from minigen.autograd import Variable, identity, wrap
from minigen.modes import enable_grad
from minigen.tensor import Tensor

__all__: list[str] = []

_next_level = itertools.count(1).__next__


class _Active(threading.local):
    def __init__(self) -> None:
        self.traces: list[Trace] = []


_active = _Active()


def active_traces() -> list[Trace]:
    """The runs of `jvp` and `vmap` that we are inside of, the outermost first."""
    return _active.traces


class Trace:
    """One run of a transform: a context, within which its tensors can be used."""

    what = ""  # the transform, for errors

    def __init__(self) -> None:
        self.level = _next_level()

    def __enter__(self) -> Any:
        _active.traces.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _active.traces.remove(self)

    def process(self, function: Callable, args: tuple) -> Any:
        """The results of an operation, some of whose arguments are tensors of this trace."""
        raise NotImplementedError

    def lift(self, value: Tensor) -> Tensor:
        """The value as a tensor of this trace; only of a batch, where each example gets its own."""
        return value

    def pull(self, outputs: list, inputs: list, cotangents: list, create_graph: bool) -> list:
        """See the function `pull`; some of the tensors are of this trace, none of a later one."""
        raise NotImplementedError


class _Mark:
    """In the place of a view's history: makes every operation ask `refresh`."""

    @property
    def base(self) -> Any:
        raise RuntimeError(IN_PLACE)


IN_PLACE = (
    "a tensor cannot be changed in place inside jvp or vmap, and a traced value cannot be written "
    "into another tensor; make a new tensor instead (x = x + 1, stack, cat, where, index_put)"
)
_MARK: Any = _Mark()


class Traced(Tensor):
    """A tensor inside a transform.  Its `array` has the shape and dtype that the function sees."""

    __slots__ = ("_trace", "components")
    _trace: Trace  # `trace` is a method of tensors
    components: tuple

    @classmethod
    def of(cls, trace: Trace, *components: Any) -> Any:
        """The tensor of `trace` that is made of these components."""
        raise NotImplementedError

    def refresh(self) -> Any:
        return dispatch

    @property  # type: ignore[misc]
    def requires_grad(self) -> bool:
        return any(requires_grad(each) for each in self.components)

    @property
    def node(self) -> Any:  # type: ignore[override]
        raise RuntimeError(
            f"inside {self._trace.what} there is no graph of single tensors, so that neither "
            "backward() nor autograd.grad nor a change in place can be used; use "
            "minigen.func.grad or vjp, and operations that make new tensors"
        )

    @property
    def grad_fn(self) -> None:
        return None

    @property
    def is_leaf(self) -> bool:
        return not self.requires_grad

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        raise RuntimeError(
            f"requires_grad_() inside {self._trace.what}: use minigen.func.grad or vjp there"
        )

    @property  # type: ignore[misc]
    def data(self) -> Any:
        return self.detach()

    def detach(self) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.components))
        return f"{type(self).__name__}(level={self._trace.level}, {inside})"


def traced(cls: type, trace: Trace, array: Any, components: tuple) -> Any:
    """A new tensor of a trace, which looks like `array`."""
    self: Any = object.__new__(cls)
    self.array, self._trace, self.components = array, trace, components
    self._view, self._requires_grad = _MARK, True  # so that no part of the engine passes it by
    self.grad = self._version = self._hooks = None
    return self


def dispatch(function: Callable, args: tuple) -> Any:
    """Do an operation as the latest of the traces of its arguments does it."""
    trace = latest(args)
    if trace not in _active.traces:
        raise RuntimeError(
            f"a tensor from inside {trace.what} was kept and used after it; return it instead"
        )
    return trace.process(function, args)


def latest(values: Iterable) -> Any:
    """The trace that began last, of those that the values belong to; None if there is none."""
    traces = [each._trace for each in values if isinstance(each, Traced)]
    return max(traces, key=lambda trace: trace.level) if traces else None


def requires_grad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def is_floating(value: Any) -> bool:
    return isinstance(value, Variable) and value.array.dtype.kind == "f"


def unrecorded(value: Any) -> Any:
    """The value without its graph; what it stands for in other transforms is kept."""
    if isinstance(value, Traced):
        return value.of(value._trace, *map(unrecorded, value.components))
    return value.detach() if requires_grad(value) else value


def traces_of(values: Iterable) -> set[Trace]:
    """All traces that values belong to, themselves or in their components."""
    found: set[Trace] = set()
    for value in values:
        if isinstance(value, Traced):
            found |= {value._trace} | traces_of(value.components)
    return found


def lifted(value: Any, traces: Iterable[Trace]) -> Any:
    """The value, with a copy of its own (by broadcasting) for each example of these batches."""
    rest = sorted(traces, key=lambda trace: trace.level)
    if isinstance(value, Traced):
        own = value._trace.level
        first, *others = value.components
        inner = lifted(first, [trace for trace in rest if trace.level < own])
        if inner is not first:
            value = value.of(value._trace, inner, *others)
        rest = [trace for trace in rest if trace.level > own]
    for trace in rest:
        value = trace.lift(value)
    return value


# ------------------------------------------------------------------------------ reverse mode


def fresh(value: Tensor) -> Any:
    """The same values as the start of a graph: a leaf, or a new place in the graph there is."""
    if isinstance(value, Traced):
        first, *rest = value.components
        return value.of(value._trace, fresh(first), *rest)
    if value.requires_grad:
        with enable_grad():
            return identity(value)
    leaf = wrap(value.array)
    leaf._requires_grad = is_floating(value)
    return leaf


def pull(
    outputs: Sequence, inputs: Sequence, cotangents: Sequence, create_graph: bool = False
) -> list:
    """The gradient of Σ <output, cotangent> for each input, None where nothing depends on it.

    The graph is kept.  Inputs are made by `fresh`; outputs may be anything.
    """
    trace = latest((*outputs, *inputs, *cotangents))
    if trace is not None:
        return trace.pull(list(outputs), list(inputs), list(cotangents), create_graph)
    pairs = [(y, g) for y, g in zip(outputs, cotangents) if g is not None and requires_grad(y)]
    if not pairs:
        return [None] * len(inputs)
    roots, given = zip(*pairs)
    return list(autograd.grad(roots, inputs, given, True, create_graph, allow_unused=True))


# -------------------------------------------------------------- what functions have to return


def tensor_output(name: str, value: Any) -> Tensor:
    """The value.  Raises RuntimeError unless it is a tensor."""
    if not isinstance(value, Tensor):
        raise RuntimeError(
            f"{name}: the function has to return tensors, got {type(value).__name__}; "
            "has_aux=True lets it return anything beside them"
        )
    return value


def with_aux(name: str, value: Any) -> tuple:
    """(output, aux), as a function returns them for has_aux=True."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise RuntimeError(f"{name}: with has_aux=True the function returns (output, aux)")
    return value
