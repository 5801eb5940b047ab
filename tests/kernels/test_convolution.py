"""Every rung of convolution and its companions against the float64 reference, inside its bound."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels import Windows, parallel
from minigen.kernels.convolution import blocks, depthwise

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = ("numpy", "numba")
OPERATIONS = ("convolution", "transposed_convolution", "weight_correlation")


class Case(NamedTuple):
    """The shapes of one convolution x, w -> y: what it is of both companions follows from them."""

    batch: int
    channels: int
    filters: int
    extent: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def windows(self) -> Windows:
        return Windows(self.stride, self.padding, self.dilation, self.groups)

    @property
    def size(self) -> tuple[int, ...]:
        steps = zip(self.extent, self.kernel, self.stride, self.padding, self.dilation)
        return tuple((e + 2 * p - d * (k - 1) - 1) // s + 1 for e, k, s, p, d in steps)

    def arrays(self, rng: Any, dtype: str) -> tuple[np.ndarray, ...]:
        """x, w, y, and a bias for each of y and x."""
        shapes = (
            (self.batch, self.channels, *self.extent),
            (self.filters, self.channels // self.groups, *self.kernel),
            (self.batch, self.filters, *self.size),
            (self.filters,),
            (self.channels,),
        )
        return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)

    def terms(self, name: str) -> int:
        """The most products that are summed in one number of the result."""
        taps = math.prod(self.kernel)
        if name == "convolution":
            return taps * self.channels // self.groups
        if name == "transposed_convolution":
            return taps * self.filters // self.groups
        return self.batch * math.prod(self.size)

    def arguments(self, name: str, arrays: Any, bias: bool = True) -> tuple[Any, ...]:
        x, w, y, bias_y, bias_x = arrays
        if name == "convolution":
            return x, w, bias_y if bias else None, self.size, self.windows
        if name == "transposed_convolution":
            return y, w, bias_x if bias else None, self.extent, self.windows
        return x, y, self.kernel, self.windows


CASES = [
    Case(2, 3, 4, (5, 6), (3, 2)),
    Case(2, 9, 17, (11, 13), (3, 4), (2, 1), (1, 2)),
    Case(3, 8, 5, (9, 8), (4, 4), (2, 2), (1, 1)),  # the kernel reaches over the stride
    Case(2, 7, 3, (10, 9), (2, 2), (3, 4)),  # pixels that no window meets
    Case(2, 5, 3, (9, 11), (3, 2), (1, 2), (0, 3), (2, 3)),
    Case(2, 4, 6, (9, 10), (3, 2), (3, 3), (2, 2), (2, 2), 2),
    Case(2, 18, 9, (6, 5), (3, 3), (1, 1), (1, 1), (1, 1), 9),  # two channels a filter
    Case(2, 6, 6, (6, 5), (3, 2), (2, 2), (1, 1), (1, 2), 6),  # depthwise
    Case(3, 4, 5, (4, 3), (1, 1)),  # windows are pixels
    Case(3, 4, 6, (4, 3), (1, 1), groups=2),
    Case(3, 4, 5, (5, 4), (1, 1), (2, 2), (1, 1)),
    Case(5, 3, 4, (4, 5), (4, 5)),  # one window, the whole image
    Case(5, 4, 4, (4, 5), (4, 5), groups=2),
    Case(2, 3, 4, (1, 1), (3, 3), (1, 1), (1, 1)),
    Case(1, 2, 3, (2, 2), (2, 2), (1, 1), (3, 3)),  # windows in the padding alone
    Case(2, 2, 3, (1, 2), (1, 1), (1, 1), (4, 5)),
    Case(0, 3, 4, (5, 6), (3, 2), (1, 1), (1, 1)),
    Case(0, 3, 4, (5, 6), (5, 6)),
    Case(2, 1, 1, (1, 1), (1, 1)),
    Case(3, 2, 5, (17, 13), (3, 3), (1, 1), (1, 1)),  # many positions: a product an image
    Case(2, 4, 6, (16, 12), (1, 1), groups=2),
    Case(2, 4, 6, (15, 12), (3, 3), (1, 1), (1, 1), (1, 1), 2),
    Case(2, 3, 4, (9,), (3,), (2,), (1,), (1,)),  # one dimension
    Case(2, 2, 2, (4, 3, 5), (2, 2, 3), (1, 2, 1), (0, 1, 1), (1, 1, 2)),  # and three
    Case(67, 16, 3, (12, 12), (5, 5), (1, 1), (2, 2)),  # several blocks, several parts
]


def check(rung: str, name: str, case: Case, arrays: Any, bias: bool = True) -> np.ndarray:
    """|result - exact| <= (K + 2) u (the same with absolute values), shape, dtype and layout."""
    reference = kernels.get(name, "reference")
    arguments = case.arguments(name, arrays, bias)
    before = [a.copy() for a in arrays]
    result = kernels.get(name, rung)(*arguments)
    exact = reference(*arguments)
    sizes = reference(*case.arguments(name, [np.abs(a) for a in arrays], bias))
    ((shape, dtype),) = kernels.registry.operation(name).expected(*arguments)
    assert isinstance(result, np.ndarray)
    assert result.shape == exact.shape == shape
    assert result.dtype == dtype == arrays[0].dtype
    assert result.flags.c_contiguous
    assert (np.abs(result - exact) <= (case.terms(name) + 2) * UNIT[str(dtype)] * sizes).all()
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)
    return result


@pytest.fixture
def fresh() -> None:
    """The scratch memory that earlier calls left behind is forgotten."""
    blocks._kept.arrays.clear()


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_ragged_shapes(case, name, rung, dtype, rng, poisoned, fresh) -> None:
    arrays = case.arrays(rng, dtype)
    check(rung, name, case, arrays)
    check(rung, name, case, arrays, bias=False)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_blocks_and_parts(case, name, rng, poisoned, fresh, monkeypatch) -> None:
    """With small limits every case has several blocks, or several parts where it is depthwise."""
    monkeypatch.setattr(blocks, "BLOCK", 300)
    monkeypatch.setattr(blocks, "MANY", 7)
    monkeypatch.setattr(depthwise, "PART", 100)
    case = case._replace(batch=case.batch and case.batch + 4)
    check("numba", name, case, case.arrays(rng, "float32"))


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", [c for c in CASES if len(c.kernel) == 2], ids=str)
def test_any_strides(case, name, rung, rng, poisoned, fresh) -> None:
    def strided(array: np.ndarray, variant: int) -> np.ndarray:
        """The same numbers: channels last, every second one, backwards; read-only."""
        if array.ndim == 1:
            array = np.repeat(array, 2)[::2]
        elif variant == 0:
            array = np.ascontiguousarray(np.moveaxis(array, 1, -1)).transpose(0, 3, 1, 2)
        elif variant == 1:
            array = np.repeat(np.repeat(array, 2, 1), 3, 3)[:, ::2, :, ::3]
        else:
            array = np.ascontiguousarray(array[::-1, :, :, ::-1])[::-1, :, :, ::-1]
        array.flags.writeable = False
        return array

    arrays = case.arrays(rng, "float32")
    for variant in range(3):
        check(rung, name, case, [strided(a, variant) for a in arrays])


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", [CASES[2], CASES[7], CASES[8], CASES[11], CASES[22]], ids=str)
def test_numbers_at_odd_addresses(case, name, rung, rng) -> None:
    def displaced(array: np.ndarray) -> np.ndarray:
        memory = np.frombuffer(b"?" + array.tobytes(), np.uint8)[1:]
        return memory.view(array.dtype).reshape(array.shape)

    arrays = [displaced(array) for array in case.arrays(rng, "float32")]
    assert not arrays[0].flags.aligned
    check(rung, name, case, arrays)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_array_repeated_by_stride_zero(rung, name, rng) -> None:
    case = Case(3, 4, 5, (6, 7), (3, 3), (2, 2), (1, 1))
    x, w, y, *biases = case.arrays(rng, "float64")
    check(rung, name, case, [np.broadcast_to(x[:1], x.shape), w,
                             np.broadcast_to(y[..., :1], y.shape), *biases])  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    st.data(), st.sampled_from(RUNGS), st.sampled_from(OPERATIONS), st.sampled_from(sorted(UNIT))
)
def test_any_shape(data, rung, name, dtype) -> None:
    def draw(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = draw(1, 3)
    pair = [(draw(1, 5), draw(1, 4), draw(0, 5), draw(1, 3)) for _ in range(2)]
    kernel, stride, padding, dilation = zip(*pair)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    extent = tuple(draw(max(1, r - 2 * p), 12) if r - 2 * p <= 12 else r for r, p in
                   zip(reach, padding))  # fmt: skip
    case = Case(draw(0, 4), groups * draw(1, 10), groups * draw(1, 10), extent, kernel, stride,
                padding, dilation, groups)  # fmt: skip
    check(rung, name, case, case.arrays(np.random.default_rng(draw(0, 2**32 - 1)), dtype))


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_trilinear_form(rung, case, rng) -> None:
    """<Y(x, w), y> = <x, X(y, w)> = <w, W(x, y)>: each is the adjoint of the two others."""
    x, w, y, *_ = arrays = case.arrays(rng, "float64")
    forms = [
        np.vdot(kernels.get(name, rung)(*case.arguments(name, arrays, bias=False)), other)
        for name, other in zip(OPERATIONS, (y, x, w))
    ]
    np.testing.assert_allclose(forms, forms[0], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", [CASES[2], CASES[7], CASES[8], CASES[11], CASES[19]], ids=str)
def test_nan_and_infinity_come_through(case, name, rung, rng, fresh) -> None:
    """They reach the numbers that they reach in the formula, and no other."""
    x, w, y, *biases = case.arrays(rng, "float32")
    x[0, 0, 1, 1], y[0, -1, -1, -1] = np.nan, -np.inf
    arguments = case.arguments(name, [x, w, y, *biases])
    with np.errstate(invalid="ignore"):
        result = kernels.get(name, rung)(*arguments)
        exact = kernels.get(name, "reference")(*arguments)
    np.testing.assert_allclose(result, exact, rtol=1e-3, atol=1e-3)
    assert not np.isfinite(result).all()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("case", [CASES[1], CASES[5], CASES[7], CASES[19], CASES[-1]], ids=str)
def test_the_same_on_any_number_of_threads(case, name, rng, monkeypatch) -> None:
    monkeypatch.setattr(depthwise, "PART", 100)
    arguments = case.arguments(name, case.arrays(rng, "float32"))
    threads, results = parallel.threads(), []
    try:
        for number in (1, 2, 3):
            parallel.set_threads(number)
            results.append(kernels.get(name, "numba")(*arguments).tobytes())
    finally:
        parallel.set_threads(threads)
    assert results[0] == results[1] == results[2]


def test_python_threads_at_once(rng) -> None:
    """The scratch memory of one thread is not that of another."""
    jobs = [
        (name, case.arguments(name, case.arrays(rng, "float32")))
        for name in OPERATIONS
        for case in (CASES[2], CASES[19], CASES[-1])
    ] * 4

    def run(job: Any) -> bytes:
        return kernels.get(job[0], "numba")(*job[1]).tobytes()

    alone = [run(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, jobs)) == alone


def test_kept_memory_is_bounded(rng, fresh) -> None:
    """What a thread keeps between calls does not grow with the batch or the image."""
    for case in (CASES[-1], Case(2, 3, 2, (700, 700), (3, 3)), Case(600, 3, 2, (40, 40), (3, 3))):
        for name in OPERATIONS:
            kernels.get(name, "numba")(*case.arguments(name, case.arrays(rng, "float32")))
    kept = [array.size for array in blocks._kept.arrays.values()]
    assert max(kept) <= 2 * blocks.BLOCK
    assert len(kept) <= 6


def test_the_reference_is_the_definition(rng) -> None:
    case = Case(2, 4, 6, (5, 6), (3, 2), (2, 1), (1, 2), (1, 2), 2)
    x, w, y, bias_y, bias_x = arrays = case.arrays(rng, "float64")
    exact_y = np.tile(bias_y[:, None, None], (case.batch, 1, *case.size)).reshape(y.shape)
    exact_x = np.tile(bias_x[:, None, None], (case.batch, 1, *case.extent)).reshape(x.shape)
    exact_w = np.zeros_like(w)
    for n, o, c in itertools.product(range(2), range(6), range(2)):
        channel = o // 3 * 2 + c
        for i, k in itertools.product(np.ndindex(case.size), np.ndindex(case.kernel)):
            at = [s * i_ + d * k_ - p for s, i_, d, k_, p in
                  zip(case.stride, i, case.dilation, k, case.padding)]  # fmt: skip
            if all(0 <= a < e for a, e in zip(at, case.extent)):
                exact_y[(n, o, *i)] += x[(n, channel, *at)] * w[(o, c, *k)]
                exact_x[(n, channel, *at)] += y[(n, o, *i)] * w[(o, c, *k)]
                exact_w[(o, c, *k)] += y[(n, o, *i)] * x[(n, channel, *at)]
    for name, exact in zip(OPERATIONS, (exact_y, exact_x, exact_w)):
        result = kernels.get(name, "reference")(*case.arguments(name, arrays))
        np.testing.assert_allclose(result, exact, rtol=1e-12, atol=1e-12)


def test_integers_are_computed_by_numpy() -> None:
    x, w = np.arange(8).reshape(1, 1, 8), np.array([[[1, 10]]])
    function = kernels.select("convolution", x, w)
    assert function is kernels.get("convolution", "numpy")
    result = function(x, w, None, (4,), Windows((2,), (0,), (1,)))
    np.testing.assert_array_equal(result, [[[10, 32, 54, 76]]])
