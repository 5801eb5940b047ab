"""Derivatives that are matrices: Jacobians by rows or by columns, Hessians, and their products.

With x of n elements and y = f(x) of m, the Jacobian has m rows, one reverse pass each (`jacrev`),
and n columns, one forward pass each, which `vmap` does side by side (`jacfwd`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from minigen.autograd import wrap
from minigen.backend import array_module
from minigen.modes import enable_grad, is_grad_enabled
from minigen.ops.creation import zeros_like
from minigen.ops.joining import stack
from minigen.ops.shape import reshape
from minigen.transforms.batching import vmap
from minigen.transforms.forward import jvp
from minigen.transforms.reverse import Started, grad, selected
from minigen.transforms.structure import flatten, map_structure, unflatten
from minigen.transforms.tracing import pull, tensor_output, unrecorded, with_aux

__all__ = ["hessian", "hvp", "jacfwd", "jacobian", "jacrev"]


def unit_vectors(tensor: Any) -> Any:
    """(n, *shape): for each of the n elements of a tensor, 1 there and 0 elsewhere."""
    array = tensor.array
    n = math.prod(array.shape)
    return wrap(array_module(array).eye(n, dtype=array.dtype).reshape(n, *array.shape))


def rows(output: Any, starts: Sequence, leaves: Sequence, create_graph: bool) -> list:
    """The Jacobian of one output with respect to each start: (*output shape, *start shape)."""
    found = []
    for unit in unit_vectors(output):
        gradients = pull([output], starts, [unit], create_graph)
        found.append([zeros_like(x) if g is None else g for x, g in zip(leaves, gradients)])
    shape = tuple(output.array.shape)
    return [
        reshape(stack(each), (*shape, *x.array.shape))
        if each
        else zeros_like(x).reshape(1, -1)[:0].reshape(*shape, *x.array.shape)
        for each, x in zip(list(zip(*found)) or [()] * len(leaves), leaves)
    ]


def jacrev(
    func: Callable,
    argnums: Any = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable:
    """A function that returns the Jacobian of `func` by reverse mode: cheap for few outputs.

    argnums:    the position of an argument, or several; each a tensor or a structure of tensors.
    has_aux:    func returns (output, aux), the function (Jacobian, aux).
    chunk_size: PyTorch's bound on the rows that are computed at once; here it is one at a time.

    The result has the structure of the output; each part that of the argument (a tuple of them for
    a tuple of argnums), and is a tensor of shape (*output shape, *argument shape).

    >>> import minigen
    >>> jacrev(lambda x: x**2)(minigen.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"jacrev: chunk_size must be at least 1, got {chunk_size}")

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        positions = selected("jacrev", argnums, args)
        started = Started("jacrev", [args[i] for i in positions])
        given = list(args)
        for i, argument in zip(positions, started.arguments):
            given[i] = argument
        with enable_grad():
            output = func(*given, **kwargs)
        output, aux = with_aux("jacrev", output) if has_aux else (output, None)
        outputs, form = flatten(output)
        create = is_grad_enabled() and started.outside(
            [tensor_output("jacrev", each) for each in outputs]
        )
        keep = (lambda each: each) if create else unrecorded
        found = []
        for each in outputs:
            parts = rows(each, started.starts, started.leaves, create)
            parts = unflatten([keep(part) for part in parts], started.structure)
            found.append(parts if isinstance(argnums, tuple | list) else parts[0])
        result = unflatten(found, form)
        return (result, map_structure(keep, aux)) if has_aux else result

    return call


def jacfwd(
    func: Callable, argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """A function that returns the Jacobian of `func` by forward mode: cheap for few inputs.

    All columns are computed side by side, by `vmap`, which sees `randomness`.  Arguments and result
    are those of `jacrev`.

    >>> import minigen
    >>> jacfwd(lambda x: x**2)(minigen.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        positions = selected("jacfwd", argnums, args)
        leaves, structure = flatten(tuple(args[i] for i in positions))
        columns: list = []
        for i, leaf in enumerate(leaves):

            def derivative(unit: Any, i: int = i, leaf: Any = leaf) -> Any:
                def moved(x: Any) -> Any:
                    chosen = unflatten([*leaves[:i], x, *leaves[i + 1 :]], structure)
                    given = list(args)
                    for position, argument in zip(positions, chosen):
                        given[position] = argument
                    return func(*given, **kwargs)

                return jvp(moved, (leaf,), (unit,), has_aux=has_aux)[1:]

            run = vmap(derivative, out_dims=(-1, None) if has_aux else -1, randomness=randomness)
            column, *aux = run(unit_vectors(tensor_output("jacfwd", leaf)))
            found, form = flatten(column)
            columns.append([_split(each, leaf) for each in found])
        parts = [unflatten(list(each), structure) for each in zip(*columns)]
        result = unflatten(
            parts if isinstance(argnums, tuple | list) else [part[0] for part in parts], form
        )
        return (result, *aux) if has_aux else result

    return call


def _split(columns: Any, leaf: Any) -> Any:
    """(*output shape, n) -> (*output shape, *shape of the leaf)."""
    return reshape(columns, (*columns.array.shape[:-1], *leaf.array.shape))


def jacobian(func: Callable, argnums: Any = 0, *, mode: str = "reverse") -> Callable:
    """`jacrev` for mode "reverse", `jacfwd` for mode "forward"."""
    if mode not in ("reverse", "forward"):
        raise ValueError(f"jacobian: mode is 'reverse' or 'forward', got {mode!r}")
    return (jacrev if mode == "reverse" else jacfwd)(func, argnums)


def hessian(func: Callable, argnums: Any = 0) -> Callable:
    """A function that returns the matrix of second derivatives: `jacfwd` of `jacrev`.

    For a func with a single number as its output, and an argument x, of shape (*x, *x).

    >>> import minigen
    >>> hessian(lambda x: x.prod())(minigen.tensor([2.0, 3.0, 5.0]))
    tensor([[0., 5., 3.],
            [5., 0., 2.],
            [3., 2., 0.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def hvp(func: Callable, primals: Any, tangents: Any) -> Any:
    """The Hessian of `func` at the primals times the tangents, at the cost of a few gradients.

    primals, tangents: a tensor, or a tuple with an entry for each argument, as the result is.
    The derivative of the gradient in that direction: forward mode over reverse mode (Pearlmutter
    1994, Neural Computation 6, section 2).

    >>> import minigen
    >>> x, v = minigen.tensor([2.0, 3.0, 5.0]), minigen.tensor([1.0, 0.0, 0.0])
    >>> hvp(lambda x: x.prod(), x, v)
    tensor([0., 5., 3.])
    """
    if not isinstance(primals, tuple):
        return jvp(grad(func), (primals,), (tangents,))[1]
    return jvp(grad(func, tuple(range(len(primals)))), primals, tangents)[1]
