"""Products of matrices.  All of them run on the kernel chosen by `minigen.kernels` for `matmul`."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
from numpy import ndarray

from minigen.autograd import Variable, differentiable
from minigen.backend import quiet_kernel, silent
from minigen.dispatch import Operand
from minigen.errors import ShapeError, describe
from minigen.ops.dims import wrap_dims
from minigen.ops.reduction import sum
from minigen.ops.shape import adjoint, diagonal, permute, reshape, unsqueeze
from minigen.tensor import method

__all__ = [
    "addmm",
    "addmv",
    "baddbmm",
    "bilinear",
    "bmm",
    "dot",
    "inner",
    "kron",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "trace",
    "vdot",
]


def _check(name: str, a: Any, b: Any, fits: bool, rule: str) -> None:
    """Raise unless two factors have one dtype and fitting shapes."""
    if a.dtype != b.dtype:
        raise ShapeError(
            f"{name}: expected factors of the same dtype, got {describe(a)} and {describe(b)}; "
            "cast one of them"
        )
    if a.dtype.kind == "b":
        raise TypeError(f"{name}: there is no product of boolean matrices; cast them first")
    if not fits:
        raise ShapeError(f"{name}: {describe(a)} and {describe(b)} do not fit: {rule}")


@method("matmul", "__matmul__", reflected="__rmatmul__")
@differentiable
def matmul(input: Any, other: Any) -> Any:
    """C = A B: (..., m, k), (..., k, n) -> (..., m, n), leading dimensions broadcast.

    A 1-d operand is a row vector on the left and a column vector on the right, and its dimension
    does not appear in the result.

    >>> import minigen
    >>> a = minigen.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> a @ minigen.tensor([1.0, 1.0])
    tensor([3., 7.])
    """
    if input.ndim == 0 or other.ndim == 0:
        raise ShapeError("matmul: both factors need at least 1 dimension; use * for numbers")
    inner = other.shape[-2] if other.ndim > 1 else other.shape[0]
    if input.shape[-1] != inner or input.dtype is not other.dtype or input.dtype.kind == "b":
        rule = "the last dimension of the first must equal the second-last of the second"
        _check("matmul", input, other, input.shape[-1] == inner, rule)
    return quiet_kernel("matmul", input, other)


def _input_gradient(g: Any, other: Any, input_shape: tuple) -> Any:
    """dA = dC Bᵀ."""
    if len(other.shape) == 1:
        return g * other if len(input_shape) == 1 else unsqueeze(g, -1) * other
    if len(input_shape) == 1:  # a row: (n) times (..., n, k), summed over what is leading
        flat = reshape(g, (-1,)) if len(other.shape) == 2 else None
        if flat is not None:
            return matmul(flat, adjoint(other))
        return reshape(matmul(unsqueeze(g, -2), adjoint(other)), (*other.shape[:-2], *input_shape))
    return matmul(g, adjoint(other))


def _other_gradient(g: Any, input: Any, other_shape: tuple) -> Any:
    """dB = Aᵀ dC.  Rows that met the same B are one tall matrix: no sum over batches is left."""
    if len(input.shape) == 1:
        if len(other_shape) == 1:
            return g * input
        return unsqueeze(input, -1) * unsqueeze(g, -2)
    if len(other_shape) == 1:
        return matmul(reshape(g, (_rows(input),)), _tall(input))
    if len(other_shape) == 2:
        return matmul(adjoint(_tall(input)), _tall(g))
    return matmul(adjoint(input), g)


def _rows(x: Any) -> int:
    """How many rows all matrices of x have together."""
    return math.prod(x.shape[:-1])


def _tall(x: Any) -> Any:
    """All rows in one matrix: (..., k) -> (rows, k)."""
    return x if len(x.shape) == 2 else reshape(x, (_rows(x), x.shape[-1]))


matmul.gradients(input=_input_gradient, other=_other_gradient)


@differentiable(saves=("prepared_input", "prepared_weight"))
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b: (..., in), weight (out, in), bias (out) -> (..., out).

    One call of the matrix product for all leading dimensions; the bias is added in place, or by a
    GPU's kernel as it writes the sums. What that made of x and W in bfloat16 is kept for
    the gradient.

    >>> import minigen
    >>> x, w = minigen.tensor([[1.0, 2.0]]), minigen.tensor([[1.0, 0.0], [1.0, 1.0]])
    >>> linear(x, w, minigen.tensor([0.5, 0.0]))
    tensor([[1.5000, 3.0000]])
    """
    fits = weight.ndim == 2 and input.ndim > 0 and input.shape[-1] == weight.shape[1]
    if not fits or input.dtype is not weight.dtype or input.dtype.kind == "b":
        _check("linear", input, weight, fits, "(..., in) needs a weight (out, in)")
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype is not weight.dtype):
        _check("linear", weight, bias, bias.shape == weight.shape[:1], "the bias must be (out,)")
    rows = input if input.ndim <= 2 else input.reshape(_rows(input), input.shape[-1])
    prepared = None
    if rows.__class__ is ndarray or rows.ndim == 1:
        output = quiet_kernel("matmul", rows, weight.swapaxes(0, 1))
    else:
        x, w = Operand(rows), Operand(weight).T
        output, prepared, bias = x.times(w, bias), x.prepared, None
    if bias is not None:
        silent().run(np.add, output, bias, output)
    output = output if input.ndim <= 2 else output.reshape(*input.shape[:-1], weight.shape[0])
    return output if prepared is None else (output, prepared, w.prepared.T)


