"""Batching rules: how one call of an operation does all examples of a batch.

A rule is called with the trace, the operation as a function of tensors, and its arguments, some of
them `Batched`.  It returns the result for one example to look at, which is Batched too, mostly by
calling the same function with the batch as dimension 0 and the other dimensions counted on.  So
what it does is recorded, and further transforms apply to it.

The tables name an operation by its module in `minigen.ops` and its function there.  An operation
with a `formula` (made of differentiable operations) needs no rule; one without either is refused.
Rules of indices, convolutions and losses are in `minigen.transforms.batch_rules_special`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigen.autograd import Variable
from minigen.dtypes import DTYPES, result_type
from minigen.errors import ShapeError, describe
from minigen.ops.dims import wrap_dim, wrap_dims
from minigen.ops.reduction import axes
from minigen.ops.shape import reshape, squeeze, unsqueeze

__all__ = ["batching_rule", "named"]

Rule = Callable[[Any, Callable, tuple], Any]


def ndim(value: Any) -> int:
    """Dimensions of one example."""
    return value.array.ndim


def aligned(trace: Any, value: Any, dims: int) -> Any:
    """All examples, each with 1s in front until it has `dims` dimensions; others as they are."""
    if not trace.holds(value):
        return value
    batch, missing = value.components[0], dims - ndim(value)
    if not missing:
        return batch
    size, *shape = batch.array.shape
    return reshape(batch, (size, *(1,) * missing, *shape))


def own(trace: Any, args: tuple, *positions: int) -> None:
    """Raise RuntimeError if an argument differs between examples, for which there is no rule."""
    for i in positions:
        if trace.holds(args[i]):
            raise RuntimeError(
                f"vmap: argument {i} of this operation, {describe(args[i])}, has to be the same "
                "for all examples; loop over them: stack([f(x_i) for x_i in x])"
            )


# ------------------------------------------------------------------------------ element by element


def broadcasting(trace: Any, function: Any, args: tuple) -> Any:
    """Tensors broadcast from their last dimension on, so the batch goes before all others."""
    dims = max(getattr(getattr(each, "array", each), "ndim", 0) for each in args)
    args = _as_one_dtype(trace, function.operation, args)
    return trace.wrap(function(*(aligned(trace, each, dims) for each in args)))


def _as_one_dtype(trace: Any, operation: Any, args: tuple) -> tuple:
    """Promotion as examples have it: a 0-d example counts less, but a batch of them does not."""
    first = int(operation.name == "where")  # its condition is not promoted
    numbers = [
        i
        for i in range(first, operation.operands)
        if isinstance(args[i], Variable | int | float) and operation.promote is not None
    ]
    tensors = [i for i in numbers if isinstance(args[i], Variable)]
    if len({args[i].array.dtype for i in tensors}) < 2:
        return args

    def together(whole: bool) -> Any:
        values = [
            args[i].components[0] if whole and trace.holds(args[i]) else args[i] for i in numbers
        ]
        return result_type(*(getattr(value, "array", value) for value in values))

    wanted = together(whole=False)
    if wanted == together(whole=True):
        return args
    return tuple(each.to(DTYPES[wanted]) if i in tensors else each for i, each in enumerate(args))


# ----------------------------------------------------------------------------- along dimensions


def _position(operation: Any, *names: str) -> int:
    return next(operation.parameters.index(name) for name in names if name in operation.parameters)


def along(trace: Any, function: Any, args: tuple) -> Any:
    """One dimension, in the same place of all tensors, or counted in the only one."""
    position = _position(function.operation, "dim", "dimension")
    like = next(each for each in args if isinstance(each, Variable))
    dims = ndim(like)
    changed = [trace.batch(each) if isinstance(each, Variable) else each for each in args]
    if not dims:  # a number counts as a vector of one
        changed = [unsqueeze(e, 1) if isinstance(e, Variable) else e for e in changed]
    changed[position] = wrap_dim(args[position], dims) + 1
    results = function(*changed)
    return trace.wrap(results if dims else squeeze(results, 1))


def over(trace: Any, function: Any, args: tuple) -> Any:
    """A reduction over one dimension, several, or all, where none is named."""
    operation, dims, changed = function.operation, ndim(args[0]), list(args)
    position = _position(operation, "dim")
    wanted = axes(wrap_dims(args[position], dims), dims) if args[position] is not None else None
    changed[0] = args[0].components[0]
    changed[position] = tuple(d + 1 for d in (range(dims) if wanted is None else wanted))
    if not dims:
        changed[0], changed[position] = unsqueeze(changed[0], 1), (1,)
        if "keepdim" in operation.parameters:
            changed[operation.parameters.index("keepdim")] = False
    return trace.wrap(function(*changed))


def place(trace: Any, function: Any, args: tuple) -> Any:
    """argmax and argmin: along one dimension, or in all elements."""
    input, dim, keepdim = args
    dims, batch = ndim(input), input.components[0]
    if dim is not None and dims:
        return trace.wrap(function(batch, wrap_dim(dim, dims) + 1, keepdim))
    if dim is not None:
        wrap_dim(dim, dims)
    found = function(reshape(batch, (trace.size, math.prod(input.array.shape))), 1, False)
    return trace.wrap(reshape(found, (trace.size, *(1,) * dims)) if keepdim else found)


def last(trace: Any, function: Any, args: tuple) -> Any:
    """What is done in the last dimensions, whatever comes before."""
    own(trace, args, *range(1, len(args)))
    return trace.wrap(function(args[0].components[0], *args[1:]))


# ---------------------------------------------------------------------------------- other shapes


def to_shape(trace: Any, function: Any, args: tuple) -> Any:
    input, shape = args
    if any(n < -1 for n in shape) or shape.count(-1) > 1:
        raise ShapeError(f"reshape: invalid shape {shape}: only one size may be -1, none less")
    size, known = math.prod(input.array.shape), math.prod(n for n in shape if n != -1)
    if -1 in shape and known:
        shape = tuple(size // known if n == -1 else n for n in shape)
    if math.prod(shape) != size:
        raise ShapeError(f"reshape: {describe(input)} does not fit into shape {args[1]}")
    return trace.wrap(reshape(input.components[0], (trace.size, *shape)))


def stretched(trace: Any, function: Any, args: tuple) -> Any:
    input, sizes = args
    return trace.wrap(function(aligned(trace, input, len(sizes)), (trace.size, *sizes)))


def repeated(trace: Any, function: Any, args: tuple) -> Any:
    input, times = args
    return trace.wrap(function(aligned(trace, input, len(times)), (1, *times)))


def reordered(trace: Any, function: Any, args: tuple) -> Any:
    input, dims = args
    return trace.wrap(function(input.components[0], (0, *(d + 1 for d in wrap_dims(dims, 99)))))


def transposed(trace: Any, function: Any, args: tuple) -> Any:
    input, *pair = args
    if not ndim(input):
        return input
    return trace.wrap(function(input.components[0], *(wrap_dim(d, ndim(input)) + 1 for d in pair)))


def diagonals(trace: Any, function: Any, args: tuple) -> Any:
    input, *shape, offset, dim1, dim2 = args  # `place_diagonal` has a shape, `diagonal` none
    dims = len(shape[0]) if shape else ndim(input)
    whole = [(trace.size, *shape[0])] if shape else []
    pair = (wrap_dim(dim1, dims) + 1, wrap_dim(dim2, dims) + 1)
    return trace.wrap(function(input.components[0], *whole, offset, *pair))


def flipped(trace: Any, function: Any, args: tuple) -> Any:
    input, *shifts, dims = args  # `roll` has shifts, `flip` none
    if dims is None:
        raise ShapeError("vmap: roll needs dims; flatten the example first")
    several = dims if isinstance(dims, tuple | list) else (dims,)
    if not ndim(input):
        return input
    counted = tuple(wrap_dim(d, ndim(input)) + 1 for d in several)
    return trace.wrap(function(input.components[0], *shifts, counted))


def padded(trace: Any, function: Any, args: tuple) -> Any:
    input, widths, value = args
    return trace.wrap(function(input.components[0], ((0, 0), *widths), value))


def joined(trace: Any, function: Any, args: tuple) -> Any:
    """cat(dim, sizes, *tensors) and stack(dim, *tensors)."""
    dim, *rest = args
    changed = [trace.batch(each) if isinstance(each, Variable) else each for each in rest]
    return trace.wrap(function(dim + 1, *changed))


# ------------------------------------------------------------------------------------ the tables

_BROADCASTING = """
    activation: gelu logsigmoid mish silu softplus elu
    casting: clone to_copy to_whole to_device
    combining: lerp addcmul addcdiv logaddexp hypot atan2 xlogy
    comparison: eq ne lt le gt ge where logical_and logical_or logical_xor logical_not bitwise_and
    comparison: bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift
    comparison: isnan isinf isfinite isclose
    division: div floor_divide trunc_divide remainder fmod reciprocal
    dropout: dropout alpha_dropout
    elementwise: minimum add sub mul neg square pow abs sign maximum clamp
    functions: sigmoid tanh erf exp log exp2 expm1 log1p log2 log10 sqrt rsqrt sin cos tan asin acos
    functions: atan sinh cosh tanh asinh acosh atanh
    losses: huber times_log
    masking: fill_where
    rectifiers: hardsigmoid hardswish relu threshold leaky_slope leaky_relu clipped prelu
    rounding: floor ceil trunc round frac nan_to_num
    special: erfc lgamma digamma
