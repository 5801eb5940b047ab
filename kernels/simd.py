"""Bare addresses and short vectors, so that Numba code can say what sits in a register.

Numba vectorises a loop if LLVM understands it; a tile of a matrix product held in registers it does
not. Here `Vector` is a Numba type whose machine form is an LLVM vector of 32 bytes (8 float32 or
4 float64; LLVM splits it where registers are narrower), and kernels name their registers:

    p = address(array)                  the first number of an array
    c = zeros(p)                        a vector of zeros of p's type
    x = load(p, at)                     the vector that starts `at` numbers behind p
    a = spread(p, at)                   the number at that place, in every lane
    c = multiply_add(a, x, c)           a x + c, one instruction
    store(p, at, c)
    peek(p, at), poke(p, at, number)    one number
    transpose_block(a, row, c, c_row)   C = Aᵀ, as many rows and columns as a vector has lanes

An address, unlike an array or a slice of one, carries no reference count (10 ns to take and give
back, as much as a whole row of attention scores) and no wrap-around of negative indices (which
keeps LLVM from vectorising). It also carries no bounds and does not keep its array alive: kernels
take addresses of their arguments only, which live as long as the call.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, overload, register_model

from .jit import device

BYTES = 32


class Vector(types.Type):
    """The Numba type of a vector of numbers."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.lanes = BYTES * 8 // element.bitwidth
        super().__init__(name=f"Vector({element}x{self.lanes})")


def _llvm(vector: Vector) -> ir.VectorType:
    element = ir.FloatType() if vector.element == types.float32 else ir.DoubleType()
    return ir.VectorType(element, vector.lanes)


@register_model(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _llvm(vector))


def _in_every_lane(builder: Any, number: Any, kind: ir.VectorType) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, zeros)


def _vector_at(builder: Any, p: Any, at: Any, vector: Vector) -> Any:
    return builder.bitcast(builder.gep(p, [at]), _llvm(vector).as_pointer())


@intrinsic
def address(typing: Any, array: Any) -> Any:
    """Where an array's first number lies, typed by the array's dtype."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def shifted(typing: Any, p: Any, count: Any) -> Any:
    """The address `count` numbers behind p."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return p(p, types.intp), codegen


@intrinsic
def number(typing: Any, p: Any, value: Any) -> Any:
    """A Python float as a number of p's type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[1], types.float64, p.dtype)

    return p.dtype(p, types.float64), codegen


@intrinsic
def peek(typing: Any, p: Any, at: Any) -> Any:
    """The number `at` places behind p."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(args[0], [args[1]]))

    return p.dtype(p, types.intp), codegen


@intrinsic
def poke(typing: Any, p: Any, at: Any, value: Any) -> Any:
    """Write a number `at` places behind p."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(p, types.intp, p.dtype), codegen


def lanes(p: Any) -> int:
    """How many of p's numbers a vector holds; known when the kernel is compiled."""
    raise NotImplementedError("lanes exists in compiled code only")


@overload(lanes)
def _lanes(p):
    count = Vector(p.dtype).lanes
    return lambda p: count


@intrinsic
def zeros(typing: Any, p: Any) -> Any:
    """A vector of zeros."""
    vector = Vector(p.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_llvm(vector), None)

    return vector(p), codegen


@intrinsic
def load(typing: Any, p: Any, at: Any) -> Any:
    """The vector that starts `at` places behind p."""
    vector = Vector(p.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_vector_at(builder, args[0], args[1], vector))
        value.align = p.dtype.bitwidth // 8
        return value

    return vector(p, types.intp), codegen


@intrinsic
def store(typing: Any, p: Any, at: Any, vector: Any) -> Any:
    """Write a vector from `at` places behind p on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _vector_at(builder, args[0], args[1], vector)
        builder.store(args[2], place).align = p.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(p, types.intp, vector), codegen


@intrinsic
def spread(typing: Any, p: Any, at: Any) -> Any:
    """The number `at` places behind p, in every lane."""
    vector = Vector(p.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _in_every_lane(builder, builder.load(builder.gep(args[0], [args[1]])), _llvm(vector))

    return vector(p, types.intp), codegen


@intrinsic
def in_lanes(typing: Any, p: Any, value: Any) -> Any:
    """A number, in every lane."""
    vector = Vector(p.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _in_every_lane(builder, args[1], _llvm(vector))

    return vector(p, p.dtype), codegen


@intrinsic
def lane(typing: Any, vector: Any, index: Any) -> Any:
    """The number in one lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_element(args[0], args[1])

    return vector.element(vector, types.intp), codegen


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c lane by lane, rounded once where the machine has the instruction."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _llvm(a)
        suffix = f"v{a.lanes}f{a.element.bitwidth}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.{suffix}"
        )
        return builder.call(function, args)

    return a(a, b, c), codegen


@intrinsic
def plus(typing: Any, a: Any, b: Any) -> Any:
    """a + b lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return a(a, b), codegen


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger number of each lane; b's where a has a NaN."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return a(a, b), codegen


@intrinsic
def magnitude(typing: Any, a: Any) -> Any:
    """|a| lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _llvm(a)
        name = f"llvm.fabs.v{a.lanes}f{a.element.bitwidth}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), name
        )
        return builder.call(function, args)

    return a(a), codegen


