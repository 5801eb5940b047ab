"""`vmap`: a function of one example becomes a function of a batch.

While the function runs, a `Batched` tensor looks like one example and holds all of them: its
component has the batch as dimension 0.  Every operation is done once, for all examples, by a
batching rule (`minigen.transforms.batch_rules`) that says which call of the same operation that is.
An operation without a rule raises an error; so does whatever reads the values of an example, such
as `if x > 0`, since they differ from example to example.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigen import errors, random
from minigen.function import Function
from minigen.modes import enable_grad
from minigen.ops.creation import zeros_like
from minigen.ops.indexing import narrow, select
from minigen.ops.joining import cat, stack
from minigen.ops.shape import expand, movedim
from minigen.tensor import Tensor
from minigen.transforms.batch_rules import batching_rule
from minigen.transforms.structure import Structure, flatten, unflatten
from minigen.transforms.tracing import Trace, Traced, active_traces, pull, tensor_output, traced

__all__ = ["BatchTrace", "vmap"]


class Example:
    """What `Batched.array` is: shape and dtype of one example, but no values."""

    __slots__ = ("dtype", "shape", "stands_for")
    base = None
    __array_ufunc__: Any
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, batch: Any) -> None:
        self.shape, self.dtype = batch.shape[1:], batch.dtype
        self.stands_for = getattr(batch, "stands_for", batch)  # it has the device

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        """Of NumPy's functions only those that ask for nothing but the shape."""
        if function in (np.zeros_like, np.ones_like, np.full_like, np.empty_like):
            kwargs = {"dtype": self.dtype, "shape": self.shape, **kwargs}
            return function(np.empty((), self.dtype), *args[1:], **kwargs)
        raise _unreadable()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _unreadable()


def _refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise _unreadable()


for _name in """
    __array__ __array_ufunc__ __bool__ __float__ __int__ __index__ __len__ __iter__ __getitem__
    __setitem__ __contains__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __add__ __radd__ __sub__
    __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __neg__ __invert__ __and__ __or__
""".split():  # noqa: SIM905
    setattr(Example, _name, _refuse)


def _unreadable() -> RuntimeError:
    """Names the function of minigen's that the user called."""
    frame: Any = sys._getframe(1)
    name = "this"
    while frame is not None and frame.f_globals.get("__name__", "").startswith("minigen."):
        if not frame.f_globals["__name__"].startswith("minigen.transforms"):
            name = frame.f_code.co_name.strip("_")
        frame = frame.f_back
    return RuntimeError(
        f"vmap: {name} reads the values of a tensor, which are not those of one example; write it "
        "in operations on whole tensors (where() instead of if, gather() for an index that "
        "differs), or loop: stack([f(x_i) for x_i in x])"
    )


class Batched(Traced):
    """One example to look at; all examples in its component, along dimension 0."""

    __slots__ = ()

    @classmethod
    def of(cls, trace: Trace, *components: Any) -> Any:
        return traced(cls, trace, Example(components[0].array), components)

    def detach(self) -> Any:
        return Batched.of(self._trace, self.components[0].detach())


class Info(NamedTuple):
    """What the `vmap` of a user's Function is told."""

    batch_size: int
    randomness: str


