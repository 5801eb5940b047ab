"""Matmul in CUDA C++, in the emulator: every kernel that is shipped, against float64."""

from __future__ import annotations

import dataclasses

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
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels.cuda import emulated, source
from minigen.kernels.cuda.emulator import changed
from minigen.kernels.matmul import cuda
from minigen.kernels.matmul.cuda import tilings
from minigen.kernels.matmul.cuda.multiply import multiply
from minigen.kernels.matmul.cuda.stored import padded, stored
from minigen.kernels.matmul.cuda.tilings import (
    BF16_MMA,
    LADDER,
    TF32X3,
    WARP_TILE,
    WGMMA,
    WGMMA_TF32X3,
    plan,
)

from minigen import kernels

NUMPY = np.asarray
TILINGS = [pytest.param(t, id=f"{t.file[:-3]}-{t.block[0]}x{t.block[1]}") for t in LADDER]
LAYOUTS = ("NN", "NT", "TN")


def product(tiling, layout, rng, **how):
    """C, whether it is right, and what the emulator counted.

    Plus a bias, if something is transposed. More than one tile, edges inside tiles, k cut into two
    parts of six steps: rings go round.
    """
    rows, columns = tiling.block
    m, n, k = rows + 9, columns - 10, 10 * tiling.depth + 12
    a, b = operand(rng, (m, k), layout[0]), operand(rng, (k, n), layout[1])
    if rounded := tiling.file in ("bf16_mma.cu", "wgmma.cu"):
        a, b = nearest_bf16(a), nearest_bf16(b)
    bias = rng.standard_normal(n).astype(np.float32)
    with emulated(**how) as run:
        c = multiply([tiling], a, b, parts=2, bias=None if layout == "NN" else bias)
    bias = np.float64(bias) * (layout != "NN")
    exact = [bf16_values(x) if rounded else x.astype(np.float64) for x in (a, b)]
    bound = units(k, tiling.file) * UNIT * (abs(exact[0]) @ abs(exact[1]) + abs(bias))
    return c, (abs(c - exact[0] @ exact[1] - bias) <= bound).all(), run


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("tiling", TILINGS)
def test_every_kernel_in_three_schedules(tiling, layout) -> None:
    """Right, without a bank conflict, and the same bits however threads and copies are timed."""
    schedules = ({}, {"schedule": 7}, {"schedule": 1, "early": True})
    results = []
    for how in schedules if layout == "NN" else schedules[1:]:
        c, right, run = product(tiling, layout, np.random.default_rng(0), **how)
        assert right
        assert run.conflicts == run.shared_conflicts == 1.0
        results.append(c)
    assert all((c == results[0]).all() for c in results[1:])


# What a learner may get wrong: (tiling, layout, the piece, what stands there instead).
BARRIER = "    __syncthreads();\n"
# the smallest tiling of each
WARP, TF32 = LADDER.index(WARP_TILE[-1]), LADDER.index(TF32X3[-1])
MMA, GROUPS = LADDER.index(BF16_MMA[-1]), LADDER.index(WGMMA[-1])
SPLIT = LADDER.index(WGMMA_TF32X3[-1])
PLANTED = {
    "no barrier": (2, "NN", BARRIER, ""),
    "a wait too early": (WARP, "NN", "copy_async_wait<STAGES - 2>", "copy_async_wait<STAGES - 1>"),
    "the wrong place in the ring": (WARP, "NT",
                                    "ring + tile % STAGES * STAGE;\n    multiply_add",
                                    "ring + (tile + 1) % STAGES * STAGE;\n    multiply_add"),
    "an edge forgotten": (WARP, "NN", "first_line + line < lines && first_k + step + i < k_end",
                          "first_k + step + i < k_end"),
    "no swizzle": (TF32, "NN", "chunk ^ row % 8 : chunk", "chunk : chunk"),
    "no swizzle for wgmma": (SPLIT, "NT", "chunk ^ row % 8 : chunk", "chunk : chunk"),
    "no small products": (TF32, "NN", "as_bits(as_float(numbers[i]) - as_float(high[i]))", "0"),
    "a fragment's wrong half": (MMA, "NT", "b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]",
                                "b[j / 2][j % 2], b[j / 2][j % 2 + 2]"),
    "a matrix not transposed": (MMA, "TN", "load_matrix_x4_transposed(", "load_matrix_x4("),
    "the next tile read too early": (MMA, "NN",
                                     "copy_async_wait<STAGES - 2>();\n        __syncthreads();",
                                     ""),
    "the ring's next place not left": (MMA, "NN", "        __syncthreads();\n", ""),
    "products not waited for": (GROUPS, "NN", "wgmma_wait<OVERLAP>();", ""),
    "the next piece of 64 lines": (GROUPS, "NN", "(u64)(PIECE * 128 >> 4)",
                                   "(u64)(PIECE * 64 >> 4)"),
    "a bias in every part of k": (GROUPS, "NT", "place.k_begin > 0 ? nullptr : bias", "bias"),
    "B not yet split": (SPLIT, "NN", "fence_async_proxy();\n    __syncthreads();",
                        "fence_async_proxy();"),
    "B split where no fence is": (SPLIT, "NT", "    fence_async_proxy();\n", ""),
    "low parts overwritten": (SPLIT, "NT", "split_b(lows + tile % 2 * Part::SIZE", "split_b(lows"),
    "a copy into the tile being read": (SPLIT, "NT", "AHEAD = STAGES - 2", "AHEAD = STAGES - 1"),
    "sums not started anew": (SPLIT, "NN", "step > 0", "true"),
    "registers of A used again": (SPLIT, "NN", "prepare(tile + 1);\n",
                                  "prepare(tile + 1);\n    a_high[0][0] = 0;\n"),
    "sums read too early": (SPLIT, "TN", "    wgmma_wait<0>();\n", ""),
    "no low parts of B": (SPLIT, "NT",
                          "as_bits(as_float(number) - as_float(top(number))) + 0x1000u", "0u"),
}  # fmt: skip


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_caught(bug) -> None:
    number, layout, piece, instead = PLANTED[bug]
    tiling = LADDER[number]
    files = (f"matmul/cuda/{tiling.file}", "matmul/cuda/tf32_tiles.cuh", "cuda/tf32x3.cuh")
    with changed(next(f for f in files if piece in source.read(f)), (piece, instead)):
        for early in (False, True):
            try:
                _, right, run = product(tiling, layout, np.random.default_rng(0), early=early)
            except kernels.KernelError:
                return
            if not right or run.conflicts > 1:
                return
    pytest.fail("the emulator found nothing wrong")


