"""`summary`: the layers of a model as a tree, with output shapes, parameters and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from minigen import backend, dtypes
from minigen.autograd import wrap
from minigen.modes import INFERENCE, enable_grad
from minigen.nn import Module
from minigen.tensor import Tensor
from minigen.viz.text import byte_text, columns, table
from minigen.viz.trace import nodes_behind, saved_bytes

HEAD = ("Layer", "Output shape", "Parameters", "Trainable", "Calls")


@dataclass
class Layer:
    """A row of the summary.

    path: from the model, "" for itself.  parameters: of this layer and all below it; one that stood
    in an earlier layer is not counted again.  trainable: how many of them ask for a gradient.
    tied: how many it shares with earlier layers.  output_shapes: of each call; a nested tuple or
    list of shapes if the output is one.  reused: the layer itself stands at an earlier path, too.
    """

    path: str
    type: str
    depth: int
    parameters: int = 0
    trainable: int = 0
    tied: int = 0
    output_shapes: list[Any] = field(default_factory=list)
    reused: str | None = None
    callable: bool = True

    @property
    def calls(self) -> int:
        return len(self.output_shapes)


@dataclass
class Summary:
    """What `summary` found; `str()` gives the table.

    layers: all, also those below `depth`.  Bytes of memory: of parameters and buffers, each counted
    once, and what the forward pass saved for the backward pass besides them (input included); None
    if nothing was computed.
    """

    layers: list[Layer]
    depth: int
    parameters: int
    trainable: int
    parameter_bytes: int
    buffer_bytes: int
    saved_bytes: int | None = None

    @property
    def frozen(self) -> int:
        return self.parameters - self.trainable

    def __str__(self) -> str:
        computed = self.saved_bytes is not None
        rows: list[tuple[str, ...]] = [HEAD]
        shown = [layer for layer in self.layers if layer.depth <= self.depth]
        for lead, layer in zip(_leads(shown), shown):
            name = layer.path.rpartition(".")[2]
            label = f"{lead}{name}: {layer.type}" if layer.path else layer.type
            rows.append((label, *_cells(layer, computed)))
        if not computed:
            rows = [(row[0], row[2], row[3]) for row in rows]
        lines = table(rows, right=[2, 4] if computed else [1])
        rule = "─" * max(map(columns, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self._totals()])

    __repr__ = __str__

    def _totals(self) -> list[str]:
        memory = [f"parameters {byte_text(self.parameter_bytes)}"]
        if self.buffer_bytes:
            memory.append(f"buffers {byte_text(self.buffer_bytes)}")
        if self.saved_bytes is not None:
            memory.append(f"saved for backward {byte_text(self.saved_bytes)}")
        return [
            f"Parameters: {self.parameters:,} ({self.trainable:,} trainable, "
            f"{self.frozen:,} frozen)",
            f"Memory: {', '.join(memory)}",
        ]


def summary(
    model: Module,
    input_size: Any = None,
    input_data: Any = None,
    depth: int = 3,
    dtypes: Any = None,
    **kwargs: Any,
) -> Summary:
    """The layers of a model, what they put out and how many parameters they have.

    input_size: the shape of the input, batch included, or a list of shapes for several inputs;
        the model is called with random numbers from 0 to 1 (zeros if the dtype is an integer).
    input_data: a tensor to call the model with instead, or a tuple or list of arguments, or a dict
        of named ones.  Without either, nothing is computed: the table has no shapes.
    depth: how many levels below the model to print.
    dtypes: of the inputs made from `input_size`, one or a list; the default dtype if not given.
    kwargs: handed to the model.

    The model runs once, in the mode it is in (training or not), and nothing of it remains: neither
    hooks, nor changed buffers (running averages), nor random numbers drawn.
    Raises TypeError or ValueError for an input that makes no sense; what the model itself raises
    for the input comes through.

    >>> from minigen import nn
    >>> model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    >>> summary(model, input_size=(32, 784))
    Layer          Output shape   Parameters   Trainable   Calls
    ────────────────────────────────────────────────────────────
    Sequential     (32, 10)          101,770   yes             1
    ├─ 0: Linear   (32, 128)         100,480   yes             1
    ├─ 1: ReLU     (32, 128)               –   –               1
    └─ 2: Linear   (32, 10)            1,290   yes             1
    ────────────────────────────────────────────────────────────
    Parameters: 101,770 (101,770 trainable, 0 frozen)
    Memory: parameters 397.5 KiB, saved for backward 114.0 KiB
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: expects a Module, got {type(model).__name__}")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        raise ValueError(f"summary: depth is a number of levels from 0, not {depth!r}")
    args, named = _inputs(model, input_size, input_data, dtypes)
    layers = _layers(model)
    parameters, buffers = list(model.parameters()), list(model.buffers())
    result = Summary(
        list(layers.values()),
        depth,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        _memory(parameters),
        _memory(buffers),
    )
    if args is not None:
        with _unchanged(model), _observed(model, layers), _Recording():
            output = model(*args, **named, **kwargs)
            roots = [t.grad_fn for t in _tensors(output) if t.grad_fn is not None]
            result.saved_bytes = saved_bytes(nodes_behind(roots), [*parameters, *model.buffers()])
    elif kwargs:
        raise TypeError(
            f"summary: {', '.join(kwargs)} can be handed to the model only together with "
            "input_size= or input_data="
        )
    return result


class _Recording(enable_grad):
    """The graph is recorded, even within inference_mode: what it saves is to be measured."""

    off = INFERENCE


