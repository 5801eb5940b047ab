"""Forward mode: `jvp`, the derivative in one direction, carried along as the function runs.

Every tensor x that depends on the inputs has a tangent ẋ, of the same shape: the derivative of x as
the inputs move in the given direction.  An operation y = f(x1, ..., xn) has to give
ẏ = Σ (∂f/∂xi) ẋi.  What it has is a rule for the transpose: a cotangent g goes to (∂f/∂xi)ᵀ g.
That rule is linear in g, so a gradient of it with respect to g transposes it once more:

    Σ <(∂f/∂xi)ᵀ g, ẋi> = <g, ẏ>,   therefore   ẏ = d/dg Σ <rule_i(g), ẋi>.

So every operation with a gradient rule has forward mode, and no more than one operation's graph is
ever kept: memory does not grow with the length of the computation.
Source: "double backward trick", J. Townsend 2017; Griewank & Walther 2008, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigen.errors import describe
from minigen.modes import enable_grad, is_grad_enabled
from minigen.ops.creation import zeros_like
from minigen.transforms.structure import flatten, map_structure, unflatten
from minigen.transforms.tracing import (
    Trace,
    Traced,
    fresh,
    is_floating,
    lifted,
    pull,
    requires_grad,
    tensor_output,
    traced,
    traces_of,
    unrecorded,
    with_aux,
)

__all__ = ["ForwardTrace", "jvp"]


class Dual(Traced):
    """A tensor and its tangent."""

    __slots__ = ()

    @classmethod
    def of(cls, trace: Trace, *components: Any) -> Any:
        return traced(cls, trace, components[0].array, components)

    def detach(self) -> Any:
        return self.components[0].detach()


class ForwardTrace(Trace):
    """One run of `jvp`."""

    what = "jvp"

    def split(self, value: Any) -> tuple[Any, Any]:
        """(primal, tangent), the latter None for what does not depend on the inputs."""
        if isinstance(value, Dual) and value._trace is self:
            return value.components
        return value, None

    def process(self, function: Callable, args: tuple) -> Any:
        primals, tangents = zip(*map(self.split, args))
        moving = [i for i, tangent in enumerate(tangents) if tangent is not None]
        local, batches = list(primals), traces_of((*primals, *tangents))
        for i in moving:
            local[i] = fresh(lifted(primals[i], batches))
        with enable_grad():
            outputs = function(*local)
        inputs, directions = [local[i] for i in moving], [tangents[i] for i in moving]
        keep = is_grad_enabled() and any(map(requires_grad, primals))
        create = is_grad_enabled() and any(map(requires_grad, (*primals, *tangents)))
        results = [
            self.join(
                output if keep else unrecorded(output),
                _tangent(output, inputs, directions, create),
            )
            for output in (outputs if isinstance(outputs, tuple) else (outputs,))
        ]
        return tuple(results) if isinstance(outputs, tuple) else results[0]

    def join(self, primal: Any, tangent: Any) -> Any:
        return primal if tangent is None else Dual.of(self, primal, tangent)

    def pull(self, outputs: list, inputs: list, cotangents: list, create_graph: bool) -> list:
        """The gradient of a Dual is the Dual of the gradient and its derivative.

        With y = f(x), ẏ = f'(x) ẋ and cotangents g, ġ, the gradient is f'(x)ᵀ g, and its derivative
        f'(x)ᵀ ġ + ∂/∂x <g, f'(x) ẋ>: the gradient of y with ġ plus that of ẏ with g.
        """
        starts = [self.split(x)[0] for x in inputs]
        y, dy = map(list, zip(*map(self.split, outputs)))
        g, dg = map(list, zip(*map(self.split, cotangents)))
        primals = pull(y, starts, g, create_graph)
        with_tangent = [i for i, each in enumerate(dy) if each is not None and g[i] is not None]
        tangents = pull(
            [*y, *(dy[i] for i in with_tangent)],
            starts,
            [*dg, *(g[i] for i in with_tangent)],
            create_graph,
        )
        return [
            None if p is None and t is None else self.join(zeros_like(x) if p is None else p, t)
            for x, p, t in zip(starts, primals, tangents)
        ]


def _tangent(output: Any, inputs: list, directions: list, create_graph: bool) -> Any:
    """d/dg Σ <rule_i(g), direction_i> of the operation that led from inputs to output."""
    if not is_floating(output) or not requires_grad(output):
        return None
    g = fresh(lifted(zeros_like(output), traces_of([output])))
    gradients = pull([output], inputs, [g], create_graph=True)
    return pull(gradients, [g], directions, create_graph)[0]


def jvp(
    func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False
) -> tuple:
    """(func(*primals), its derivative in the direction of the tangents), both in one pass.

    primals:  the arguments of func, a tuple; each a tensor or a structure of tensors.
    tangents: the direction: of the same structure, shapes and dtypes.
    strict:   raise RuntimeError for an output that does not depend on the primals, whose derivative
              is otherwise zeros.
    has_aux:  func returns (output, aux); the result is (output, derivative, aux).

    The derivative has the structure of the output.  Nothing is kept of the computation.

    >>> import minigen
    >>> jvp(lambda x: x**3, (minigen.tensor(2.0),), (minigen.tensor(1.0),))
    (tensor(8.), tensor(12.))
    """
    points, structure = flatten(_as_tuple("primals", primals))
    directions, given = flatten(_as_tuple("tangents", tangents))
    if structure != given:
        raise RuntimeError(f"jvp: primals are {structure}, tangents {given}; both need one form")
    for point, direction in zip(points, directions):
        _check(point, direction)
    with ForwardTrace() as trace:
        duals = [Dual.of(trace, p, t) for p, t in zip(points, directions)]
        output = func(*unflatten(duals, structure))
        output, aux = with_aux("jvp", output) if has_aux else (output, None)
        found, form = flatten(output)
        pairs = [trace.split(tensor_output("jvp", each)) for each in found]
    if strict and any(tangent is None for _, tangent in pairs):
        raise RuntimeError("jvp: strict, but an output does not depend on the primals")
    derivative = [zeros_like(y) if tangent is None else tangent for y, tangent in pairs]
    results = unflatten([y for y, _ in pairs], form), unflatten(derivative, form)
    if has_aux:
        return *results, map_structure(lambda each: trace.split(each)[0], aux)
    return results


def _as_tuple(name: str, value: Any) -> tuple:
    if not isinstance(value, tuple) or not value:
        raise RuntimeError(
            f"jvp: {name} is a tuple, with an entry for each argument, got {describe(value)}; for "
            "one argument: (x,)"
        )
    return value


def _check(point: Any, direction: Any) -> None:
    if not (is_floating(point) and is_floating(direction)):
        raise RuntimeError(
            "jvp: primals and tangents are floating-point tensors, got "
            f"{describe(point)} and {describe(direction)}"
        )
    if point.array.shape != direction.array.shape or point.array.dtype != direction.array.dtype:
        raise RuntimeError(
            f"jvp: a tangent has the shape and dtype of its primal; got {describe(direction)} for "
            f"{describe(point)}"
        )
