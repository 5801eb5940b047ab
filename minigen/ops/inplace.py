"""Changing a tensor in place: `x[i] = v`, `x += y`, `x.zero_()`, ...

What that does to the graph is in `minigen.ops.history`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import Variable, identity
from minigen.errors import ShapeError, describe
from minigen.modes import GRAD, mode
from minigen.ops.history import adopt, check_writable, overwrite, stands_for
from minigen.ops.indexing import Region
from minigen.ops.masking import masked_fill
from minigen.tensor import Tensor, method

__all__: list[str] = []


def _changed(tensor: Variable) -> None:
    tensor.version()
    tensor.changed_in_place()


# --------------------------------------------------------------------------- the operations


@method("__setitem__")
def setitem(input: Tensor, index: Any, value: Any) -> None:
    """input[index] = value; the value broadcasts and is cast to the dtype of input.

    >>> import minigen
    >>> x = minigen.zeros(3)
    >>> x[1:] = minigen.tensor([1.0, 2.0])
    >>> x
    tensor([0., 1., 2.])
    """
    input.refresh()
    check_writable(input)
    region = Region(index, input.array)
    try:
        region.write(input.array, value.array if isinstance(value, Variable) else value)
    except ValueError as error:
        raise ShapeError(f"setitem: {error} (value {describe(value)})") from None
    input.changed_in_place()
    shape = region.read(input.array).shape
    if isinstance(value, Variable) and value.array.ndim > len(shape):
        value = identity(value).reshape(shape)  # (1, 3) may be written where (3,) is
    adopt(input, overwrite(stands_for(input), value, region))


def in_place(operation: Callable) -> Callable:
    """The in-place form of an operation whose first argument is what it changes."""

    def change(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self.refresh()
        check_writable(self)
        before = stands_for(self)
        if before._requires_grad and mode.flags & GRAD:
            before.array = self.array.copy()  # the operation may save it
        result = operation(before, *args, **kwargs)
        if result.array.shape != self.array.shape:
            raise ShapeError(
                f"{change.__name__}: the result has shape {result.array.shape}, which does not fit "
                f"into a tensor of shape {self.array.shape}"
            )
        if result.array.dtype.kind == "f" and self.array.dtype.kind != "f":
            raise ShapeError(
                f"{change.__name__}: a result of {result.dtype} cannot be cast to {self.dtype}"
            )
        self.array[...] = result.array
        self.changed_in_place()
        adopt(self, result)
        return self

    change.__name__ = operation.__name__ + "_"
    change.__doc__ = f"The in-place form of `{operation.__name__}`; returns the tensor itself."
    return change


_OPERATORS = {
    "add": "__iadd__",
    "sub": "__isub__",
    "mul": "__imul__",
    "div": "__itruediv__",
    "pow": "__ipow__",
}
_METHODS = """
    add sub subtract mul multiply div divide true_divide floor_divide pow remainder fmod
    neg negative abs absolute sign sgn exp exp2 expm1 log log1p log2 log10 sqrt rsqrt reciprocal
    square sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sigmoid relu erf erfc
    floor ceil round trunc fix frac clamp clamp_min clamp_max clip lerp addcmul addcdiv hypot xlogy
    nan_to_num eq ne lt le gt ge logical_and logical_or logical_xor logical_not
    bitwise_and bitwise_or bitwise_xor bitwise_not cumsum cumprod addmm addmv baddbmm tril triu
    less less_equal greater greater_equal not_equal lgamma digamma arctan2
    bitwise_left_shift bitwise_right_shift
    masked_fill masked_scatter scatter scatter_add index_add index_copy index_fill index_put
""".split()  # noqa: SIM905

for _name in _METHODS:
    method(_name + "_", *([_OPERATORS[_name]] if _name in _OPERATORS else []))(
        in_place(getattr(Tensor, _name))
    )


@method("copy_")
def copy_(self: Tensor, src: Any) -> Tensor:
    """Write the values of `src`, broadcast and cast, into this tensor."""
    setitem(self, ..., src)
    return self


@method("fill_")
def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one number everywhere."""
    setitem(self, ..., value)
    return self


@method("zero_")
def zero_(self: Tensor) -> Tensor:
    setitem(self, ..., 0)
    return self


def _draw(name: str, sample: Callable) -> None:
    def draw(self: Tensor, *args: Any, generator: Any = None, **kwargs: Any) -> Tensor:
        values = backend.drawn(
            lambda: sample(backend.stream(generator), self.array.shape, *args, **kwargs),
            self.device,
        )
        setitem(self, ..., values)
        return self

    draw.__name__ = name
    draw.__doc__ = f"Fill with random numbers: see `torch.Tensor.{name}`."
    method(name)(draw)


_draw("normal_", lambda rng, shape, mean=0.0, std=1.0: rng.normal(mean, std, shape))
_draw("uniform_", lambda rng, shape, a=0.0, b=1.0: rng.uniform(a, b, shape))
_draw("bernoulli_", lambda rng, shape, p=0.5: rng.random(shape) < p)


def _integers(rng: Any, dtype: Any, shape: tuple, bounds: tuple) -> Any:
    """Whole numbers from bounds[0] to below bounds[1]; as far as the dtype counts if not given."""
    if len(bounds) < 2:
        highest = {"f": 2 ** (np.finfo(dtype).nmant + 1)} if dtype.kind == "f" else {"b": 1}
        top = highest[dtype.kind] if dtype.kind in highest else np.iinfo(dtype).max
        bounds = (0, bounds[0] if bounds else top + 1)
    low, high = map(int, bounds)
    if low >= high:
        raise ShapeError(f"random_: the lower bound {low} must be below the upper bound {high}")
    return rng.integers(low, high, shape, dtype=np.uint64 if low >= 0 else np.int64)


@method("random_")
def random_(self: Tensor, *bounds: int, generator: Any = None) -> Tensor:
    """Fill with random whole numbers n, from <= n < to: random_(from, to), random_(to) from 0 on.

    Without bounds they go from 0 to the largest of an integer dtype, to 2^24 in float32, to 2^53 in
    float64.

    >>> import minigen
    >>> x = minigen.zeros(100).random_(1, 7)
    >>> x.min(), x.max()
    (tensor(1.), tensor(6.))
    """
    if len(bounds) > 2:
        raise TypeError(f"random_: expects at most two bounds, got {len(bounds)}")
    draw = lambda: _integers(  # noqa: E731
        backend.stream(generator), self.array.dtype, self.array.shape, bounds
    )
    setitem(self, ..., backend.drawn(draw, self.device))
    return self


@method("fill_diagonal_")
def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write a number on the main diagonal; all dimensions must be equal if there are over two.

    wrap: let the diagonal of a tall matrix start again below its end, after a row left out.

    >>> import minigen
    >>> minigen.zeros(2, 2).fill_diagonal_(5)
    tensor([[5., 0.],
            [0., 5.]])
    """
    shape = self.array.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(
            "fill_diagonal_: expects a matrix, or more dimensions that are all equal; got "
            f"{describe(self)}"
        )
    mask = self.new_zeros(shape).bool()
    np.fill_diagonal(mask.array, True, wrap)
    return in_place(masked_fill)(self, mask, fill_value)


_draw("exponential_", lambda rng, shape, lambd=1.0: rng.exponential(1 / lambd, shape))
