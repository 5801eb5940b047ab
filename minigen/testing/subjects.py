"""What can be checked, brought into one shape: arrays in, arrays out, and a gradient to be judged.

| subject           | made of                                                                 |
|-------------------|-------------------------------------------------------------------------|
| `TensorSubject`   | a function of tensors, an `autograd.Function`, a Module and parameters   |
| `NumpySubject`    | a pair of plain NumPy functions `(forward, backward)`                    |
| `GradientSubject` | the gradient of a TensorSubject, which has a gradient in turn            |
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigen import autograd
from minigen.autograd import wrap
from minigen.modes import enable_grad, no_grad
from minigen.nn.module import Module
from minigen.tensor import Tensor

__all__ = ["GradientSubject", "NumpySubject", "Subject", "TensorSubject", "subject_of"]


class Subject:
    """A function with a gradient.

    title:     how it is called in a report.
    names:     of the arguments that are checked.
    start:     their values, where the gradient is checked.
    constants: the other arrays that go in, by name.
    order:     the names of all arrays in the order in which they go in.
    """

    title: str
    names: list[str]
    start: list[np.ndarray]
    constants: dict[str, np.ndarray]
    order: list[str]

    def outputs(self, arrays: Sequence, to: Any = None) -> list[np.ndarray]:
        """The floating-point outputs at these values; constants are cast to the dtype `to`."""
        raise NotImplementedError

    def gradients(self, arrays: Sequence, cotangents: Sequence) -> list:
        """What is to be judged: an array for each argument, or None for no gradient."""
        raise NotImplementedError

    def changed(self) -> list[str]:
        """Names of the arrays that a call wrote into, which are put right again."""
        found = []
        for name, array, before in self._kept:
            if not np.array_equal(array, before, equal_nan=array.dtype.kind == "f"):
                found.append(name)
                array[...] = before
        return found

    def _keep(self) -> None:
        arrays = [*zip(self.names, self.start), *self.constants.items()]
        self._kept = [(name, array, array.copy()) for name, array in arrays]


# --------------------------------------------------------------------------- functions of tensors


def _walk(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(name, tensor or array) for each one in nested lists, tuples and dicts."""
    if isinstance(value, Tensor | np.ndarray):
        yield name, value
    elif isinstance(value, tuple | list):
        for i, each in enumerate(value):
            yield from _walk(each, f"{name}[{i}]")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _walk(each, f"{name}[{key!r}]")


def _rebuild(value: Any, leaves: Iterator) -> Any:
    """The same structure around other tensors."""
    if isinstance(value, Tensor | np.ndarray):
        return next(leaves)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuild(each, leaves) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(_rebuild(each, leaves) for each in value)
    if isinstance(value, dict):
        return {key: _rebuild(each, leaves) for key, each in value.items()}
    return value


def _is_float(tensor: Tensor) -> bool:
    return tensor.array.dtype.kind == "f"


