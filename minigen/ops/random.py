"""Random tensors, drawn from a seeded stream (`manual_seed`, `Generator`) on the CPU.

The same seed gives the same numbers on every device; they are NumPy's (PCG64), not PyTorch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import Variable, differentiable, wrap
from minigen.dtypes import as_dtype, get_default_dtype
from minigen.errors import ShapeError
from minigen.ops.creation import finish, shape_of
from minigen.tensor import Tensor, method

__all__ = [
    "bernoulli",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]


def _float(name: str, dtype: Any) -> np.dtype:
    chosen = get_default_dtype() if dtype is None else as_dtype(dtype)
    if not chosen.is_floating_point:
        raise TypeError(f"{name}: needs a floating-point dtype, got {chosen}")
    return chosen.numpy


def _uniform(rng: np.random.Generator, shape: tuple, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16:  # a number below 1 that is drawn in float32 could round to 1
        return (rng.integers(0, 2**11, shape) / 2**11).astype(dtype)
    return rng.random(shape, dtype)


def _gaussian(rng: np.random.Generator, shape: tuple, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float16:
        return rng.standard_normal(shape, np.float32).astype(dtype)
    return rng.standard_normal(shape, dtype)


def rand(
    *args: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform on [0, 1).

    >>> import minigen
    >>> generator = minigen.manual_seed(0)
    >>> minigen.rand(2, 3).shape
    minigen.Size([2, 3])
    """
    shape, chosen = shape_of("rand", args, size), _float("rand", dtype)
    draw = lambda: _uniform(backend.stream(generator), shape, chosen)  # noqa: E731
    return finish(backend.drawn(draw, device), requires_grad=requires_grad)


