"""`checkpoint`: give up what a part of a computation saved, and compute it again in backward.

With a checkpoint around each of √n parts of n layers, √n values are kept between the parts and √n
within the one that is being computed again: memory of √n for one more forward pass.
Source: Chen et al. 2016, arXiv:1604.06174, section 4; Griewank & Walther 2000 (revolve).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minigen import autograd, backend
from minigen.autograd import Node, Variable, _next_age, identity, wrap
from minigen.errors import ShapeError, describe
from minigen.modes import GRAD, is_grad_enabled, mode
from minigen.random import default_generator
from minigen.recording import Call, record
from minigen.transforms.structure import flatten, unflatten
from minigen.transforms.tracing import Traced, requires_grad

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable, *args: Any, use_reentrant: bool | None = None, context_fn: Any = None,
    determinism_check: str = "default", debug: bool = False, early_stop: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """function(*args, **kwargs), of which nothing but the arguments is kept for backward.

    Backward runs the function again, with the same arguments, the same random numbers (unless
    preserve_rng_state=False) and the same modes (as `detect_anomaly`), and goes on from there.  The
    function may use any other tensors, such as the parameters of a module, and may return any
    structure.  Checkpoints can be nested, and differentiated more than once.

    use_reentrant, early_stop: PyTorch's choices of how it is done; the result is the same for all.
    determinism_check:         "default": raise RuntimeError if the outputs of the second run differ
                               in shape or dtype; "none": let the engine find out.
    Raises RuntimeError if an argument is changed in place by the function, or before backward.
    In `jvp` and `vmap` it is a plain call: forward mode keeps nothing anyway.

    >>> import minigen
    >>> x = minigen.tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x.exp() * x).sum(), x).backward()
    >>> x.grad
    tensor([ 5.4366, 22.1672])
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if context_fn is not None or debug:
        raise ValueError("checkpoint: context_fn and debug are not offered")
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"checkpoint: determinism_check is 'default' or 'none', got {determinism_check!r}"
        )
    if not is_grad_enabled():
        return function(*args, **kwargs)
    region = _Region(function, args, kwargs, preserve, determinism_check == "default")
    return region.run()


class _Region:
    """A part of a computation that can be run again."""

    def __init__(
        self, function: Callable, args: tuple, kwargs: dict, preserve: bool, strict: bool
    ) -> None:
        self.function, self.strict = function, strict
        self.leaves, self.structure = flatten((args, kwargs))
        self.state = default_generator.state if preserve else None
        self.flags = mode.flags
        self.born = _next_age()  # whatever is recorded from now on is younger
        self.keys: list = []  # where the region starts: nodes and leaves outside
        self.chosen: list[int] = []  # which outputs have a gradient

    def call(self, leaves: Sequence) -> tuple:
        args, kwargs = unflatten(leaves, self.structure)
        return flatten(self.function(*args, **kwargs))

    def run(self) -> Any:
        """The first run: find where the region starts, and put one node in the place of it all."""
        tensors = [each for each in self.leaves if isinstance(each, Variable)]
        versions = [(each, each.version().count) for each in tensors]
        outputs, form = self.call(self.leaves)
        if any(isinstance(each, Traced) for each in (*self.leaves, *outputs)):
            return unflatten(outputs, form)
        for each, count in versions:
            if each.version().count != count:
                raise RuntimeError(
                    f"checkpoint: the function changed its argument {describe(each)} in place; a "
                    "second run would start from other values; change a clone()"
                )
        self.chosen = [
            i for i, y in enumerate(outputs) if requires_grad(y) and self.inside(y.node or y)
        ]
        if not self.chosen:
            return unflatten(outputs, form)
        self.keys = self.outside([outputs[i].node for i in self.chosen])
        chosen = [outputs[i] for i in self.chosen]
        call = Call("Checkpoint", ["a tensor it depends on"] * len(self.keys), self.gradients)
        node, results = record(call, self.keys, [each.array for each in chosen])
        for i, output, result in zip(self.chosen, chosen, results):
            result._version, outputs[i] = output._version, result
        for i, each in enumerate(tensors):
            call.guard(node, f"argument {i}", each)
        for each in self.keys:
            if each.__class__ is not Node and not any(each is tensor for tensor in tensors):
                call.guard(node, f"tensor {describe(each)}", each)
        return unflatten(outputs, form)

    def inside(self, place: Any) -> bool:
        """Whether a place in the graph was made by the region."""
        return place.__class__ is Node and place.age < self.born

    def outside(self, nodes: Sequence) -> list:
        """The nodes and leaves that the region was entered from."""
        found: dict = {}
        seen = set(nodes)
        stack = list(nodes)
        while stack:
            for parent, _ in stack.pop().next_functions:
                if not self.inside(parent):
                    found[parent] = True
                elif parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
        return list(found)

    def gradients(self, cotangents: list, node: Node | None) -> list:
        """Run the region again, and backward through it to where it starts."""
        differentiable = node is not None
        aliases: dict = {}
        leaves = list(self.leaves)
        with self.as_before():
            for i, each in enumerate(leaves):
                if requires_grad(each):
                    key = each.node or each
                    if key not in aliases:
                        aliases[key] = identity(each) if differentiable else _leaf(each)
                    leaves[i] = aliases[key]
            outputs, _ = self.call(leaves)
        again = [outputs[i] for i in self.chosen]
        given = [wrap(backend.as_array(g)) if g is not None and not differentiable else g
                 for g in cotangents]  # fmt: skip
        pairs = [(y, g) for y, g in zip(again, given) if g is not None and requires_grad(y)]
        if self.strict:
            _compare(again, given)
        targets = [aliases[key] if key in aliases else _at(key) for key in self.keys]
        if not pairs:
            return [None] * len(targets)
        roots, filled = zip(*pairs)
        with _without_hooks(self.keys):
            found = autograd.grad(
                roots, targets, filled, create_graph=differentiable, allow_unused=True
            )
        return [g if g is None or differentiable else g.array[...] for g in found]

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """The modes and the random numbers of the first run."""
        flags, state = mode.flags, default_generator.state
        mode.flags = self.flags | GRAD
        if self.state is not None:
            default_generator.state = self.state
        try:
            yield
        finally:
            mode.flags = flags
            if self.state is not None:
                default_generator.state = state


