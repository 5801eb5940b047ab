"""How a computation that is no operation of `minigen.ops` enters the graph.

There an operation is a function of arrays with a gradient rule for each argument.  Here somebody
else computed the outputs, and one function gives all gradients: `minigen.autograd.Function` and
`minigen.transforms.checkpoint` are made so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigen import backend
from minigen.autograd import Node, Variable, _node, wrap

__all__ = ["Call", "output_node", "record"]


class Call:
    """What a node asks of its operation (names), and an edge of its rule (a function), in one.

    function(cotangents, node) returns a gradient, or None, for each source.  There is a cotangent,
    or None, for each output.  They are arrays and `node` is None, unless backward is to be
    differentiable: then they are tensors, and the node is that of the outputs.
    """

    formula = None  # as an operation
    single, output = False, 0  # as a rule: of several parents; values[0] stands for the output

    def __init__(self, name: str, names: Sequence[str], function: Callable) -> None:
        self.name, self.names = name, tuple(names)
        self.backward_name = f"{name}Backward"
        self.slots = list(names)  # of what is saved
        self._function = function

    def guard(self, node: Node, what: str, saved: Variable) -> None:
        """Have backward fail if `saved` was changed in place until then."""
        if what not in self.slots:
            self.slots.append(what)
        node.guard(self.slots.index(what), saved)

    def function(self, g: Any, token: Any) -> Sequence:
        """The rule.  The engine gave the token the node, since it takes it for a saved output."""
        cotangents = g if isinstance(g, list) else [g]
        return self._function(cotangents, getattr(token, "node", None))


def record(call: Call, sources: Sequence, arrays: Sequence) -> tuple[Node, list]:
    """Make tensors of `arrays`, and a node behind them that leads to the sources.

    A source is a tensor, a node, or None where no gradient is asked for.
    """
    results = [wrap(array) for array in arrays]
    node = _node(call, arrays[0])  # type: ignore[arg-type]
    parents = [getattr(source, "node", None) or source for source in sources]
    node.edges = ((call, parents, (wrap(backend.as_array(0.0)),)),)
    if len(results) > 1:
        node.shape = [array.shape for array in arrays]
    for index, result in enumerate(results):
        result.node = node if len(results) == 1 else output_node(node, index, result.array)
        result._requires_grad = True
    return node, results


def output_node(node: Node, index: int, array: Any) -> Node:
    """The node of one of several outputs: it says which of those of `node` it stands for."""
    own = _node(node.operation, array)
    own.index, own.edges = index, ((None, node, ()),)
    return own