def _weight_gradient(g: Any, input: Any) -> Any:
    """dW = dYᵀ X over all rows."""
    return matmul(adjoint(_tall(g)), _tall(input))


def _bias_gradient(g: Any) -> Any:
    """db = the sum of dY over all rows."""
    return sum(g, tuple(range(len(g.shape) - 1))) if len(g.shape) > 1 else g


@linear.joint_gradient("input", "weight", "bias", together=True)
def _(g: Any, input: Any, weight: Any, prepared_input: Any, prepared_weight: Any) -> Any:
    """dX = dY W, dW = dYᵀ X and db = dYᵀ 1, for which dY is prepared, and summed, once."""
    if isinstance(g, Variable):
        return matmul(g, weight), _weight_gradient(g, input), _bias_gradient(g)
    dy, w = Operand(_tall(g)), Operand(weight, prepared_weight)
    x, sums = Operand(_tall(input), prepared_input), dy.sums(w)
    return reshape(dy @ w, input.shape), dy.T @ x, sums


@linear.joint_gradient("input", "weight", together=True)
def _(g: Any, input: Any, weight: Any, prepared_input: Any, prepared_weight: Any) -> Any:
    """The same without a bias."""
    if isinstance(g, Variable):
        return matmul(g, weight), _weight_gradient(g, input)
    dy, w = Operand(_tall(g)), Operand(weight, prepared_weight)
    x = Operand(_tall(input), prepared_input)
    return reshape(dy @ w, input.shape), dy.T @ x


linear.gradients(
    input=lambda g, weight: matmul(g, weight),
    weight=_weight_gradient,
    bias=_bias_gradient,
)


# ------------------------------------------------------------------- products of fixed ranks


def _ranks(name: str, input: Any, other: Any, ranks: tuple[int, int]) -> None:
    given = (len(input.shape), len(other.shape))
    if given != ranks:
        raise ShapeError(
            f"{name}: expects tensors of {ranks[0]} and {ranks[1]} dimensions, got "
            f"{describe(input)} and {describe(other)}; matmul takes any"
        )


@method("mm")
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices: (m, k), (k, n) -> (m, n)."""
    _ranks("mm", input, mat2, (2, 2))
    return matmul(input, mat2)


@method("bmm")
def bmm(input: Any, mat2: Any) -> Any:
    """Products of matrices, one a batch entry: (b, m, k), (b, k, n) -> (b, m, n).

    >>> import minigen
    >>> minigen.bmm(minigen.ones(2, 1, 3), minigen.ones(2, 3, 1)).shape
    minigen.Size([2, 1, 1])
    """
    _ranks("bmm", input, mat2, (3, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            f"bmm: {input.shape[0]} matrices do not pair up with {mat2.shape[0]}; matmul broadcasts"
        )
    return matmul(input, mat2)


@method("mv")
def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector: (m, k), (k) -> (m)."""
    _ranks("mv", input, vec, (2, 1))
    return matmul(input, vec)


@method("dot")
def dot(input: Any, tensor: Any) -> Any:
    """Σ x_i y_i of two vectors of one length."""
    _ranks("dot", input, tensor, (1, 1))
    return matmul(input, tensor)


vdot = dot  # of real numbers
method("vdot")(dot)


@method("inner")
def inner(input: Any, other: Any) -> Any:
    """Σ over the last dimensions of both: (..., k), (... ', k) -> (..., ... ')."""
    if not len(input.shape) or not len(other.shape):
        return input * other
    return tensordot(input, other, ([-1], [-1]))


