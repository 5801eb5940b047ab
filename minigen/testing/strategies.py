"""What hypothesis can draw for a test of gradients: shapes, dtypes, and arrays of every layout.

    from hypothesis import given
    from minigen.testing import assert_gradients, strategies as st

    @given(st.arrays(st.shapes()))
    def test_my_operation(x):
        assert_gradients(my_operation, x)

The layouts matter: an operation that works on what `x.T`, `x[::2]` or `np.broadcast_to` gives has
to give the same result as on a copy of it. Needs the package hypothesis, of the `test` extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

__all__ = [
    "LAYOUTS", "arrays", "broadcastable_arrays", "broadcastable_shapes", "dims", "dtypes",
    "indices", "layouts", "shapes",
]  # fmt: skip

LAYOUTS = ("contiguous", "fortran", "transposed", "strided", "reversed", "zero-stride")


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4
) -> st.SearchStrategy[tuple[int, ...]]:
    """Tuples of extents; with min_side=0 also of empty arrays."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(
        tuple
    )


@st.composite
def broadcastable_shapes(
    draw: st.DrawFn, count: int = 2, *, min_dims: int = 0, max_dims: int = 3, min_side: int = 1,
    max_side: int = 4,
) -> list[tuple[int, ...]]:  # fmt: skip
    """`count` shapes that broadcast together: with leading axes left off, and extents of 1."""
    whole = draw(shapes(min_dims, max_dims, min_side, max_side))
    found = []
    for _ in range(count):
        kept = whole[draw(st.integers(0, max(0, len(whole) - min_dims))) :]
        found.append(tuple(1 if draw(st.integers(0, 3)) == 0 else n for n in kept))
    return found


def dims(ndim: int) -> st.SearchStrategy[int]:
    """A dimension of an array of that rank, counted from either end; ndim at least 1."""
    return st.integers(-ndim, ndim - 1)


def dtypes(*names: str) -> st.SearchStrategy[np.dtype]:
    """The floating-point dtypes in which gradients are computed, or those named."""
    return st.sampled_from([np.dtype(name) for name in names or ("float64", "float32")])


def layouts(*names: str) -> st.SearchStrategy[str]:
    """How an array lies in memory: one of LAYOUTS, or of those named."""
    return st.sampled_from(names or LAYOUTS)


@st.composite
def arrays(
    draw: st.DrawFn, shape: Any = None, *, dtype: Any = np.float64, low: float = -2.0,
    high: float = 2.0, away_from: Sequence[float] = (), gap: float = 0.05, distinct: bool = False,
    layout: Any = None,
) -> np.ndarray:  # fmt: skip
    """A floating-point array with numbers between low and high, of any memory layout.

    shape, dtype, layout: fixed, or a strategy; by default `shapes()`, float64, any of LAYOUTS.
    away_from: kinks: no number is nearer to one of these than `gap`.
    distinct:  no two numbers are nearer to each other than 1e-3: no ties, for max and sort.
    Numbers come from a generator whose seed is drawn, so that a failure is found again and shrinks
    to a small shape.
    """
    shape = draw(shapes() if shape is None else _strategy(shape))
    kind = np.dtype(draw(_strategy(dtype)))
    how = draw(layouts() if layout is None else _strategy(layout))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if distinct:
        how = "strided" if how == "zero-stride" else how  # which repeats its numbers
    return laid_out(_drawn(rng, tuple(shape), low, high, away_from, gap, distinct), kind, how)


def _strategy(value: Any) -> st.SearchStrategy:
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def _drawn(
    rng: Any, shape: tuple, low: float, high: float, away_from: Sequence, gap: float, distinct: bool
) -> np.ndarray:
    if distinct:
        size = int(np.prod(shape, dtype=int))
        spots = (np.arange(size) + rng.uniform(0.25, 0.75, size)) / max(size, 1)
        values = low + (high - low) * rng.permutation(spots).reshape(shape)
    else:
        values = np.asarray(rng.uniform(low, high, shape))
    for kink in away_from:
        near = np.abs(values - kink) < gap
        values = np.where(near, kink + np.where(values < kink, -gap, gap) * 1.5, values)
    return values


def laid_out(values: np.ndarray, dtype: Any, layout: str) -> np.ndarray:
    """Such values in that layout; "zero-stride" repeats those at the start of the last axis.

    >>> laid_out(np.eye(2), np.float64, "zero-stride").strides
    (16, 0)
    """
    values = np.array(values, dtype)
    if values.ndim == 0 or layout == "contiguous":
        return values
    if layout == "fortran":
        return np.array(values, order="F")
    if layout == "transposed":
        return np.ascontiguousarray(values.T).T
    if layout == "strided":
        wide = np.full([2 * n for n in values.shape], np.nan, dtype)
        view = wide[tuple(slice(0, 2 * n, 2) for n in values.shape)]
        view[...] = values
        return view
    if layout == "reversed":
        return np.ascontiguousarray(values[..., ::-1])[..., ::-1]
    return np.broadcast_to(values[..., :1], values.shape)


@st.composite
def broadcastable_arrays(draw: st.DrawFn, count: int = 2, **options: Any) -> list[np.ndarray]:
    """Arrays whose shapes broadcast together; options of `broadcastable_shapes` and `arrays`."""
    mine = {n: options.pop(n) for n in list(options) if n.endswith(("_dims", "_side"))}
    return [draw(arrays(shape, **options)) for shape in draw(broadcastable_shapes(count, **mine))]


@st.composite
def indices(draw: st.DrawFn, size: int, shape: Any = None, negative: bool = False) -> np.ndarray:
    """int64 indices into an axis of that extent, often the same one twice; negative ones too."""
    shape = draw(shapes(min_dims=1) if shape is None else _strategy(shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.asarray(rng.integers(-size if negative else 0, size, tuple(shape)))
