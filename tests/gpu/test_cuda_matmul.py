"""Matmul in CUDA C++ on a GPU: the same checks as in the emulator, and sizes that it cannot do."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_products import (
    BF16,
    FLOAT32,
    SHAPES,
    UNIT,
    bf16_values,
    check,
    nearest_bf16,
    operand,
    units,
)
from minigen.kernels.matmul import cuda
from minigen.kernels.matmul.cuda.multiply import multiply
from minigen.kernels.matmul.cuda.tilings import LADDER

from minigen import kernels

cupy = pytest.importorskip("cupy")
pytestmark = pytest.mark.skipif(not cupy.cuda.is_available(), reason="needs a GPU")


def placed(x: np.ndarray) -> object:
    """On the GPU, a transposed view staying one."""
    if x.flags.c_contiguous:
        return cupy.asarray(x)
    return cupy.asarray(np.ascontiguousarray(x.swapaxes(-1, -2))).swapaxes(-1, -2)


def takes(tiling_or_rung: object) -> None:
    hopper = getattr(tiling_or_rung, "hopper", "wgmma" in str(tiling_or_rung))
    if hopper and cupy.cuda.Device().compute_capability != "90":
        pytest.skip("needs a GPU of the Hopper generation")


@pytest.mark.parametrize("layout", ["NN", "NT", "TN"])
@pytest.mark.parametrize("tiling", LADDER, ids=lambda t: f"{t.file[:-3]}-{t.block[0]}x{t.block[1]}")
def test_every_kernel(tiling, layout) -> None:
    """Several tiles and parts, sizes that end inside tiles; the same bits in every run."""
    takes(tiling)
    rng = np.random.default_rng(0)
    m, n, k = 393, 530, 700
    a, b = operand(rng, (m, k), layout[0]), operand(rng, (k, n), layout[1])
    if rounded := tiling.file in ("bf16_mma.cu", "wgmma.cu"):
        a, b = nearest_bf16(a), nearest_bf16(b)
    exact = [bf16_values(x) if rounded else x.astype(np.float64) for x in (a, b)]
    bound = units(k, tiling.file) * UNIT * (abs(exact[0]) @ abs(exact[1]))
    for parts in (1, 3):
        runs = [multiply([tiling], placed(a), placed(b), parts=parts).get() for _ in range(3)]
        assert (abs(runs[0] - exact[0] @ exact[1]) <= bound).all()
        assert all((run == runs[0]).all() for run in runs[1:])


@pytest.mark.parametrize("name", [*FLOAT32, *BF16])
def test_shapes_batches_and_odd_sizes(name) -> None:
    takes(name)
    rng = np.random.default_rng(1)
    for a, b in SHAPES:
        check(name, operand(rng, a), operand(rng, b), placed)
    for layout in ("NN", "NT", "TN", "TT"):
        for m, n, k in ((127, 131, 67), (257, 64, 33), (1, 1009, 513), (64, 400, 784)):
            check(name, operand(rng, (m, k), layout[0]), operand(rng, (k, n), layout[1]), placed)
    check(name, operand(rng, (5, 70, 36)), operand(rng, (5, 36, 90), "T"), placed)


@pytest.mark.parametrize("name", ["cuda_tf32x3", "cuda_wgmma_tf32x3"])
def test_tf32x3_is_as_accurate_as_float32(name) -> None:
    takes(name)
    rng = np.random.default_rng(2)
    a, b = operand(rng, (256, 4096)), operand(rng, (4096, 256))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    errors = [
        np.linalg.norm(product(placed(a), placed(b)).get() - exact)
        for product in (kernels.get("matmul", name), cupy.matmul)
    ]
    assert errors[0] <= 2 * errors[1]


def test_rounding_to_bfloat16() -> None:
    rng = np.random.default_rng(3)
    for shape in ((1,), (3, 5), (2, 3, 8), (1000, 1001)):
        x = operand(rng, shape)
        assert (cuda.round_bf16(placed(x)).get() == nearest_bf16(x)).all()