@method("outer")
def outer(input: Any, vec2: Any) -> Any:
    """x_i y_j of two vectors: (m), (n) -> (m, n).

    >>> import minigen
    >>> minigen.outer(minigen.tensor([1.0, 2.0]), minigen.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    _ranks("outer", input, vec2, (1, 1))
    return unsqueeze(input, 1) * vec2


def _combined(input: Any, product: Any, beta: float, alpha: float) -> Any:
    """beta input + alpha product; with beta = 0, NaN in the input is not passed on."""
    shape, wanted = tuple(input.shape), tuple(product.shape)
    pairs = zip(reversed(shape), reversed(wanted))
    if len(shape) > len(wanted) or any(n not in (1, m) for n, m in pairs):
        raise ShapeError(f"input of shape {shape} does not broadcast to the product's {wanted}")
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


@method("addmm")
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta input + alpha (A B), the input broadcast to (m, n)."""
    return _combined(input, mm(mat1, mat2), beta, alpha)


@method("addmv")
def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta input + alpha (A v), the input broadcast to (m)."""
    return _combined(input, mv(mat, vec), beta, alpha)


@method("baddbmm")
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta input + alpha (A B) for a batch of matrices, the input broadcast to (b, m, n)."""
    return _combined(input, bmm(batch1, batch2), beta, alpha)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y_k = x1ᵀ W_k x2 + b_k: (..., n), (..., m), weight (k, n, m), bias (k) -> (..., k).

    The leading dimensions of both inputs must be the same.

    >>> import minigen
    >>> x, y = minigen.tensor([[1.0, 2.0]]), minigen.tensor([[3.0]])
    >>> bilinear(x, y, minigen.ones(1, 2, 1))
    tensor([[9.]])
    """
    shapes = [tuple(each.shape) for each in (input1, input2, weight)]
    wanted = (*shapes[0][-1:], *shapes[1][-1:])
    if shapes[0][:-1] != shapes[1][:-1] or len(shapes[2]) != 3 or shapes[2][1:] != wanted:
        raise ShapeError(
            "bilinear: expects inputs (..., n) and (..., m) with the same leading dimensions and "
            f"weight (k, n, m), got {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    if bias is not None and tuple(bias.shape) != shapes[2][:1]:
        raise ShapeError(
            f"bilinear: bias must be ({shapes[2][0]},) for weight {shapes[2]}, got {describe(bias)}"
        )
    mixed = tensordot(input1, weight, ([-1], [1]))  # (..., k, m)
    output = sum(mixed * unsqueeze(input2, -2), -1)
    return output if bias is None else output + bias


# ------------------------------------------------------------------------------ contractions


def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Σ over pairs of dimensions: `dims` = (those of a, those of b), or n for the last n of a and
    the first n of b.  The result has the other dimensions of a, then those of b.

    >>> import minigen
    >>> minigen.tensordot(minigen.ones(2, 3), minigen.ones(3, 4), dims=1).shape
    minigen.Size([2, 4])
    """
    na, nb = len(a.shape), len(b.shape)
    if isinstance(dims, int):
        if not 0 <= dims <= builtins.min(na, nb):
            raise ShapeError(
                f"tensordot: dims = {dims} is out of range for {na} and {nb} dimensions"
            )
        dims = (range(na - dims, na), range(dims))
    first, second = wrap_dims(tuple(dims[0]), na), wrap_dims(tuple(dims[1]), nb)
    over = [a.shape[i] for i in first]
    if over != [b.shape[i] for i in second]:
        raise ShapeError(
            f"tensordot: sizes {over} of a and {[b.shape[i] for i in second]} of b differ"
        )
    keep_a = tuple(i for i in range(na) if i not in first)
    keep_b = tuple(i for i in range(nb) if i not in second)
    rows, columns = [a.shape[i] for i in keep_a], [b.shape[i] for i in keep_b]
    k = math.prod(over)
    left = reshape(permute(a, keep_a + first), (math.prod(rows), k))
    right = reshape(permute(b, second + keep_b), (k, math.prod(columns)))
    return reshape(matmul(left, right), (*rows, *columns))


@method("trace")
def trace(input: Any) -> Any:
    """Σ x_ii of a matrix.

    >>> import minigen
    >>> minigen.trace(minigen.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if len(input.shape) != 2:
        raise ShapeError(f"trace: expects a matrix, got {describe(input)}")
    return sum(diagonal(input))


def kron(input: Any, other: Any) -> Any:
    """Kronecker's product: every element of input times all of other, as blocks.

    >>> import minigen
    >>> minigen.kron(minigen.tensor([1, 10]), minigen.tensor([1, 2]))
    tensor([ 1,  2, 10, 20])
    """
    ndim = builtins.max(len(input.shape), len(other.shape))
    a = (1,) * (ndim - len(input.shape)) + tuple(input.shape)
    b = (1,) * (ndim - len(other.shape)) + tuple(other.shape)
    left = reshape(input, tuple(n for size in a for n in (size, 1)))
    right = reshape(other, tuple(n for size in b for n in (1, size)))
    return reshape(left * right, tuple(n * m for n, m in zip(a, b)))


method("kron")(kron)