class TensorSubject(Subject):
    """A function of tensors, or a Module, whose parameters are then arguments too.

    Checked are the tensors that require grad, and floating-point arrays; the rest is constant.
    """

    def __init__(self, fn: Callable, inputs: Sequence, names: Sequence[str] | None) -> None:
        self.fn = getattr(fn, "apply", fn) if inspect.isclass(fn) else fn
        self.title = getattr(fn, "__name__", type(fn).__name__)
        self.inputs = tuple(inputs)
        signed = getattr(fn, "forward", self.fn)
        labels = _labels(signed, len(inputs), names)
        found = [pair for n, value in zip(labels, inputs) for pair in _walk(value, n)]
        self.leaves = [value for _, value in found]
        self.checked = [
            v.requires_grad if isinstance(v, Tensor) else v.dtype.kind == "f" for v in self.leaves
        ]
        arrays = [v.array if isinstance(v, Tensor) else v for v in self.leaves]
        self.parameters: list[Tensor] = []
        self.buffers: list[Tensor] = []
        self.names = [name for (name, _), checked in zip(found, self.checked) if checked]
        if isinstance(fn, Module):
            self.title = type(fn).__name__
            named = [(n, p) for n, p in fn.named_parameters() if p.requires_grad]
            self.parameters = [p for _, p in named]
            self.names += [n for n, _ in named]
            self.buffers = list(fn.buffers())
        self.start = [a for a, checked in zip(arrays, self.checked) if checked]
        self.start += [p.array for p in self.parameters]
        self.constants = {n: a for (n, _), a, c in zip(found, arrays, self.checked) if not c}
        self.order = [name for name, _ in found] + self.names[sum(self.checked) :]
        self._keep()

    def _called(self, arrays: Sequence, track: bool, to: Any = None) -> tuple[list, list]:
        """The leaves of this call and its outputs, all tensors."""
        fresh = iter([wrap(array) for array in arrays])
        constants = iter(self.constants.values())
        leaves = []
        for checked in self.checked:
            if checked:
                leaves.append(next(fresh))
            else:
                leaves.append(wrap(_cast(next(constants), to)))
        tracked = [leaf for leaf, checked in zip(leaves, self.checked) if checked]
        for leaf in tracked:
            leaf.requires_grad_(track)
        result = self.fn(*_rebuild(self.inputs, iter(leaves)))
        outputs = [t for _, t in _walk(result, "output") if isinstance(t, Tensor)]
        return [*tracked, *self.parameters], [t for t in outputs if _is_float(t)]

    def _swapped(self, arrays: Sequence, to: Any = None) -> _Swapped:
        values = arrays[len(arrays) - len(self.parameters) :]
        return _Swapped(self.parameters, values, self.buffers, to)

    def outputs(self, arrays: Sequence, to: Any = None) -> list[np.ndarray]:
        with no_grad(), self._swapped(arrays, to):
            return [t.array for t in self._called(arrays, False, to)[1]]

    def gradients(self, arrays: Sequence, cotangents: Sequence, to: Any = None) -> list:
        with enable_grad(), self._swapped(arrays, to):
            leaves, outputs = self._called(arrays, True, to)
            return [_array(g) for g in _vjp(outputs, leaves, [wrap(c) for c in cotangents])]

    def gradients_of_gradients(
        self, arrays: Sequence, cotangents: Sequence, seconds: Sequence
    ) -> list:
        """The gradient of `gradients`, contracted with `seconds`, for arguments and cotangents."""
        with enable_grad(), self._swapped(arrays):
            leaves, outputs = self._called(arrays, True)
            tracked = [wrap(c).requires_grad_() for c in cotangents]
            first = _vjp(outputs, leaves, tracked, create_graph=True)
            live = [(d, s) for d, s in zip(first, seconds) if d is not None]
            second = _vjp([d for d, _ in live], [*leaves, *tracked], [wrap(s) for _, s in live])
            return [_array(g) for g in second]


class _Swapped:
    """Inside, parameters hold other values; afterwards they and the buffers are as before."""

    def __init__(self, parameters: list, arrays: Sequence, buffers: list, to: Any) -> None:
        self.parameters, self.arrays, self.buffers, self.to = parameters, arrays, buffers, to

    def __enter__(self) -> None:
        self.before = [p.array for p in self.parameters]
        self.kept = [(b, b.array, b.array.copy()) for b in self.buffers]
        for parameter, array in zip(self.parameters, self.arrays):
            parameter.array = array
        for buffer, array, _ in self.kept:
            buffer.array = _cast(array.copy(), self.to)

    def __exit__(self, *exception: object) -> None:
        for parameter, array in zip(self.parameters, self.before):
            parameter.array = array
        for buffer, array, copy in self.kept:
            buffer.array = array
            array[...] = copy


def _cast(array: np.ndarray, to: Any) -> np.ndarray:
    return array if to is None or array.dtype.kind != "f" else array.astype(to)


def _array(gradient: Any) -> Any:
    return None if gradient is None else gradient.detach().array


def _vjp(outputs: Sequence, leaves: Sequence, cotangents: Sequence, **options: Any) -> tuple:
    """autograd.grad through the outputs that have a graph; None where nothing arrives."""
    live = [(o, c) for o, c in zip(outputs, cotangents) if o.requires_grad]
    if not live:
        return (None,) * len(leaves)
    return autograd.grad(
        [o for o, _ in live], leaves, [c for _, c in live], allow_unused=True, **options
    )


# ------------------------------------------------------------------------------ pairs in NumPy