def randn(
    *args: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal: mean 0, variance 1."""
    shape, chosen = shape_of("randn", args, size), _float("randn", dtype)
    draw = lambda: _gaussian(backend.stream(generator), shape, chosen)  # noqa: E731
    return finish(backend.drawn(draw, device), requires_grad=requires_grad)


def randint(
    *args: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers low <= n < high, each as likely: `randint(high, size)`, `randint(low, high, size)`.

    Raises RuntimeError unless low < high.

    >>> import minigen
    >>> bool((minigen.randint(1, 7, (100,)) <= 6).all())
    True
    """
    given = list(args)
    if size is None and given:
        size = given.pop()
    if high is None and given:
        high = given.pop()
    if low is None:
        low = given.pop() if given else 0
    if given or high is None or not isinstance(size, tuple | list):
        raise TypeError("randint: call it as randint(high, size) or randint(low, high, size)")
    if low >= high:
        raise ShapeError(f"randint: low must be below high, got {low} and {high}")
    chosen = np.dtype(np.int64) if dtype is None else as_dtype(dtype).numpy
    shape = shape_of("randint", (size,))
    draw = lambda: backend.stream(generator).integers(low, high, shape).astype(chosen)  # noqa: E731
    return finish(backend.drawn(draw, device), requires_grad=requires_grad)


def randperm(n: int, *, generator: Any = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The integers 0 to n - 1 in random order.

    >>> randperm(5).sort().values
    tensor([0, 1, 2, 3, 4])
    """
    if n < 0:
        raise ShapeError(f"randperm: n cannot be negative, got {n}")
    chosen = np.dtype(np.int64) if dtype is None else as_dtype(dtype).numpy
    draw = lambda: backend.stream(generator).permutation(n).astype(chosen)  # noqa: E731
    return finish(backend.drawn(draw, device))


def _as_given(input: Any, dtype: Any, device: Any) -> dict:
    return {
        "dtype": input.dtype if dtype is None else dtype,
        "device": input.device if device is None else device,
    }


def rand_like(
    input: Tensor,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`rand` of the shape, dtype and device of `input`."""
    options = _as_given(input, dtype, device)
    return rand(input.shape, generator=generator, requires_grad=requires_grad, **options)


def randn_like(
    input: Tensor,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randn` of the shape, dtype and device of `input`."""
    options = _as_given(input, dtype, device)
    return randn(input.shape, generator=generator, requires_grad=requires_grad, **options)


def randint_like(
    input: Tensor,
    *args: Any,
    low: int | None = None,
    high: int | None = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randint` of the shape, dtype and device of `input`: (input, high) or (input, low, high)."""
    options = _as_given(input, dtype, device)
    options |= {"low": low, "high": high, "generator": generator, "requires_grad": requires_grad}
    return randint(*args, size=tuple(input.shape), **options)


# ------------------------------------------------------------------------ given distributions


@method("bernoulli")
@differentiable
def bernoulli(input: Any, p: Any = None, generator: Any = None) -> Any:
    """1 with probability `input` (or `p`, where given), else 0, in the dtype of `input`.

    Raises RuntimeError for a probability outside [0, 1], on the CPU: a GPU would be waited for.
    Its gradient is 0.

    >>> import minigen
    >>> minigen.bernoulli(minigen.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    if p is None and input.dtype.kind != "f":
        raise TypeError(f"probabilities are floating-point numbers, not {input.dtype}")
    odds, where = (input if p is None else p), backend.device_of(input)
    if where == backend.CPU and not np.all((np.asarray(odds) >= 0) & (np.asarray(odds) <= 1)):
        raise ShapeError("a probability must lie between 0 and 1")
    uniform = backend.drawn(lambda: backend.stream(generator).random(input.shape), where)
    return (uniform < odds).astype(input.dtype)


bernoulli.gradients(input=lambda g: g * 0)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal with these means and standard deviations: tensors, which broadcast, or numbers.

    Two numbers need a `size`.  The draws are constants: mean + std * randn_like(mean) is what has
    gradients.  Raises RuntimeError for a negative std.

    >>> import minigen
    >>> minigen.normal(minigen.tensor([5.0, -5.0]), 0.0)
    tensor([ 5., -5.])
    """
    arrays = [v.array for v in (mean, std) if isinstance(v, Variable)]
    if bool(arrays) == (size is not None):
        raise TypeError("normal: give a size with two numbers, and only then")
    if any(a.dtype.kind != "f" for a in arrays):
        raise TypeError("normal: means and standard deviations are floating-point numbers")
    loc, scale = (
        backend.to_device(v.array, backend.CPU) if isinstance(v, Variable) else v
        for v in (mean, std)
    )
    if np.any(np.asarray(scale) < 0):
        raise ShapeError(f"normal: std cannot be negative, got {std!r}")
    shape = (
        shape_of("normal", (size,))
        if size is not None
        else np.broadcast_shapes(np.shape(loc), np.shape(scale))
    )
    chosen = _float("normal", arrays[0].dtype if arrays and dtype is None else dtype)
    place = backend.device_of(arrays[0]) if arrays and device is None else device

    def draw() -> np.ndarray:
        return np.asarray(_gaussian(backend.stream(generator), shape, chosen) * scale + loc, chosen)

    return finish(backend.drawn(draw, place), requires_grad=requires_grad)


@method("multinomial")
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """Indices drawn with probability proportional to the weights in `input`, (n,) or (rows, n).

    Without replacement they are drawn by the largest weight / exponential noise, which is the same
    as one after the other (Efraimidis & Spirakis 2006).  Returns (num_samples,) or
    (rows, num_samples), int64.
    Raises RuntimeError for weights that are negative, not finite, all zero, or too few.

    >>> import minigen
    >>> minigen.multinomial(minigen.tensor([0.0, 1.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = backend.to_device(input.array, backend.CPU)
    if weights.dtype.kind != "f" or weights.ndim not in (1, 2) or not weights.size:
        raise ShapeError(
            f"multinomial: expects floating-point weights of 1 or 2 dimensions, got {input.dtype} "
            f"{weights.shape}"
        )
    weights = weights.astype(np.float64)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ShapeError("multinomial: a weight is negative, infinite or NaN")
    if not (weights.sum(-1) > 0).all():
        raise ShapeError("multinomial: the weights of a row are all zero")
    if num_samples <= 0 or (not replacement and num_samples > weights.shape[-1]):
        raise ShapeError(
            f"multinomial: cannot draw {num_samples} of {weights.shape[-1]} without replacement"
        )
    rng = backend.stream(generator)
    if replacement:
        rows = weights.reshape(-1, weights.shape[-1])
        picked = np.stack([_with_replacement(rng, row, num_samples) for row in rows])
        picked = picked.reshape(*weights.shape[:-1], num_samples)
    else:
        keys = weights / rng.standard_exponential(weights.shape)
        picked = np.argsort(-keys, axis=-1, kind="stable")[..., :num_samples]
    return wrap(backend.to_device(picked.astype(np.int64), input.device))


def _with_replacement(rng: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    """By inversion of the cumulative sum: the first index whose sum exceeds a uniform number."""
    possible = np.flatnonzero(weights)
    cumulative = np.cumsum(weights[possible])
    found = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    return possible[np.minimum(found, len(possible) - 1)]