def _inputs(
    model: Module, size: Any, data: Any, kinds: Any
) -> tuple[Sequence[Any] | None, Mapping[str, Any]]:
    """Positional and named arguments for the model; None if it is not to be called."""
    if data is not None:
        if size is not None or kinds is not None:
            raise ValueError("summary: give input_size (and dtypes) or input_data, not both")
        if isinstance(data, Mapping):
            return (), data
        if isinstance(data, list | tuple):
            return data, {}
        if isinstance(data, Tensor):
            return (data,), {}
        raise TypeError(
            f"summary: input_data is a tensor, a list of arguments or a dict of named ones, "
            f"not {type(data).__name__}"
        )
    if size is None:
        if kinds is not None:
            raise ValueError("summary: dtypes belong to input_size, which is not given")
        return None, {}
    if not isinstance(size, list | tuple):
        raise TypeError(f"summary: input_size is a shape or a list of shapes, not {size!r}")
    sizes = [size] if all(isinstance(n, int) for n in size) else list(size)
    if not isinstance(kinds, list | tuple):
        kinds = [kinds] * len(sizes)
    if len(kinds) != len(sizes):
        raise ValueError(f"summary: {len(sizes)} input sizes, but {len(kinds)} dtypes")
    place = next((p.device for p in model.parameters()), backend.CPU)
    random = backend.Generator().manual_seed(0)
    made = []
    for shape, kind in zip(sizes, kinds):
        valid = isinstance(shape, list | tuple)
        if not valid or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"summary: an input size is a tuple of integers, not {shape!r}")
        dtype = dtypes.get_default_dtype() if kind is None else dtypes.as_dtype(kind)
        array = random.stream.random(tuple(shape)).astype(dtype.numpy)
        made.append(wrap(backend.to_device(backend.as_array(array), place)))
    return made, {}


def _layers(model: Module) -> dict[str, Layer]:
    """A row for every path, with its own parameters and those of all below it."""
    found: dict[str, Layer] = {}
    first_path: dict[Module, str] = {}
    counted: set[Any] = set()
    stack: list[tuple[str, Module, int, list[Layer]]] = [("", model, 0, [])]
    while stack:
        path, module, depth, above = stack.pop()
        layer = found[path] = Layer(path, type(module).__name__, depth)
        layer.callable = type(module).forward is not Module.forward
        if module in first_path:
            layer.reused = first_path[module]
            continue
        first_path[module] = path
        line = [*above, layer]
        for parameter in module._parameters.values():
            if parameter is None:
                continue
            count = parameter.numel()
            for each in line:
                if parameter in counted:
                    each.tied += count
                else:
                    each.parameters += count
                    each.trainable += count * parameter.requires_grad
            counted.add(parameter)
        children = [(n, c) for n, c in module._modules.items() if c is not None]
        stack += [
            (f"{path}.{name}" if path else name, child, depth + 1, line)
            for name, child in reversed(children)
        ]
    return found


@contextmanager
def _observed(model: Module, layers: Mapping[str, Layer]) -> Iterator[None]:
    """While this lasts, each call of a module adds the shape of its output to its row."""
    handles = []
    try:
        for path, module in model.named_modules():

            def note(_: Module, __: Any, output: Any, layer: Layer = layers[path]) -> None:
                layer.output_shapes.append(_shapes(output))

            handles.append(module.register_forward_hook(note))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _unchanged(model: Module) -> Iterator[None]:
    """Copies in place of the buffers while this lasts; afterwards the random stream goes back."""
    state = backend.default_generator.state
    tables = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    copies: dict[Any, Tensor] = {}
    try:
        for current, _ in tables:
            for name, buffer in current.items():
                if buffer is not None:
                    copy = copies.setdefault(buffer, wrap(buffer.array.copy()))
                    current[name] = copy
        yield
    finally:
        for current, before in tables:
            current.clear()
            current.update(before)
        backend.default_generator.state = state


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an output, however it is nested."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _shapes(value: Any) -> Any:
    """The same nesting with shapes in place of tensors, None for anything else."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, Mapping):
        return {key: _shapes(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shapes(part) for part in value]
    return None


def _shape_text(shape: Any) -> str:
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{key}: {_shape_text(s)}" for key, s in shape.items()) + "}"
    if isinstance(shape, list):
        return "[" + ", ".join(map(_shape_text, shape)) + "]"
    return "–" if shape is None else str(shape)


def _memory(tensors: Sequence[Any]) -> int:
    owners = {id(t.array): t.array.nbytes for t in tensors}
    return sum(owners.values())


def _cells(layer: Layer, computed: bool) -> tuple[str, str, str, str]:
    """Output shape, parameters, trainable and calls, as text."""
    texts = list(dict.fromkeys(map(_shape_text, layer.output_shapes)))
    shape = ", ".join(texts[:2]) + (", ..." if len(texts) > 2 else "")
    if layer.reused is not None:
        return f"(same as {layer.reused or 'the model'})", "–", "–", "–"
    if not layer.calls:
        shape = "not called" if layer.callable else "–"
    count = f"{layer.parameters:,}" if layer.parameters else "tied" if layer.tied else "–"
    share = "yes" if layer.trainable == layer.parameters else "part" if layer.trainable else "no"
    trainable = share if layer.parameters else "–"
    return shape, count, trainable, str(layer.calls) if layer.calls else "–"


def _leads(layers: Sequence[Layer]) -> list[str]:
    """The lines of the tree in front of each layer."""
    leads: list[str] = []
    open_below: list[bool] = []  # at each depth: does another layer follow there?
    for layer in reversed(layers):
        depth = layer.depth
        del open_below[depth + 1 :]
        open_below += [False] * (depth + 1 - len(open_below))
        lead = "".join("│  " if more else "   " for more in open_below[1:depth])
        corner = "├─ " if open_below[depth] else "└─ "
        leads.append(lead + corner if depth else "")
        open_below[depth] = True
    return leads[::-1]
