"""What cuBLAS is told about arrays, on a fake cuBLAS that takes it literally."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import cupy
import numpy as np
import pytest
from cuda_products import SHAPES
from fake_cublas import HostGpu, gpu_array, host
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels import KernelError
from minigen.kernels.matmul import cublas, cublas_handle
from minigen.kernels.matmul.blas import matmul_blas

WAYS = ("plain", "transposed", "columns", "rows", "turned", "repeated", "backwards", "gaps")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> HostGpu:
    made = HostGpu()
    monkeypatch.setitem(cublas_handle._gpus, cupy.ndarray, made)
    return made


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    return rng.integers(-4, 5, shape).astype(dtype)  # products and sums are exact


def laid(rng: np.random.Generator, shape: tuple[int, ...], way: str, dtype: Any) -> np.ndarray:
    """An array of that shape whose numbers lie in memory in one of several ways."""
    if way == "plain" or not shape:
        return numbers(rng, shape, dtype)
    if way == "columns":  # as in qkv[..., :C]
        return numbers(rng, (*shape[:-1], shape[-1] + 3), dtype)[..., 1 : shape[-1] + 1]
    if way == "backwards":
        return numbers(rng, shape, dtype)[..., ::-1]
    if way == "gaps":
        return numbers(rng, (*shape[:-1], 2 * shape[-1]), dtype)[..., ::2]
    if way == "repeated":  # along the first dimension
        return np.broadcast_to(numbers(rng, (1, *shape[1:]), dtype), shape)
    if len(shape) == 1:
        return numbers(rng, (shape[0], 3), dtype)[:, 1]
    if way == "transposed":
        return numbers(rng, (*shape[:-2], shape[-1], shape[-2] + 2), dtype)[..., 2:].swapaxes(
            -1, -2
        )
    if way == "rows":
        return numbers(rng, (*shape[:-2], shape[-2] + 2, shape[-1]), dtype)[..., 1:-1, :]
    order = list(reversed(range(len(shape) - 1)))  # heads inside of rows, as attention has them
    return numbers(rng, (*(shape[i] for i in order), shape[-1]), dtype).transpose(
        *order, len(shape) - 1
    )


sizes = st.sampled_from((0, 1, 1, 2, 3, 5, 8))


@st.composite
def shapes(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    m, k, n = draw(sizes), draw(sizes), draw(sizes)
    lead = draw(st.lists(st.sampled_from((0, 1, 2, 3)), max_size=3))
    operands = []
    for matrix in ((m, k), (k, n)):
        own = [draw(st.sampled_from((size, size, 1))) for size in lead]
        operands.append((*own[draw(st.integers(0, len(own))) :], *matrix))
    a, b = operands
    if draw(st.integers(0, 5)) == 0:
        a = (k,)
    if draw(st.integers(0, 5)) == 0:
        b = (k,)
    return a, b


def exactly(gpu: HostGpu, a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> Any:
    """The product is that of NumPy, number by number; what the result is."""
    right = np.matmul(a, b)
    if out is None:
        c = cublas.product(gpu_array(a), gpu_array(b))
        assert c.flags.c_contiguous
    else:
        place = gpu_array(out)
        c = cublas.product(gpu_array(a), gpu_array(b), place)
        assert c is place
    assert type(c) is cupy.ndarray
    assert (c.shape, c.dtype) == (right.shape, right.dtype)
    np.testing.assert_array_equal(host(c), right)
    return c


@settings(max_examples=400, deadline=None)
@given(shapes(), st.sampled_from(WAYS), st.sampled_from(WAYS), st.integers(0, 99))
def test_every_shape_and_layout(both, way_a, way_b, seed) -> None:
    rng, gpu = np.random.default_rng(seed), HostGpu()
    dtype = (np.float32, np.float64)[seed % 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cublas_handle._gpus, cupy.ndarray, gpu)
        exactly(gpu, laid(rng, both[0], way_a, dtype), laid(rng, both[1], way_b, dtype))


@settings(max_examples=200, deadline=None)
@given(shapes(), st.sampled_from(("plain", "transposed", "columns", "rows", "turned", "gaps")),
       st.integers(0, 99))  # fmt: skip
def test_into_an_array(both, way, seed) -> None:
    """Of any layout; nothing beside it is written."""
    rng, gpu = np.random.default_rng(seed), HostGpu()
    a, b = (numbers(rng, shape) for shape in both)
    out = laid(rng, np.matmul(a, b).shape, way, np.float32)
    whole = out
    while whole.base is not None:
        whole = whole.base
    out[...] = np.nan
    before = whole.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cublas_handle._gpus, cupy.ndarray, gpu)
        exactly(gpu, a, b, out)
    before, whole = (np.nan_to_num(x, nan=0.5) for x in (before, whole))  # which no sum is
    assert (before != whole).sum() == out.size


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_the_plain_rung_takes_it(gpu, rng, a, b) -> None:
    left, right = numbers(rng, a), numbers(rng, b)
    made = matmul_blas(gpu_array(left), gpu_array(right))
    np.testing.assert_array_equal(host(made), np.matmul(left, right))
    assert len(gpu.library.calls) == (made.size > 0 and left.size > 0)


@pytest.mark.parametrize(
    ("a", "b", "calls"),
    [
        (lambda x: x, lambda w: w, ["Sgemm"]),  # (batch, time, features): one tall matrix
        (lambda x: x, lambda w: w.T, ["Sgemm"]),  # by a layer's weight
        (lambda x: x[..., :4], lambda w: w[:4], ["Sgemm"]),  # a part of the columns
        (lambda x: x[:, ::2], lambda w: w[:, 1:], ["Sgemm"]),  # every other row
        (lambda x: x.reshape(20, 6).T, lambda w: np.ones((20, 3), np.float32), ["Sgemm"]),
        (lambda x: x, lambda w: x_like(w), ["SgemmStridedBatched"]),  # a matrix each
        (lambda x: x.swapaxes(1, 2), lambda w: w[:4], ["SgemmStridedBatched"]),
        (lambda x: x[1], lambda w: x_like(w), ["SgemmStridedBatched"]),  # broadcast
        (lambda x: x[:, :2], lambda w: w, ["SgemmStridedBatched"]),
        (lambda x: x[:, 0], lambda w: w[0], ["Sgemm"]),  # by a vector
    ],
)  # fmt: skip
def test_these_are_not_copied(gpu, rng, a, b, calls) -> None:
    x, w = numbers(rng, (5, 4, 6)), numbers(rng, (6, 6))
    exactly(gpu, a(x), b(w))
    assert gpu.copies == []
    assert gpu.library.calls == calls


def x_like(w: np.ndarray) -> np.ndarray:
    return np.arange(5, dtype=w.dtype)[:, None, None] * w


def test_heads_inside_of_rows_are_copied_once(gpu, rng) -> None:
    """(batch, time, heads, features) as (batch, heads, time, features): no single distance."""
    q = numbers(rng, (2, 4, 3, 5)).swapaxes(1, 2)
    exactly(gpu, q, np.ascontiguousarray(q.swapaxes(-1, -2)))
    assert gpu.copies == [q.shape]


def test_a_handle_is_set_up_once(gpu, rng) -> None:
    a = numbers(rng, (2, 2))
    exactly(gpu, a, a)
    exactly(gpu, a, a)
    names = [name for name, *_ in gpu.library.told]
    assert names == [
        "create", "cublasSetMathMode", "cublasSetPointerMode_v2", "cublasSetStream_v2",
        "cublasSetWorkspace_v2",
    ]  # fmt: skip
    assert gpu.library.told[1:3] == [("cublasSetMathMode", 0), ("cublasSetPointerMode_v2", 0)]
    assert gpu.library.told[4][2] == cublas_handle.WORKSPACE


def test_another_stream_has_another_workspace(gpu, rng) -> None:
    """Set after the stream, which resets it; going back to a stream takes its own again."""
    a, told = numbers(rng, (2, 2)), gpu.library.told
    exactly(gpu, a, a)
    for stream in (5, 0, 5):
        del told[:-2]
        before = list(told)
        gpu.stream_in_use = stream
        exactly(gpu, a, a)
        assert [name for name, *_ in told[2:]] == ["cublasSetStream_v2", "cublasSetWorkspace_v2"]
        assert (told[2][1] or 0) == stream
        assert told[3][1] != before[1][1]


def test_threads_and_devices_have_their_own_handle(gpu) -> None:
    """And what a thread leaves behind is taken by the next."""
    ours, theirs = gpu.handle(), []
    assert gpu.handle() is ours
    for _ in range(2):
        thread = threading.Thread(target=lambda: theirs.append(gpu.handle()))
        thread.start()
        thread.join()
    assert theirs[0] is theirs[1]
    assert theirs[0] is not ours
    gpu.device_in_use = 1
    assert gpu.handle() not in (ours, theirs[0])


def test_an_error_names_routine_status_and_shapes(gpu, rng) -> None:
    a, b = gpu_array(numbers(rng, (2, 3))), gpu_array(numbers(rng, (4, 3, 5)))
    for status, name in ((13, "CUBLAS_STATUS_EXECUTION_FAILED"), (99, "CUBLAS_STATUS_UNKNOWN")):
        gpu.library.status = status
        with pytest.raises(
            KernelError, match=rf"cublasSgemmStridedBatched returned {name}"
        ) as told:
            cublas.product(a, b)
        assert "float32(2, 3) on cuda @ float32(4, 3, 5) on cuda" in str(told.value)


def test_shapes_that_do_not_fit(gpu) -> None:
    def zeros(*shape: int) -> Any:
        return gpu_array(np.zeros(shape, np.float32))

    with pytest.raises(ValueError, match="different inner dimensions"):
        cublas.product(zeros(2, 3), zeros(2, 3))
    with pytest.raises(ValueError, match="broadcast"):
        cublas.product(zeros(2, 2, 3), zeros(3, 3, 2))
    with pytest.raises(ValueError, match="at least 1 dimension"):
        cublas.product(zeros(), zeros(3))
    with pytest.raises(ValueError, match=r"out has the shape \(3, 2\)"):
        cublas.product(zeros(2, 3), zeros(3, 2), zeros(3, 2))


def test_sizes_beyond_an_int_are_left_to_cupy() -> None:
    shape = (2**31, 1)
    assert cublas.layout(shape, (4, 4), (1, 1), (4, 4), 4) is None
    assert cublas.layout((2, 2), (2**34, 4), (2, 1), (4, 4), 4) is None  # the pitch
    assert cublas.layout((2**31 - 1, 1), (4, 4), (1, 1), (4, 4), 4) is not None


@pytest.mark.parametrize("dtypes", ["ii", "ee", "FF", "??", "fd", "df"])
def test_other_dtypes_are_left_to_cupy(gpu, monkeypatch, dtypes) -> None:
    seen = []
    monkeypatch.setattr(cublas, "_by_array_library", lambda *given: seen.append(given))
    a, b = (gpu_array(np.ones((2, 2), dtype)) for dtype in dtypes)
    cublas.product(a, b)
    assert seen == [(a, b, None)]
    assert gpu.library.calls == []


def test_without_the_library_products_are_left_to_cupy(monkeypatch) -> None:
    """Here it cannot be loaded, and nothing can be computed: np.matmul is asked, every time."""
    monkeypatch.delitem(cublas_handle._gpus, cupy.ndarray, raising=False)
    monkeypatch.setattr(cublas_handle.ctypes, "CDLL", fails := Failing())
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", SimpleNamespace(cublas=None))
    assert cublas_handle.gpu_of(cupy.ndarray) is None
    assert cublas_handle.gpu_of(cupy.ndarray) is None
    assert len(fails.names) == 1
    assert fails.names[0].startswith(("libcublas.so.", "cublas64_"))
    monkeypatch.delitem(cublas_handle._gpus, cupy.ndarray)


class Failing:
    """A library that is not there."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        raise OSError(name)