@pytest.mark.parametrize("name", [*FLOAT32, *BF16])
def test_shapes_and_batches(name, rng) -> None:
    for a, b in SHAPES:
        with emulated():
            check(name, operand(rng, a), operand(rng, b), NUMPY)


@pytest.mark.parametrize("name", ["cuda_warp_tile", "cuda_tf32x3", "cuda_bf16"])
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_ragged_sizes_in_every_layout(name, data) -> None:
    m, n, k = (data.draw(st.integers(1, 70)) for _ in range(3))
    layout = data.draw(st.sampled_from([*LAYOUTS, "TT"]))
    rng = np.random.default_rng(m * 10000 + n * 100 + k)
    with emulated(data.draw(st.integers(0, 9))):
        check(name, operand(rng, (m, k), layout[0]), operand(rng, (k, n), layout[1]), NUMPY)


def test_tf32x3_is_as_accurate_as_float32(rng) -> None:
    a, b = operand(rng, (32, 512)), operand(rng, (512, 32))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    with emulated():
        errors = [
            np.linalg.norm(multiply(cuda_tilings, a, b, parts=1) - exact)
            for cuda_tilings in (WARP_TILE[-1:], TF32X3[-1:], WGMMA_TF32X3)
        ]
    assert max(errors[1:]) <= 2 * errors[0]
    assert errors[0] <= 1e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_that_go_from_tile_to_tile(layout, monkeypatch) -> None:
    """The same bits by two blocks of threads as by one for every tile of C and part of k."""
    monkeypatch.setattr(tilings, "MULTIPROCESSORS", 1)
    for tiling in WGMMA:
        few = dataclasses.replace(tiling, persistent=True, blocks_per_sm=2)
        by_all, right, run = product(tiling, layout, np.random.default_rng(0))
        assert right
        for how in ({"schedule": 5}, {"schedule": 2, "early": True}):
            by_few, _, run_few = product(few, layout, np.random.default_rng(0), **how)
            assert (by_few == by_all).all()
            assert run_few.blocks < run.blocks
            assert run_few.conflicts == run_few.shared_conflicts == 1.0


def test_a_ring_that_is_filled_while_it_is_read_is_caught(monkeypatch) -> None:
    monkeypatch.setattr(tilings, "MULTIPROCESSORS", 1)
    few = dataclasses.replace(WGMMA[0], persistent=True)
    barrier = "      __syncthreads();                 // all have multiplied what is in the ring\n"
    with (
        changed("matmul/cuda/wgmma.cu", (barrier, "")),
        pytest.raises(kernels.KernelError, match="wgmma that has not been waited for reads"),
    ):
        product(few, "NN", np.random.default_rng(0), schedule=1)


def test_what_is_split_off_b_is_rounded() -> None:
    """Sums of numbers above zero have no bias; they would have one if low parts were cut."""
    rng, source = np.random.default_rng(4), "matmul/cuda/wgmma_tf32x3.cu"
    a, b = abs(operand(rng, (64, 8))), abs(operand(rng, (8, 128)))
    exact = a.astype(np.float64) @ b.astype(np.float64)

    def bias() -> float:
        with emulated():
            return abs(np.mean((multiply(WGMMA_TF32X3, a, b) - exact) / exact))

    assert bias() < UNIT
    with changed(source, ("+ 0x1000u;\n}", ";\n}")):
        assert bias() > UNIT