"""
_ALONG = """
    adaptive_pooling: adaptive_mean adaptive_argmax
    cumulative: cumsum
    joining: split unbind
    rearrange: windows
    scatter: gather scatter scatter_add
    softmax: softmax log_softmax one_hot_of_largest
    sorting: order largest median_place
"""
_OVER = """
    norms: euclidean p_norm count_norm
    reduction: sum mean amax amin all any count_nonzero nansum
    statistics: var std logsumexp
"""
_LAST = """
    attention: hidden
    cumulative: cumprod prod
    rearrange: triu tril
"""
_OTHERS: dict[str, Rule] = {
    "joining.cat": joined,
    "joining.stack": joined,
    "padding.pad": padded,
    "rearrange.flip": flipped,
    "rearrange.repeat": repeated,
    "rearrange.roll": flipped,
    "reduction.argmax": place,
    "reduction.argmin": place,
    "shape.diagonal": diagonals,
    "shape.expand": stretched,
    "shape.permute": reordered,
    "shape.place_diagonal": diagonals,
    "shape.reshape": to_shape,
    "shape.transpose": transposed,
    "shape.view": to_shape,
}


def listed(table: str) -> list[str]:
    """The names of a table whose lines are `module: operation operation ...`."""
    lines = [line.split(":") for line in table.strip().splitlines()]
    return [f"{module.strip()}.{name}" for module, names in lines for name in names.split()]


RULES: dict[str, Rule] = {
    **dict.fromkeys(listed(_BROADCASTING), broadcasting),
    **dict.fromkeys(listed(_ALONG), along),
    **dict.fromkeys(listed(_OVER), over),
    **dict.fromkeys(listed(_LAST), last),
    **_OTHERS,
}


def named(operation: Any) -> str:
    """`elementwise.add`: the name that the tables have for an operation."""
    return f"{operation.forward.__module__.rpartition('.')[2]}.{operation.name}"


def batching_rule(function: Any) -> Rule:
    """The rule of an operation.  Raises RuntimeError if it has none."""
    operation = function.operation
    inside = operation.forward.__module__.startswith("minigen.")
    rule = RULES.get(named(operation)) if inside else None
    if rule is not None:
        return rule
    if operation.formula is not None:
        return lambda trace, function, args: operation.formula(*args)
    raise RuntimeError(
        f"vmap: {operation.name} has no batching rule; call it outside, on the whole batch, "
        "or loop over the examples: stack([f(x_i) for x_i in x])"
    )
