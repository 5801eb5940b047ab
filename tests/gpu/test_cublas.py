"""Products by our own handle of cuBLAS on a GPU: against float64, and inside of a CUDA graph."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cuda_products import SHAPES
from minigen.kernels.matmul import cublas_handle
from minigen.kernels.matmul.blas import matmul_blas
from minigen.kernels.matmul.cublas import product

cupy = pytest.importorskip("cupy")
pytestmark = pytest.mark.skipif(not cupy.cuda.is_available(), reason="needs a GPU")

ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


def normal(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> object:
    return cupy.asarray(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def agree(c: object, a: object, b: object) -> None:
    """|c - ab| <= (k + 1) u |a||b|, which no product of TF32 keeps to."""
    x, y = a.get().astype(np.float64), b.get().astype(np.float64)
    bound = (x.shape[-1] + 1) * ROUNDOFF[str(c.dtype)] * np.matmul(abs(x), abs(y))
    if c.dtype == np.float64:
        bound = 2 * bound  # NumPy's own error comes on top
    assert type(c) is cupy.ndarray
    assert (abs(c.get() - np.matmul(x, y)) <= bound).all()


def test_the_library_is_found() -> None:
    assert cublas_handle.gpu_of(cupy.ndarray) is not None


@pytest.mark.parametrize("dtype", ROUNDOFF)
@pytest.mark.parametrize(
    ("a", "b"),
    [*SHAPES, ((257, 64), (64, 33)), ((1, 1009), (1009, 513)), ((64, 784), (784, 400)),
     ((512, 2048), (2048, 512)), ((70_000, 2, 3), (70_000, 3, 2))],
)  # fmt: skip
def test_shapes(a, b, dtype) -> None:
    a, b = normal(a, dtype), normal(b, dtype, seed=1)
    c = matmul_blas(a, b)
    assert c.dtype == dtype
    assert c.flags.c_contiguous
    agree(c, a, b)


def test_layouts() -> None:
    """Transposed, parts of columns and rows, heads inside of rows, repeated, backwards."""
    x, w = normal((4, 12, 96)), normal((32, 32), seed=1)
    qkv = x.reshape(4, 12, 3, 4, 8).transpose(2, 0, 3, 1, 4)
    for a, b in (
        (x[..., :32], w),
        (x[..., 32:64], w.T),
        (x[:, ::2, 5:37], w),
        (x[1:, 3:9, :32], w[:, 3:17]),
        (x.swapaxes(1, 2), x[..., 10:20]),
        (qkv[0], qkv[1].swapaxes(-1, -2)),
        (w, x.swapaxes(1, 2)[:, :32]),
        (cupy.broadcast_to(w[0], (5, 32)), w),
        (w[::-1], w[:, ::-1]),
        (w[:, 3], w),
        (w, w[:, 3]),
    ):
        agree(product(a, b), a, b)


def test_into_an_array() -> None:
    a, b = normal((3, 5, 7)), normal((7, 4), seed=1)
    wide = cupy.full((3, 5, 9), np.nan, np.float32)
    for out in (cupy.empty((3, 5, 4), np.float32), wide[..., 2:6], wide[..., 1::2]):
        assert product(a, b, out) is out
        agree(out, a, b)
    out = cupy.full((3, 4), np.nan, np.float32)
    assert product(a[:, 0, :0], b[:0], out) is out
    assert not out.any()


def test_other_dtypes() -> None:
    for dtype in ("float16", "int64", "complex64"):
        a, b = (cupy.ones(shape, dtype) for shape in ((2, 3, 4), (4, 5)))
        c = matmul_blas(a, b)
        assert c.dtype == dtype
        assert (c.get() == 4).all()


def test_a_captured_graph_computes_anew() -> None:
    """With the operands' values at each launch, also of a batch and an operand that is copied."""
    stream = cupy.cuda.Stream(non_blocking=True)
    a, b, x = normal((64, 48)), normal((48, 80), seed=1), normal((4, 5, 3, 64), seed=2)
    c, y = cupy.zeros((64, 80), np.float32), cupy.zeros((4, 3, 5, 48), np.float32)
    cupy.cuda.Device().synchronize()
    with stream:
        product(a, b)  # makes the handle and the workspace of this stream
        stream.begin_capture()
        product(a, b, c)
        product(x.swapaxes(1, 2), a, y)
        graph = stream.end_capture()
        for seed in (3, 4):
            a[...] = normal(a.shape, seed=seed)
            graph.launch(stream)
            stream.synchronize()
            agree(c, a, b)
            agree(y, x.swapaxes(1, 2), a)


def test_streams_and_threads() -> None:
    a = normal((300, 300))
    made = []

    def multiply() -> None:
        with cupy.cuda.Stream(non_blocking=True) as stream:
            results = [product(a, a) for _ in range(20)]
            stream.synchronize()
        made.extend(results)

    cupy.cuda.Device().synchronize()
    threads = [threading.Thread(target=multiply) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 80
    for c in made[::10]:
        agree(c, a, a)
    agree(product(a, a), a, a)