class BatchTrace(Trace):
    """One run of `vmap` over `size` examples."""

    what = "vmap"

    def __init__(self, size: int, randomness: str = "error") -> None:
        super().__init__()
        self.size, self.randomness = size, randomness

    def holds(self, value: Any) -> bool:
        return isinstance(value, Batched) and value._trace is self

    def batch(self, value: Any) -> Any:
        """All examples along dimension 0, stretched if they are one and the same."""
        if self.holds(value):
            return value.components[0]
        return expand(value, (self.size, *value.array.shape))

    def lift(self, value: Tensor) -> Tensor:
        return value if self.holds(value) else Batched.of(self, self.batch(value))

    def wrap(self, batches: Any) -> Any:
        """The examples of one batch, or of several."""
        if isinstance(batches, tuple):
            return tuple(map(self.wrap, batches))
        return Batched.of(self, batches)

    def process(self, function: Callable, args: tuple) -> Any:
        owner = getattr(function, "__self__", None)
        if isinstance(owner, type) and issubclass(owner, Function):
            return self.apply_function(owner, args)
        return batching_rule(function)(self, function, args)

    def apply_function(self, owner: Any, args: tuple) -> Any:
        """A user's Function says itself what it does with a batch."""
        if not hasattr(owner, "vmap"):
            raise RuntimeError(
                f"vmap: {owner.__name__} has no batching rule; give it a static method "
                "vmap(info, in_dims, *args) that returns (output, out_dims)"
            )
        in_dims = tuple(0 if self.holds(each) else None for each in args)
        given = [each.components[0] if self.holds(each) else each for each in args]
        outputs, out_dims = owner.vmap(Info(self.size, self.randomness), in_dims, *given)
        many = isinstance(outputs, tuple)
        dims = (
            out_dims if isinstance(out_dims, tuple) else (out_dims,) * (len(outputs) if many else 1)
        )
        results = [
            each if dim is None else self.wrap(movedim(each, dim, 0))
            for each, dim in zip(outputs if many else (outputs,), dims)
        ]
        return tuple(results) if many else results[0]

    def pull(self, outputs: list, inputs: list, cotangents: list, create_graph: bool) -> list:
        """Examples do not meet, so the gradient of the batch is the batch of the gradients."""
        with enable_grad():
            found = self._pull(outputs, inputs, cotangents, create_graph)
        return [None if each is None else self.wrap(each) for each in found]

    def _pull(self, outputs: list, inputs: list, cotangents: list, create_graph: bool) -> Sequence:
        if all(map(self.holds, inputs)):
            pairs = [(y, g) for y, g in zip(outputs, cotangents) if y is not None and g is not None]
            batches = [[self.batch(each) for each in side] for side in zip(*pairs)] or [[], []]
            return pull(batches[0], [x.components[0] for x in inputs], batches[1], create_graph)
        # The graph is from outside, with one place for all examples: one after the other.
        rows = [
            pull(
                [self.example(y, i) for y in outputs],
                inputs,
                [self.example(g, i) for g in cotangents],
                create_graph,
            )
            for i in range(self.size)
        ]
        if not rows:
            return [expand(zeros_like(x), (0, *x.array.shape)) for x in inputs]
        return [None if each[0] is None else stack(each) for each in zip(*rows)]

    def example(self, value: Any, index: int) -> Any:
        return select(value.components[0], 0, index) if self.holds(value) else value


# ------------------------------------------------------------------------------------- vmap


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """A function of batches: `vmap(f)(x)` is `stack([f(x_i) for x_i in x])`, in one pass.

    func:       takes single examples, and returns tensors or a structure of them.
    in_dims:    the dimension of each argument along which the examples are; None for an argument
                that is the same for all.  One for all arguments, or a tuple, nested as they are.
                Keyword arguments are the same for all.
    out_dims:   where to put the examples in each output, in the same way.
    randomness: "error": drawing random numbers raises; "same": all examples see the same ones.
    chunk_size: how many examples to do at a time, to save memory.

    Nested calls, and `grad`, `vjp` and `jvp` inside and outside, are fine: vmap(grad(f)) gives the
    gradient of every example.  Raises RuntimeError for an operation that has no batching rule and
    for reading values, ValueError for dims that do not fit.

    >>> import minigen
    >>> vmap(minigen.dot)(minigen.tensor([[1.0, 2.0], [3.0, 4.0]]), minigen.ones(2, 2))
    tensor([3., 7.])
    """
    if randomness not in ("error", "same"):
        raise ValueError(
            f"vmap: randomness is 'error' or 'same', got {randomness!r}; for numbers that differ, "
            "draw them outside, for all examples, and pass them in"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"vmap: chunk_size must be at least 1, got {chunk_size}")

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten(args)
        dims = _spread("in_dims", in_dims, structure)
        dims = [_checked(dim, leaf) for dim, leaf in zip(dims, leaves)]
        size = _batch_size(dims, leaves)
        step = chunk_size or size or 1
        run = functools.partial(func, **kwargs) if kwargs else func
        parts = []
        for first in range(0, max(size, 1), step):
            rows = min(step, size - first)
            chunk = [
                leaf if dim is None else _examples(leaf, dim, first, rows, size)
                for dim, leaf in zip(dims, leaves)
            ]
            parts.append(_run(run, chunk, dims, structure, rows, out_dims, randomness))
        return _joined(parts, out_dims)

    return call