@device
def within(p, at, count, bound):
    """Whether all of `count` numbers from p + at on are below the bound in size, or NaN."""
    width = lanes(p)
    whole = count - count % (4 * width)
    a = b = c = d = zeros(p)
    for j in range(at, at + whole, 4 * width):
        a = larger(magnitude(load(p, j)), a)
        b = larger(magnitude(load(p, j + width)), b)
        c = larger(magnitude(load(p, j + 2 * width)), c)
        d = larger(magnitude(load(p, j + 3 * width)), d)
    a = larger(larger(a, b), larger(c, d))
    top = number(p, 0.0)
    for k in range(width):
        top = max(lane(a, k), top)
    for j in range(at + whole, at + count):
        top = abs(peek(p, j)) if abs(peek(p, j)) > top else top
    return top < bound


@device
def largest(p, at, count, lowest):
    """The largest of `count` numbers from p + at on and of `lowest`; a NaN is passed over."""
    width = lanes(p)
    whole = count - count % width
    if whole:
        best = in_lanes(p, lowest)
        for j in range(0, whole, width):
            best = larger(load(p, at + j), best)
        for k in range(width):
            lowest = max(lane(best, k), lowest)
    for j in range(whole, count):
        lowest = peek(p, at + j) if peek(p, at + j) > lowest else lowest
    return lowest


@device
def copy_scaled(source, source_at, count, scale, p, at):
    """p[at : at + count] = scale times `count` numbers that follow each other in the source."""
    width = lanes(p)
    whole = count - count % width
    factor = in_lanes(p, scale)
    for d in range(0, whole, width):
        store(p, at + d, multiply_add(load(source, source_at + d), factor, zeros(p)))
    for d in range(whole, count):
        poke(p, at + d, peek(source, source_at + d) * scale)


@device
def fill(p, at, count, value):
    """p[at : at + count] = value."""
    for i in range(count):
        poke(p, at + i, value)


def _shuffle(name: str, places: Any, doc: str) -> Any:
    """An intrinsic of two vectors; `places(lanes)` counts on from the first into the second."""

    def typed(typing: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            mask = ir.Constant(ir.VectorType(ir.IntType(32), a.lanes), places(a.lanes))
            return builder.shuffle_vector(*args, mask)

        return a(a, b), codegen

    typed.__name__, typed.__doc__ = name, doc
    return intrinsic(typed)


def _zipped(n: int, start: int) -> list[int]:
    return [half + start + i // 2 + i % 2 * n for half in (0, n // 2) for i in range(n // 2)]


# Within each half of a vector, as AVX has it in one instruction; a b c d and A B C D become
zip_low = _shuffle("zip_low", lambda n: _zipped(n, 0), "a A b B, in each half.")
zip_high = _shuffle("zip_high", lambda n: _zipped(n, n // 4), "c C d D, in each half.")
# and of two whole vectors
low_halves = _shuffle(
    "low_halves", lambda n: [*range(n // 2), *range(n, n + n // 2)], "Their first halves."
)
high_halves = _shuffle(
    "high_halves", lambda n: [*range(n // 2, n), *range(n + n // 2, 2 * n)], "Their second halves."
)


@device
def transpose_block(a, a_row, c, c_row):
    """C = Aᵀ, both w x w, w the lanes of a vector: 24 shuffles for 64 numbers.

    Blocks as wide as half a vector are transposed first, all at once; then halves change places.
    """
    x0, x1, x2, x3 = load(a, 0), load(a, a_row), load(a, 2 * a_row), load(a, 3 * a_row)
    if lanes(a) == 8:
        a = shifted(a, 4 * a_row)
        x4, x5, x6, x7 = load(a, 0), load(a, a_row), load(a, 2 * a_row), load(a, 3 * a_row)
        x0, x1, x2, x3 = _transpose_fours(x0, x1, x2, x3)
        x4, x5, x6, x7 = _transpose_fours(x4, x5, x6, x7)
        _store_halves(c, 0, 4 * c_row, x0, x4)
        _store_halves(c, c_row, 5 * c_row, x1, x5)
        _store_halves(c, 2 * c_row, 6 * c_row, x2, x6)
        _store_halves(c, 3 * c_row, 7 * c_row, x3, x7)
    else:
        _store_halves(c, 0, 2 * c_row, zip_low(x0, x1), zip_low(x2, x3))
        _store_halves(c, c_row, 3 * c_row, zip_high(x0, x1), zip_high(x2, x3))


@device
def _transpose_fours(x0, x1, x2, x3):
    """Four rows: both halves of these are 4 x 4 matrices, and become their transposes."""
    y0, y1, y2, y3 = zip_low(x0, x2), zip_high(x0, x2), zip_low(x1, x3), zip_high(x1, x3)
    return zip_low(y0, y2), zip_high(y0, y2), zip_low(y1, y3), zip_high(y1, y3)


@device
def _store_halves(c, low, high, x, y):
    store(c, low, low_halves(x, y))
    store(c, high, high_halves(x, y))