@pytest.mark.parametrize("tilings", [TF32X3[-1:], WGMMA_TF32X3], ids=["mma", "wgmma"])
@pytest.mark.parametrize("bits", [0x7FFFFFFF, 0x7FC00000, 0xFFC00000, 0x7F800000, 0xFF800000])
def test_what_is_no_number_is_not_lost_in_the_split(tilings, bits, rng) -> None:
    """A GPU's NaN, a CPU's, and the infinities: adding to their bits must not make them zeros."""
    a, b = operand(rng, (5, 40)), operand(rng, (40, 7))
    a.view(np.uint32)[2, 33] = b.view(np.uint32)[11, 4] = bits
    with emulated():
        finite = np.isfinite(multiply(tilings, a, b))
    assert not finite[2].any()
    assert not finite[:, 4].any()
    assert finite.sum() == 4 * 6


def test_bfloat16_products_are_exact(rng) -> None:
    """Sums of few products of bfloat16 have no rounding at all."""
    bits = (rng.integers(0, 128, (2, 16, 8)) + 0x3F80).astype(np.uint16)  # 1 to 2, 8 bits each
    with emulated():
        c = cuda.multiply_bf16(bits[0], bits[1].T)
    assert (c == bf16_values(bits[0]) @ bf16_values(bits[1]).T).all()


def test_rounding_to_bfloat16(rng) -> None:
    x = np.array([1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-8 - 2.0**-20, np.inf], np.float32)
    with emulated():
        assert bf16_values(cuda.round_bf16(x)).tolist() == [1, 1, 1 + 2**-6, -1 - 2**-7, np.inf]
        for shape in ((), (1,), (3, 5), (2, 3, 8), (0, 4)):
            y = rng.standard_normal(shape).astype(np.float32)
            found = cuda.round_bf16(y)
            assert found.shape == y.shape
            assert (abs(bf16_values(found) - y) <= 2.0**-8 * abs(y)).all()


def test_a_bias_where_there_is_nothing_to_add_up(rng) -> None:
    bias = operand(rng, (6,))[::2]
    with emulated():
        c = multiply(WGMMA, np.ones((2, 0), np.float32), np.ones((0, 3), np.float32), bias=bias)
        d = cuda.matmul_wgmma(np.zeros((2, 4), np.float32), np.ones((4, 3), np.float32), bias)
    assert (c == bias).all()
    assert (d == bias).all()


def test_operands_are_used_where_they_lie(rng) -> None:
    x = rng.standard_normal((3, 8, 12)).astype(np.float32)
    assert stored(x, (3,), 4)[1:] == (False, 96)
    assert stored(x.swapaxes(1, 2), (3,), 4)[1:] == (True, 96)
    assert np.shares_memory(stored(x.swapaxes(1, 2), (3,), 4).array, x)
    assert stored(np.broadcast_to(x[0], (3, 8, 12)), (3,), 4).size == 0
    assert np.shares_memory(stored(x[:1], (3,), 4).array, x)
    assert not np.shares_memory(stored(x[:, ::2], (3,), 4).array, x)
    assert not np.shares_memory(stored(x[1, 1:, 1:], (), 4).array, x)
    wide = padded(stored(x[..., :6], (3,), 4), 4)
    assert (wide.array.shape, wide.size) == ((3, 8, 8), 64)
    assert (wide.array[..., 6:] == 0).all()


def test_the_plan_fills_the_gpu() -> None:
    assert plan(WARP_TILE, 1, 4096, 4096, 512) == (WARP_TILE[0], 1)
    assert plan(WARP_TILE, 64, 64, 64, 64) == (WARP_TILE[-1], 1)
    tiling, parts = plan(WARP_TILE, 1, 64, 400, 784)
    assert tiling.tiles(64, 400) * parts > 32
    assert plan(WARP_TILE, 1, 64, 400, 10**6)[1] <= 32


def test_what_is_refused() -> None:
    one = np.ones((4, 4), np.float32)
    with pytest.raises(kernels.KernelError, match="runs on a GPU, and was given arrays on the CPU"):
        cuda.matmul_warp_tile(one, one)
    with emulated(), pytest.raises(kernels.KernelError, match="argument a must be float32"):
        cuda.matmul_warp_tile(one.astype(np.float64), one)
    with emulated(), pytest.raises(ValueError, match=r"\(4, 4\) @ \(3, 4\) have different inner"):
        cuda.matmul_warp_tile(one, one[:3])


def test_reduced_precision_is_marked() -> None:
    assert [rung.name for rung in kernels.rungs("matmul", "cuda", "bfloat16")] == [*BF16]
    assert {*FLOAT32} <= {rung.name for rung in kernels.rungs("matmul", "cuda")}


def test_every_shipped_kernel_is_listed_once() -> None:
    assert len(cuda.KERNELS) == 3 * len(LADDER) + 3
    keys = {(k.file, k.name, tuple(sorted(k.defines.items()))) for k in cuda.KERNELS}
    assert len(keys) == len(cuda.KERNELS)
