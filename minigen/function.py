"""Operations of the user's own: `minigen.autograd.Function`.

Two static methods, forward and backward, on tensors, with a context between them.  What they leave
behind in the graph is in `minigen.recording`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from minigen import backend
from minigen.autograd import Node, Variable, View, no_grad, wrap
from minigen.errors import ShapeError, describe
from minigen.modes import GRAD, is_grad_enabled, mode
from minigen.ops.history import adopt, check_writable
from minigen.recording import Call, output_node, record

__all__ = ["Function", "FunctionCtx", "once_differentiable"]

# ----------------------------------------------------------------------------- the context


class FunctionCtx:
    """What `forward` hands on to `backward`: saved tensors, marks, and any attribute you set."""

    needs_input_grad: tuple = ()
    """For each argument of `forward`, whether a gradient with respect to it is asked for."""

    def __init__(self) -> None:
        self._to_save: tuple = ()
        self._saved: list = []  # a tensor, None, or the number of an output and its values
        self._dirty: tuple = ()
        self._constant: tuple = ()
        self._materialize = True
        self._node: Node | None = None  # of the outputs, while a differentiable backward runs

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for `backward`, which fails if they were changed in place since.

        Raises TypeError for anything else: keep that as an attribute, `ctx.n = n`.
        """
        for position, each in enumerate(tensors):
            if each is not None and not isinstance(each, Variable):
                raise TypeError(
                    f"save_for_backward can only save tensors, but argument {position} is of type "
                    f"{type(each).__name__}; keep it as an attribute of ctx"
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` was given."""
        if not self._saved:
            return self._to_save
        return tuple(
            self._connected(*each) if isinstance(each, tuple) else each for each in self._saved
        )

    def _connected(self, index: int, saved: Variable) -> Variable:
        """A saved output; with its node, if the gradient is to be differentiable."""
        node = self._node
        if node is None:
            return saved
        output = wrap(saved.array)
        output.node = (
            node if not isinstance(node.shape, list) else output_node(node, index, saved.array)
        )
        output._requires_grad, output._version = True, saved._version
        return output

    def mark_dirty(self, *tensors: Variable) -> None:
        """Say which inputs `forward` changes in place; it has to return them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Variable) -> None:
        """Say which outputs have no gradient; integer outputs never have one."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros or None for an output that nothing depends on."""
        self._materialize = bool(value)


class Function:
    """An operation of your own, with its gradient: subclass it and call `apply`.

    forward(ctx, *args) computes the output, or a tuple of them, from tensors and anything else; it
    runs unrecorded.  backward(ctx, *grad_outputs) returns a gradient, or None, for each argument of
    forward.  Or, in PyTorch's newer form, forward(*args) and setup_context(ctx, inputs, output).
    A backward made of differentiable operations can be differentiated in turn, and gives forward
    mode (`minigen.func.jvp`) too.  For `minigen.func.vmap` define vmap(info, in_dims, *args).

    >>> import minigen
    >>> class Cube(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * grad_output
    >>> x = minigen.tensor(2.0, requires_grad=True)
    >>> y = Cube.apply(x)
    >>> y
    tensor(8., grad_fn=<CubeBackward>)
    >>> y.backward()
    >>> x.grad
    tensor(12.)
    """

    def __init__(self, *args: Any) -> None:
        raise RuntimeError(
            f"{type(self).__name__} is not made, but applied: {type(self).__name__}.apply(...), "
            "with static methods forward and backward"
        )

    @staticmethod
    def forward(*args: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Any) -> None:
        raise NotImplementedError("setup_context is optional")

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        raise NotImplementedError("a Function needs a static method backward to be differentiated")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`, and leave behind what `backward` needs."""
        for value in args:
            if isinstance(value, Variable) and value._view is not None:
                transformed = value.refresh()
                if transformed:
                    return transformed(cls.apply, args)
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Variable) and a._requires_grad for a in args)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                returned = cls.forward(ctx, *args)
            else:
                returned = cls.forward(*args)
                cls.setup_context(ctx, args, returned)
        outputs = returned if isinstance(returned, tuple) else (returned,)
        _check_dirty(cls, ctx, outputs)
        if any(ctx.needs_input_grad) and mode.flags & GRAD:
            outputs = _Applied(cls, ctx, args, outputs).record(args, outputs)
        return outputs if isinstance(returned, tuple) else outputs[0]


def _is_one_of(value: Any, tensors: Sequence) -> bool:
    return any(value is each for each in tensors)


def _check_dirty(cls: type, ctx: FunctionCtx, outputs: Sequence) -> None:
    for each in ctx._dirty:
        if not _is_one_of(each, outputs):
            raise RuntimeError(
                f"{cls.__name__}: an input that was given to mark_dirty is not returned as an "
                "output; what forward changes in place it must return"
            )
        check_writable(each)
        each.version()
        each.changed_in_place()


# ------------------------------------------------------------------------ recording a call


class _Applied:
    """One call that is recorded: what its backward has to know of its arguments and outputs."""

    def __init__(self, cls: type[Function], ctx: FunctionCtx, args: tuple, outputs: tuple) -> None:
        self.cls, self.ctx = cls, ctx
        self.names = _argument_names(cls, args)
        self.shapes = [a.array.shape if isinstance(a, Variable) else None for a in args]
        self.like = [_Like(each) if isinstance(each, Variable) else None for each in outputs]
        self.differentiable = [
            i
            for i, each in enumerate(outputs)
            if isinstance(each, Variable)
            and each.array.dtype.kind == "f"
            and not _is_one_of(each, ctx._constant)
        ]

    def record(self, args: tuple, outputs: tuple) -> tuple:
        """The outputs with their history."""
        if not self.differentiable:
            return outputs
        call = Call(self.cls.__name__, self.names, self.gradients)
        sources = [a if needed else None for a, needed in zip(args, self.ctx.needs_input_grad)]
        arrays = [outputs[i].array for i in self.differentiable]
        node, results = record(call, sources, arrays)
        final = list(outputs)
        for i, result in zip(self.differentiable, results):
            final[i] = _placed(outputs[i], result, args, self.ctx)
        self.save(call, node, args, outputs, results)
        return tuple(final)

    def save(
        self, call: Call, node: Node, args: tuple, outputs: tuple, results: Sequence
    ) -> None:  # fmt: skip
        """Keep what was saved, with its version; of an output no node (no reference cycle)."""
        ctx, made = self.ctx, [outputs[i] for i in self.differentiable]
        for position, each in enumerate(ctx._to_save):
            if each is None:
                ctx._saved.append(None)
            elif _is_one_of(each, made) and (
                not _is_one_of(each, args) or _is_one_of(each, ctx._dirty)
            ):
                index = next(i for i, output in enumerate(made) if output is each)
                kept = wrap(each.array)
                kept._version = each._version = results[index]._version = each.version()
                call.guard(node, f"output {self.differentiable[index]}", kept)
                ctx._saved.append((index, kept))
            else:
                inputs = [name for name, value in zip(self.names, args) if value is each]
                call.guard(node, inputs[0] if inputs else f"saved tensor {position}", each)
                ctx._saved.append(each)
        ctx._to_save = ()

    def gradients(self, cotangents: list, node: Node | None) -> list:
        """Call the user's backward, and check what it returns."""
        ctx, bare = self.ctx, node is None
        given: list = [None] * len(self.like)
        for i, g in zip(self.differentiable, cotangents):
            given[i] = wrap(backend.as_array(g)) if bare and g is not None else g
        if ctx._materialize:
            given = [
                like.zeros() if g is None and like is not None else g
                for g, like in zip(given, self.like)
            ]
        ctx._node = node
        try:
            returned = self.cls.backward(ctx, *given)
        finally:
            ctx._node = None
        gradients = list(returned) if isinstance(returned, tuple | list) else [returned]
        while len(gradients) > len(self.names) and gradients[-1] is None:
            gradients.pop()
        self.check(gradients)
        # [...] makes a view of an array: the engine then knows that somebody else may hold it
        return [
            g.array[...] if bare and needed and g is not None else g if needed else None
            for g, needed in zip(gradients, ctx.needs_input_grad)
        ]

    def check(self, gradients: list) -> None:
        """Raise RuntimeError, TypeError or ShapeError for a wrong number, kind or shape."""
        what = f"{self.cls.__name__}.backward"
        if len(gradients) != len(self.names):
            raise RuntimeError(
                f"{what} returned {len(gradients)} gradients, but forward has {len(self.names)} "
                f"arguments ({', '.join(self.names)}); return one, or None, for each"
            )
        for name, gradient, shape in zip(self.names, gradients, self.shapes):
            if gradient is None:
                continue
            if not isinstance(gradient, Variable):
                raise TypeError(
                    f"{what} returned {describe(gradient)} for argument {name!r}; a gradient is a "
                    "tensor or None"
                )
            if shape is None:
                raise RuntimeError(
                    f"{what} returned a gradient for argument {name!r}, which was no tensor; "
                    "return None"
                )
            given = tuple(gradient.array.shape)
            if given != shape and not _sums_to(given, shape):
                raise ShapeError(
                    f"{what} returned a gradient of shape {given} for argument {name!r} of shape "
                    f"{shape}"
                )


class _Like:
    """What is needed to make zeros like a tensor, without holding its memory."""

    def __init__(self, tensor: Variable) -> None:
        array = tensor.array
        self.shape, self.dtype = array.shape, array.dtype
        self.module = backend.array_module(array)

    def zeros(self) -> Any:
        return wrap(self.module.zeros(self.shape, self.dtype))


def _sums_to(given: tuple, shape: tuple) -> bool:
    """Whether a tensor of `shape` broadcasts to `given`, so that its gradient sums up to it."""
    tail = given[len(given) - len(shape) :]
    return len(given) >= len(shape) and all(n in (1, m) for n, m in zip(shape, tail))


def _placed(output: Variable, result: Variable, args: tuple, ctx: FunctionCtx) -> Variable:
    """The tensor to return: an input that was changed in place takes over the new history."""
    if _is_one_of(output, ctx._dirty):
        adopt(output, result)
        return output
    for value in args:
        if isinstance(value, Variable) and (
            backend.owner(value.array) is backend.owner(output.array)
        ):
            result._version = value.version()
            result._view = View(_refuse_in_place, value, ())
    return result


def _refuse_in_place(*args: Any) -> Any:
    raise RuntimeError(
        "an output of a Function that shares its memory with an input was changed in place, or the "
        "input was; return a clone(), or change it in forward and say so with ctx.mark_dirty"
    )


def _argument_names(cls: type[Function], args: tuple) -> list[str]:
    """What `forward` calls its arguments."""
    parameters = list(inspect.signature(cls.forward).parameters.values())
    if cls.setup_context is Function.setup_context:
        parameters = parameters[1:]
    names = []
    for i in range(len(args)):
        parameter = parameters[min(i, len(parameters) - 1)]
        spread = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        names.append(f"{parameter.name}[{i - len(parameters) + 1}]" if spread else parameter.name)
    return names


def once_differentiable(backward: Callable) -> Callable:
    """Decorate a `backward` whose computation cannot be differentiated, so that trying says so.

    It runs unrecorded, and a gradient of the gradient raises RuntimeError.
    """

    @functools.wraps(backward)
    def guarded(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        with no_grad():
            returned = backward(ctx, *grad_outputs)
        sources = [g for g in grad_outputs if isinstance(g, Variable) and g._requires_grad]
        if not is_grad_enabled() or not sources:
            return returned
        many = isinstance(returned, tuple | list)
        call = Call("OnceDifferentiable", ["grad_output"] * len(sources), _refuse_twice)
        final = [
            record(call, sources, [g.array])[1][0] if isinstance(g, Variable) else g
            for g in (returned if many else (returned,))
        ]
        return tuple(final) if many else final[0]

    return guarded


def _refuse_twice(*args: Any) -> Any:
    raise RuntimeError(
        "trying to differentiate twice a function that was marked with @once_differentiable"
    )