def _leaf(tensor: Any) -> Any:
    """A leaf over the same memory, so that the graph behind the tensor is not walked."""
    return tensor.detach().requires_grad_()


def _at(key: Any) -> Any:
    """A tensor at this place in the graph, to ask for its gradient."""
    if key.__class__ is not Node:
        return key
    stand_in = wrap(None)
    stand_in.node, stand_in._requires_grad = key, True
    return stand_in


def _compare(again: list, cotangents: list) -> None:
    for output, g in zip(again, cotangents):
        if g is None:
            continue
        if output.array.shape != g.array.shape or output.array.dtype != g.array.dtype:
            raise ShapeError(
                f"checkpoint: run again, the function returned {describe(output)}, but at first "
                f"{describe(g)}; it must do the same every time"
            )


@contextmanager
def _without_hooks(keys: Sequence) -> Iterator[None]:
    """Hooks on what is outside are called once, by the backward that goes on there."""
    name = {key: "hooks" if key.__class__ is Node else "_hooks" for key in keys}
    hooks = {key: getattr(key, name[key]) for key in keys}
    for key in keys:
        setattr(key, name[key], None)
    try:
        yield
    finally:
        for key in keys:
            setattr(key, name[key], hooks[key])


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """The functions one after the other, with a checkpoint around each segment but the last.

    functions: a list, or an `nn.Sequential`.

    >>> import minigen
    >>> x = minigen.ones(2, requires_grad=True)
    >>> checkpoint_sequential([minigen.sin, minigen.exp, minigen.cos], 2, x).requires_grad
    True
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {', '.join(kwargs)}")
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if segments < 1 or segments > max(len(steps), 1):
        raise ValueError(
            f"checkpoint_sequential: segments must be from 1 to {len(steps)}, got {segments}"
        )
    size = len(steps) // segments

    def run(part: list) -> Callable:
        def forward(x: Any) -> Any:
            for step in part:
                x = step(x)
            return x

        return forward

    last = size * (segments - 1)
    for start in range(0, last, max(size, 1)):
        part = run(steps[start : start + size])
        input = checkpoint(part, input, preserve_rng_state=preserve)
    return run(steps[last:])(input)