class NumpySubject(Subject):
    """`forward(*arrays)` and `backward(cotangent, *arrays)`, as a student writes them.

    Also in the form `forward(*arrays) -> (output, cache)`, `backward(cotangent, cache)`.  With
    several outputs the cotangent is a tuple.  Floating-point arrays are checked.
    """

    def __init__(
        self, forward: Callable, backward: Callable, inputs: Sequence, names: Sequence[str] | None
    ) -> None:
        self.forward, self.backward = forward, backward
        self.title = getattr(forward, "__name__", "forward")
        self.inputs = tuple(
            np.asarray(v) if isinstance(v, float | list | np.generic) else v for v in inputs
        )
        labels = _labels(forward, len(inputs), names)
        self.checked = [isinstance(v, np.ndarray) and v.dtype.kind == "f" for v in self.inputs]
        self.names = [n for n, checked in zip(labels, self.checked) if checked]
        self.start = [v for v, checked in zip(self.inputs, self.checked) if checked]
        self.constants = {
            n: v
            for n, v, checked in zip(labels, self.inputs, self.checked)
            if not checked and isinstance(v, np.ndarray)
        }
        self.order = [n for n, v in zip(labels, self.inputs) if isinstance(v, np.ndarray)]
        self._keep()
        self.cached = self._hands_on_a_cache()

    def _hands_on_a_cache(self) -> bool:
        result = self.forward(*self.inputs)
        if not (isinstance(result, tuple) and len(result) == 2):
            return False
        takes = _positional(self.backward)
        return takes == 2 and (len(self.inputs) > 1 or not _is_float_array(result[1]))

    def _filled(self, arrays: Sequence) -> list:
        values = iter(arrays)
        return [next(values) if c else v for v, c in zip(self.inputs, self.checked)]

    def _run(self, arrays: Sequence) -> tuple[list, Any]:
        result = self.forward(*self._filled(arrays))
        cache = None
        if self.cached:
            result, cache = result
        outputs = result if isinstance(result, tuple | list) else [result]
        return [np.asarray(output) for output in outputs], cache

    def outputs(self, arrays: Sequence, to: Any = None) -> list[np.ndarray]:
        return [o for o in self._run(arrays)[0] if o.dtype.kind in "fc"]

    def gradients(self, arrays: Sequence, cotangents: Sequence) -> list:
        cotangent = cotangents[0] if len(cotangents) == 1 else tuple(cotangents)
        rest = [self._run(arrays)[1]] if self.cached else self._filled(arrays)
        found = self.backward(cotangent, *rest)
        gradients = list(found) if isinstance(found, tuple | list) else [found]
        if len(gradients) == len(self.inputs):
            gradients = [g for g, checked in zip(gradients, self.checked) if checked]
        return [None if g is None else np.asarray(g) for g in gradients]


def _is_float_array(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _positional(function: Callable) -> int | None:
    """How many arguments it takes by position; None if any number."""
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return None
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(kind in by_position for kind in kinds)


def _labels(fn: Callable, count: int, names: Sequence[str] | None) -> list[str]:
    """Names of the arguments: given, or read off the signature."""
    if names is not None:
        if len(names) != count:
            raise ValueError(f"gradcheck: {len(names)} names for {count} inputs")
        return list(names)
    try:
        parameters = [p for p in inspect.signature(fn).parameters.values() if p.name != "ctx"]
    except (TypeError, ValueError):
        parameters = []
    labels: list[str] = []
    for p in parameters:
        if p.kind is inspect.Parameter.VAR_POSITIONAL:
            labels += [f"{p.name}[{i}]" for i in range(count - len(labels))]
        elif p.kind is not inspect.Parameter.KEYWORD_ONLY:
            labels.append(p.name)
    return (labels + [f"argument {i}" for i in range(len(labels), count)])[:count]


# ------------------------------------------------------------------------------- second order


class GradientSubject(Subject):
    """The gradient as a function of the arguments and of the cotangents, one order higher."""

    def __init__(self, first: TensorSubject, cotangents: Sequence) -> None:
        self.first, self.count = first, len(first.start)
        self.title = f"the gradient of {first.title}"
        many = len(cotangents) > 1
        self.names = [
            *first.names,
            *(f"grad_output {i}" if many else "grad_output" for i in range(len(cotangents))),
        ]
        self.start = [*first.start, *cotangents]
        self.constants = first.constants
        self.order = self.names
        self._keep()

    def outputs(self, arrays: Sequence, to: Any = None) -> list[np.ndarray]:
        values, cotangents = arrays[: self.count], arrays[self.count :]
        found = self.first.gradients(values, cotangents, to)
        return [np.zeros_like(x) if g is None else g for x, g in zip(values, found)]

    def gradients(self, arrays: Sequence, cotangents: Sequence) -> list:
        values, firsts = arrays[: self.count], arrays[self.count :]
        return self.first.gradients_of_gradients(values, firsts, cotangents)


def subject_of(
    fn: Any, inputs: Sequence, names: Sequence[str] | None
) -> TensorSubject | NumpySubject:
    """The subject for what a user hands in.  Raises TypeError for anything else, ValueError if
    there is nothing to check."""
    if isinstance(fn, tuple) and len(fn) == 2 and all(map(callable, fn)):
        subject: Any = NumpySubject(*fn, inputs, names)
    elif callable(fn):
        subject = TensorSubject(fn, inputs, names)
    else:
        raise TypeError(
            "gradcheck takes a function of tensors, a Module, an autograd.Function, or a pair of "
            f"NumPy functions (forward, backward), not {fn!r}"
        )
    if not subject.start:
        raise ValueError(
            "gradcheck: nothing to check: no input requires grad, and there is no floating-point "
            "array or parameter among them"
        )
    for name, array in zip(subject.names, subject.start):
        if array.itemsize < 4:
            raise TypeError(
                f"gradcheck: {name} is {array.dtype}, too coarse to be compared with numerical "
                "derivatives; pass it in float64"
            )
    return subject