def _spread(name: str, dims: Any, structure: Structure) -> list:
    """One dim for each leaf of the structure, of which `dims` is a prefix."""
    if dims is None or isinstance(dims, int):
        return [dims] * structure.size
    parts = list(dims.values()) if isinstance(dims, dict) else dims
    keys = tuple(dims) if isinstance(dims, dict) else ()
    if (
        not isinstance(parts, tuple | list)
        or len(parts) != len(structure.children)
        or keys != structure.keys
    ):
        raise ValueError(
            f"vmap: {name} is an integer, None, or as the values are nested, {structure}; got "
            f"{dims!r}"
        )
    return [
        dim for part, child in zip(parts, structure.children) for dim in _spread(name, part, child)
    ]


def _checked(dim: int | None, leaf: Any) -> int | None:
    """The dim counted from the front.  Raises ValueError unless the leaf has it."""
    if dim is None:
        return None
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"vmap: in_dims is {dim} for {errors.describe(leaf)}, which is no tensor; give it None"
        )
    ndim = leaf.array.ndim
    if not -ndim <= dim < ndim:
        raise ValueError(
            f"vmap: in_dims is {dim} for a tensor of {ndim} dimensions, {errors.describe(leaf)}"
        )
    return dim % ndim


def _batch_size(dims: Sequence, leaves: Sequence) -> int:
    sizes = {leaf.array.shape[dim] for dim, leaf in zip(dims, leaves) if dim is not None}
    if not sizes:
        raise ValueError("vmap: at least one argument needs a dimension of examples (in_dims)")
    if len(sizes) > 1:
        raise ValueError(f"vmap: the arguments hold different numbers of examples: {sorted(sizes)}")
    return sizes.pop()


def _examples(leaf: Any, dim: int, first: int, rows: int, size: int) -> Any:
    """These examples of a tensor, along dimension 0."""
    moved = movedim(leaf, dim, 0)
    return moved if rows == size else narrow(moved, 0, first, rows)


def _run(
    func: Callable, leaves: list, dims: list, structure: Structure, size: int, out_dims: Any,
    randomness: str,
) -> Any:  # fmt: skip
    """Run the function once; the examples of each output are put where out_dims says."""
    told = random.watch.told
    with BatchTrace(size, randomness) as trace:
        random.watch.told = _forbid_randomness
        try:
            args = unflatten(
                [leaf if d is None else trace.wrap(leaf) for d, leaf in zip(dims, leaves)],
                structure,
            )
            output = func(*args)
        finally:
            random.watch.told = told
        found, form = flatten(output)
        results = [
            _output(trace, tensor_output("vmap", value), dim)
            for value, dim in zip(found, _spread("out_dims", out_dims, form))
        ]
    return unflatten(results, form)


def _output(trace: BatchTrace, value: Any, dim: int | None) -> Any:
    if dim is None:
        if trace.holds(value):
            raise ValueError("vmap: out_dims is None for an output that differs between examples")
        return value
    if not -value.array.ndim - 1 <= dim <= value.array.ndim:
        raise ValueError(
            f"vmap: out_dims is {dim}, but the examples can be put in front of, between or behind "
            f"{value.array.ndim} dimensions only"
        )
    return movedim(trace.batch(value), 0, dim)


def _joined(parts: list, out_dims: Any) -> Any:
    """The outputs of all chunks as one."""
    if len(parts) == 1:
        return parts[0]
    flat, form = zip(*map(flatten, parts))
    dims = _spread("out_dims", out_dims, form[0])
    joined = [
        values[0] if dim is None else cat(values, dim) for values, dim in zip(zip(*flat), dims)
    ]
    return unflatten(joined, form[0])


def _forbid_randomness() -> None:
    for trace in active_traces():
        if isinstance(trace, BatchTrace) and trace.randomness == "error":
            raise RuntimeError(
                f"vmap: random numbers are drawn at {errors.caller()}; all examples would see the "
                "same. Say randomness='same' if that is meant, else draw them outside, for all "
                "examples, and pass them in"
            )
