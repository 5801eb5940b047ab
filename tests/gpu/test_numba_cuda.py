"""Numba's CUDA rungs on a GPU: against the float64 reference, at ragged sizes, fresh random data.

The same rungs run without a GPU in tests/kernels/test_cuda_numba.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from minigen.kernels import numba_cuda

from minigen import kernels

PROBLEM = numba_cuda.problem()
# A missing package is no reason: the tests then fail.
pytestmark = pytest.mark.skipif("NVIDIA" in PROBLEM, reason=f"needs a GPU: {PROBLEM}")

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
MATMULS = [rung.name for rung in kernels.rungs("matmul", "cuda") if rung.needs_numba]


@pytest.fixture
def rng() -> np.random.Generator:
    """Other numbers in every run; pytest prints the seed when a test fails."""
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that CuPy hands out holds NaN, in whichever pieces it is asked for."""
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    kept = [cupy.full(2**n, np.nan, np.float32) for n in range(8, 22)]
    del kept
    yield
    pool.free_all_blocks()


def on_gpu(*arrays: Any) -> list[Any]:
    import cupy

    return [None if array is None else cupy.asarray(array) for array in arrays]


def run(operation: str, rung: str, *arrays: np.ndarray, **options: Any) -> Any:
    """The rung's results, back on the CPU."""
    results = kernels.get(operation, rung)(*on_gpu(*arrays), **options)
    if isinstance(results, tuple):
        return tuple(result.get() for result in results)
    return results.get()


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", MATMULS)
def test_matmul(rung: str, dtype: str, rng: np.random.Generator) -> None:
    shapes = [(33, 17, 40), (1, 20, 5), (18, 1, 3), (7, 9, 1), (256, 128, 256), (513, 300, 129)]
    for m, k, n in [*shapes, (3, 0, 2), (0, 3, 2)]:
        a = rng.standard_normal((m, k)).astype(dtype)
        b = rng.standard_normal((k, n)).astype(dtype)
        c = run("matmul", rung, a, b)
        bound = (k + 1) * UNIT[dtype] * np.matmul(abs(a), abs(b))
        assert c.dtype == a.dtype
        assert (abs(c - kernels.get("matmul", "reference")(a, b)) <= bound).all()


@pytest.mark.parametrize("rung", MATMULS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3, 40, 50), (2, 3, 50, 60)),
        ((3, 4, 5), (5, 6)),
        ((2, 1, 4, 5), (3, 5, 6)),
        ((5,), (5, 6)),
        ((4, 5), (5,)),
    ],
    ids=str,
)
def test_matmul_of_batches(rung: str, left: tuple, right: tuple, rng: np.random.Generator) -> None:
    a = rng.standard_normal(left).astype(np.float32)
    b = rng.standard_normal(right).astype(np.float32)
    np.testing.assert_allclose(run("matmul", rung, a, b), a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rung", MATMULS)
def test_strided_operands_and_another_stream(rung: str, rng: np.random.Generator) -> None:
    import cupy

    a, b = on_gpu(rng.standard_normal((300, 200)), rng.standard_normal((300, 500)))
    with cupy.cuda.Stream(non_blocking=True) as stream:
        left, right = a.T * 2, b[:, ::2] + 1
        c = kernels.get("matmul", rung)(left, right)
        c *= 2
        stream.synchronize()
        result = c.get()
    expected = 2 * ((a.get().T * 2) @ (b.get()[:, ::2] + 1))
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal: bool, dtype: str, rng: np.random.Generator) -> None:
    cases = [(37, 37, 20, 20), (33, 40, 3, 5), (1, 18, 32, 32), (40, 1, 17, 33), (300, 300, 64, 64)]
    if dtype == "float32":
        cases.append((70, 130, 128, 128))
    for queries, keys, features, width in cases:
        q = rng.standard_normal((2, 3, queries, features)).astype(dtype)
        k = rng.standard_normal((2, 1, keys, features)).astype(dtype)
        v = rng.standard_normal((2, 1, keys, width)).astype(dtype)
        out, logsumexp = run("attention", "cuda_online", q, k, v, is_causal=causal)
        expected = kernels.get("attention", "reference")(q, k, v, None, causal)
        scores = np.einsum("...ie,...je->...ij", abs(q), abs(k)).max() / np.sqrt(features)
        bound = (keys + 16) * UNIT[dtype] * (1 + scores)
        assert (abs(out - expected[0]) <= bound * abs(v).max()).all()
        assert (abs(logsumexp - expected[1]) <= bound).all()


@pytest.mark.parametrize("dtype", UNIT)
def test_softmax(dtype: str, rng: np.random.Generator) -> None:
    for shape in [(3, 5), (2, 256), (1000, 300), (4, 1), (7, 5000), (0, 3)]:
        x = (10 * rng.standard_normal(shape)).astype(dtype)
        y = run("softmax", "cuda_tree", x)
        expected = kernels.get("softmax", "reference")(x)
        largest = 1 + abs(x).max(axis=1, keepdims=True)
        bound = (shape[1] / 256 + 16) * UNIT[dtype] * largest * expected
        assert (abs(y - expected) <= bound + np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm(affine: bool, dtype: str, rng: np.random.Generator) -> None:
    for rows, features in [(3, 5), (9, 32), (1, 1000), (8, 1), (0, 3), (777, 768)]:
        x = (3 + rng.standard_normal((rows, features))).astype(dtype)
        weight, bias = rng.standard_normal((2, features)).astype(dtype) if affine else (None, None)
        results = run("layer_norm", "cuda_warp", x, weight, bias, eps=1e-5)
        expected = kernels.get("layer_norm", "reference")(x, weight, bias, 1e-5)
        size = 1 + (abs(expected[1]) * expected[2]).max(initial=0)
        tolerance = (features / 32 + 100) * UNIT[dtype] * size
        for result, value in zip(results, expected):
            scale = 1 + abs(value).max(initial=0)
            np.testing.assert_allclose(result, value, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("operation", "rung", "shapes"),
    [
        *(("matmul", rung, [(200, 300), (300, 100)]) for rung in MATMULS),
        ("attention", "cuda_online", [(4, 200, 32)] * 3),
        ("softmax", "cuda_tree", [(50, 3000)]),
    ],
)
def test_every_run_gives_the_same_bits(operation, rung, shapes, rng) -> None:
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    first = run(operation, rung, *arrays)
    for _ in range(20):
        for a, b in zip(first, run(operation, rung, *arrays)):
            np.testing.assert_array_equal(a, b)


def test_numpy_arrays_are_refused() -> None:
    a = np.ones((2, 2), np.float32)
    with pytest.raises(TypeError, match="takes CuPy arrays"):
        kernels.get("matmul", "cuda_shared")(a, a)
