"""FlashAttention in CUDA C++, run in the emulator, against the formula in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from minigen.kernels.attention.cuda import KERNELS, configurations, flash_bf16, flash_fp32, heads
from minigen.kernels.checking import KernelError
from minigen.kernels.cuda import emulated, emulator
from minigen.kernels.cuda.launch import empty

import minigen
from minigen import kernels
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.ops import joining

Array = Any

# name of the rung -> bound of the error by norm, and of logsumexp's
BOUNDS = {
    "cuda_flash": (3e-6, 1e-5),
    "cuda_flash_tf32x3": (1e-6, 5e-6),
    "cuda_flash_bf16": (1e-2, 2e-2),
}
ALL = pytest.mark.parametrize("rung", BOUNDS)

# leading dimensions of q, of k and v, L, S, E, Ev, causal
CASES = {
    "one query, one key": ((), (), 1, 1, 64, 64, True),
    "two queries, more keys": ((2,), (2,), 2, 65, 64, 64, False),
    "one less than a tile": ((1,), (1,), 63, 63, 64, 64, True),
    "a whole tile": ((1, 1), (1, 1), 64, 64, 64, 64, False),
    "one more than a tile": ((1,), (1,), 65, 64, 64, 64, True),
    "more queries than keys": ((2, 1), (2, 1), 129, 31, 32, 32, True),
    "more keys than queries": ((1,), (1,), 33, 129, 32, 32, True),
    "a wide head": ((1,), (1,), 100, 100, 128, 128, True),
    "a wide head, not causal": ((1,), (1,), 37, 129, 128, 128, False),
    "a width that no kernel has": ((2,), (2,), 20, 30, 50, 41, True),
    "grouped queries": ((2, 2, 2), (2, 2, 1), 66, 66, 32, 32, True),
    "one head of keys for all": ((3,), (), 17, 40, 17, 64, False),
    "many keys, all seen": ((1,), (1,), 20, 200, 32, 32, False),
    "keys of one batch": ((2, 2), (2,), 9, 9, 64, 64, True),
}


def draw(rng: np.random.Generator, case: str) -> tuple[Array, Array, Array, Array, bool]:
    """q, k, v, a cotangent for out, and whether it is causal."""
    lead, key_lead, queries, keys, width, value_width, causal = CASES[case]
    out_lead = np.broadcast_shapes(lead, key_lead)
    shapes = (
        (*lead, queries, width),
        (*key_lead, keys, width),
        (*key_lead, keys, value_width),
        (*out_lead, queries, value_width),
    )
    return *(rng.standard_normal(s).astype(np.float32) for s in shapes), causal


def error(result: Array, truth: Array) -> float:
    """By norm, relative."""
    assert result.shape == truth.shape
    assert result.dtype == np.float32
    return float(np.linalg.norm(result - truth) / np.linalg.norm(truth))


@ALL
@pytest.mark.parametrize("case", CASES)
def test_forward_and_backward(rung: str, case: str, rng: np.random.Generator) -> None:
    q, k, v, grad, causal = draw(rng, case)
    bound, logsumexp_bound = BOUNDS[rung]
    truth, logsumexp = kernels.get("attention", "reference")(q, k, v, is_causal=causal)
    with emulated(schedule=2):
        out, sums = kernels.get("attention", rung)(q, k, v, is_causal=causal)
        gradients = kernels.get("attention_backward", rung)(
            grad, q, k, v, out, sums, is_causal=causal
        )
    assert error(out, truth) < bound
    assert sums.shape == logsumexp.shape
    np.testing.assert_allclose(sums, logsumexp, atol=logsumexp_bound)
    wanted = kernels.get("attention_backward", "reference")(
        grad, q, k, v, truth, logsumexp, is_causal=causal
    )
    for name, gradient, right in zip(("dq", "dk", "dv"), gradients, wanted):
        if q.shape[-2] == k.shape[-2] == 1 and name != "dv":  # softmax of one number: no gradient
            assert np.abs(gradient).max() < 2 * bound * np.abs(grad).max() * np.abs(v).max() * 8
            continue
        assert error(gradient, right) < 2 * bound, name


@ALL
def test_another_scale(rung: str, rng: np.random.Generator) -> None:
    q, k, v, grad, _ = draw(rng, "one more than a tile")
    truth = kernels.get("attention", "reference")(q, k, v, scale=0.5)
    with emulated():
        out = kernels.get("attention", rung)(q, k, v, scale=0.5)
        gradients = kernels.get("attention_backward", rung)(grad, q, k, v, *out, scale=0.5)
    assert error(out[0], truth[0]) < 2 * BOUNDS[rung][0]
    wanted = kernels.get("attention_backward", "reference")(grad, q, k, v, *truth, scale=0.5)
    for gradient, right in zip(gradients, wanted):
        assert error(gradient, right) < 4 * BOUNDS[rung][0]


@ALL
def test_scores_far_apart(rung: str, rng: np.random.Generator) -> None:
    """The largest score comes in the last tile, 100 and more above the first: all is rescaled."""
    q, k, v, _, _ = draw(rng, "two queries, more keys")
    k *= np.linspace(0.01, 4, k.shape[-2], dtype=np.float32)[:, None]
    q, k, v = ((x.view(np.uint32) & 0xFFFF0000).view(np.float32) for x in (q, k, v))
    truth, logsumexp = kernels.get("attention", "reference")(q, k, v, scale=1.0)
    with emulated():
        out, sums = kernels.get("attention", rung)(q, k, v, scale=1.0)
    assert error(out, truth) < 4 * BOUNDS[rung][0]
    np.testing.assert_allclose(sums, logsumexp, rtol=1e-5)


@ALL
def test_every_schedule_gives_the_same_bits(rung: str, rng: np.random.Generator) -> None:
    """Whatever the order of threads, and whether copies land early or late: no race, no atomic."""
    q, k, v, grad, causal = draw(rng, "grouped queries")

    def everything() -> list[bytes]:
        out, sums = kernels.get("attention", rung)(q, k, v, is_causal=causal)
        parts = kernels.get("attention_backward", rung)(grad, q, k, v, out, sums, is_causal=causal)
        return [x.tobytes() for x in (out, sums, *parts)]

    results = []
    for schedule, early in ((0, False), (1, True), (7, False)):
        with emulated(schedule, early=early):
            results.append(everything())
    assert results[0] == results[1] == results[2]


def as_models_have_it(array: Array) -> Array:
    """(batch, …, rows, width) with memory in the order (batch, rows, …, width)."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -2, 1)), 1, -2)


def joint(rng: np.random.Generator) -> list[Array]:
    """As a projection of queries, keys and values at once leaves them: GPT's."""
    both = rng.standard_normal((2, 10, 3, 2, 32)).astype(np.float32)
    return [both[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]


def joint_groups(rng: np.random.Generator) -> list[Array]:
    """The same with 2 heads of keys for 4 of queries."""
    both = rng.standard_normal((2, 10, 8, 32)).astype(np.float32).transpose(0, 2, 1, 3)
    return [both[:, :4].reshape(2, 2, 2, 10, 32), both[:, 4:6, None], both[:, 6:, None]]


def rows_outermost(rng: np.random.Generator) -> list[Array]:
    """(rows, heads, width), without a batch; fewer queries than keys."""
    return [rng.standard_normal((n, 3, 32)).astype(np.float32).swapaxes(0, 1) for n in (4, 10, 10)]


def two_batches(rng: np.random.Generator) -> list[Array]:
    """The leading dimensions are cut behind the second."""
    return [
        rng.standard_normal((2, 2, 7, 3, 32)).astype(np.float32).swapaxes(2, 3) for _ in range(3)
    ]


def every_second_row(rng: np.random.Generator) -> list[Array]:
    """And keys of another width than values have, in memory."""
    q, k, v = (rng.standard_normal((2, 2, 20, n)).astype(np.float32) for n in (32, 48, 36))
    return [q[..., ::2, :], k[..., ::2, 16:], v[..., ::2, :32]]


def one_for_all(rng: np.random.Generator) -> list[Array]:
    """Queries that all batches share, keys that all heads share."""
    q, k, v = (rng.standard_normal((n, 9, 32)).astype(np.float32) for n in (2, 1, 1))
    return [np.broadcast_to(q, (3, 2, 9, 32)), k, v]


def one_batch_for_all(rng: np.random.Generator) -> list[Array]:
    """Of queries, by a dimension of 1."""
    return [rng.standard_normal((n, 2, 9, 32)).astype(np.float32) for n in (1, 3, 3)]


def heads_outermost(rng: np.random.Generator) -> list[Array]:
    """Batches and heads are numbered the other way round in memory."""
    return [rng.standard_normal((3, 2, 9, 32)).astype(np.float32).swapaxes(0, 1) for _ in range(3)]


LAYOUTS = (
    joint, joint_groups, rows_outermost, two_batches, every_second_row, one_for_all,
    one_batch_for_all, heads_outermost,
)  # fmt: skip


def both_ways(rung: str, q: Array, k: Array, v: Array, grad: Array, **options: Any) -> list[Array]:
    """out, logsumexp, dq, dk, dv in the emulator."""
    with emulated():
        out, sums = kernels.get("attention", rung)(q, k, v, **options)
        backward = kernels.get("attention_backward", rung)
        return [out, sums, *backward(grad, q, k, v, out, sums, **options)]


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that were copied, from now on."""
    found: list[tuple[int, ...]] = []

    def counted(array: Array, *options: Any) -> Array:
        found.append(array.shape)
        return filled_copy(array, *options)

    filled_copy = heads.filled_copy
    monkeypatch.setattr(heads, "filled_copy", counted)
    return found


@ALL
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_strided_views(rung: str, layout: Any, copies: list, rng: np.random.Generator) -> None:
    """They are read where they lie, and the bits are those that copies side by side give."""
    q, k, v = layout(rng)
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    grad = np.broadcast_to(layout(rng)[0], (*lead, *q.shape[-2:]))
    truth = kernels.get("attention", "reference")(q, k, v, is_causal=True)
    wanted = both_ways(rung, *(x.copy() for x in (q, k, v, grad)), is_causal=True)
    found = both_ways(rung, q, k, v, grad, is_causal=True)
    assert not copies
    assert error(found[0], truth[0]) < BOUNDS[rung][0]
    for result, right in zip(found, wanted):
        assert result.shape == right.shape
        assert result.tobytes() == right.tobytes()


UNREADABLE: dict[str, Any] = {  # (2, 2, 5, 32) -> the same numbers, but in memory ...
    "the numbers of a row apart": lambda x: x.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "rows backwards": lambda x: x[..., ::-1, :].copy()[..., ::-1, :],
    "not where vector loads start": lambda x: np.concatenate([x[..., :1], x], -1)[..., 1:],
    "rows of 33": lambda x: np.concatenate([x, x[..., :1]], -1)[..., :-1],
}


@pytest.mark.parametrize("layout", UNREADABLE)
def test_what_cannot_be_read_is_copied(layout: str, copies: list, rng: np.random.Generator) -> None:
    """q, k and v once forward, and they and the gradient once backward; never the result."""
    q, k, v, grad = rng.standard_normal((4, 2, 2, 5, 32)).astype(np.float32)
    wanted = both_ways("cuda_flash", q, k, v, grad)
    assert not copies
    found = both_ways("cuda_flash", *map(UNREADABLE[layout], (q, k, v, grad)))
    assert copies == 7 * [q.shape]
    assert [x.tobytes() for x in found] == [x.tobytes() for x in wanted]
    half = both_ways("cuda_flash_bf16", *map(UNREADABLE[layout], (q, k, v, grad)))
    wanted = both_ways("cuda_flash_bf16", q, k, v, grad)
    assert [x.tobytes() for x in half] == [x.tobytes() for x in wanted]
    if layout == "rows of 33":  # rounding to bfloat16 reads one number at a time
        assert len(copies) == 7


@ALL
def test_results_lie_as_models_want_them(rung: str, rng: np.random.Generator) -> None:
    """Heads side by side, (batch, rows, heads · width), is a view of each."""
    out, _, *gradients = both_ways(rung, *joint(rng), *joint(rng)[:1])
    for result in (out, *gradients):
        assert result.shape == (2, 2, 10, 32)
        assert np.may_share_memory(result.swapaxes(1, 2).reshape(2, 10, 64), result)


@ALL
@pytest.mark.parametrize("rows", [1, 10])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("apart", [0, 1, 2])
def test_gradients_of_thirds_are_thirds(
    rung: str, rows: int, batch: int, apart: int, rng: np.random.Generator
) -> None:
    """Side by side in one array, if q, k and v are; the bits are the same in any place."""
    width = (32, 64, 25)[apart]  # of which 25 is no width of a kernel
    both = rng.standard_normal((batch, rows, 3, 2, width)).astype(np.float32)
    views = [both[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    found = both_ways(rung, *views, views[0])[2:]
    wanted = both_ways(rung, *(x.copy() for x in (*views, views[0])))[2:]
    assert [x.tobytes() for x in found] == [x.tobytes() for x in wanted]
    whole = found[0].base
    places = [found[i].ctypes.data - found[0].ctypes.data for i in range(3)]
    together = all(x.base is whole for x in found) and places == [0, 8 * width, 16 * width]
    assert together == (width != 25 and rows > 1)


@ALL
def test_a_transformer_copies_nothing(
    rung: str, copies: list, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """GPT's attention, there and back, beside that of the CPU."""

    def in_place(array: np.ndarray) -> np.ndarray:
        assert array.flags.c_contiguous, "logsumexp was copied"
        return array

    for module in (flash_bf16, flash_fp32):
        monkeypatch.setattr(module, "in_c_order", in_place)
    joined: list[tuple] = []
    join = joining._cat
    monkeypatch.setattr(joining, "_cat", lambda *args: joined.append(args) or join(*args))
    config = GPTConfig(vocabulary=11, context=8, layers=1, heads=2, width=64)
    minigen.manual_seed(0)
    model = GPT(config)
    ids = minigen.tensor(rng.integers(0, 11, (2, 8)))

    def gradient() -> Array:
        model.zero_grad()
        next_token_loss(model(ids), ids).backward()
        return model.h[0].attn.c_attn.weight.grad.numpy().copy()

    wanted = gradient()
    operations = ("attention", "attention_backward")
    assert joined  # dq, dk and dv, to be the gradient of their common product
    joined.clear()
    with kernels.use(**{name: kernels.get(name, rung) for name in operations}), emulated() as run:
        found = gradient()
    assert run.launches >= 4
    assert not joined
    assert not copies
    assert error(found, wanted) < 4 * BOUNDS[rung][0]


PLAIN: dict[str, dict[str, Any]] = {
    "mask": {"mask": np.tri(5, 7, dtype=bool)},
    "dropout": {"dropout_p": 0.3, "seed": 5},
    "a scale of 0": {"scale": 0.0},
    "a negative scale": {"scale": -0.2},
}


@ALL
@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN)
def test_the_rest_is_left_to_the_plain_formula(
    rung: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    """Without the emulator a kernel would refuse arrays on the CPU: none is called."""
    q, k, v, grad = (
        rng.standard_normal(s).astype(np.float32) for s in ((5, 8), (7, 8), (7, 8), (5, 8))
    )
    with pytest.raises(KernelError, match="runs on a GPU"):
        kernels.get("attention", rung)(q, k, v)
    out = kernels.get("attention", rung)(q, k, v, **options)
    gradients = kernels.get("attention_backward", rung)(grad, q, k, v, *out, **options)
    truth = kernels.get("attention", "reference")(q, k, v, **options)
    wanted = kernels.get("attention_backward", "reference")(grad, q, k, v, *truth, **options)
    for result, right in zip((*out, *gradients), (*truth, *wanted)):
        np.testing.assert_allclose(result, right, atol=1e-5)


@ALL
@pytest.mark.parametrize(("lead", "queries", "keys"), [((2,), 0, 3), ((2,), 3, 0), ((0,), 3, 3)])
def test_nothing(rung: str, lead: tuple[int, ...], queries: int, keys: int) -> None:
    q, k = np.ones((*lead, queries, 8), np.float32), np.ones((*lead, keys, 8), np.float32)
    out, logsumexp = kernels.get("attention", rung)(q, k, k)
    assert out.shape == q.shape
    assert not out.any()
    assert np.isneginf(logsumexp).all()


def test_bfloat16_results(rng: np.random.Generator) -> None:
    """The kernel's other way out: out as bfloat16 is that of float32, rounded."""
    q = rng.standard_normal((1, 20, 32)).astype(np.float32)
    kernel = configurations.forward_bf16(32)
    numbers = (20, 20, 1, 1, True, 0.2)
    bits = (q.view(np.uint32) >> 16).astype(np.uint16)
    full, half, sums = empty(q, q.shape), empty(q, q.shape, np.uint16), empty(q, (20,))
    with emulated():
        kernel((1,), bits, bits, bits, None, full, sums, *numbers)
        kernel((1,), bits, bits, bits, half, None, sums, *numbers)
    widened = (half.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(widened, full, rtol=2**-8)


@pytest.mark.parametrize("case", ["more keys than queries", "one more than a tile", "a wide head"])
@pytest.mark.parametrize("rung", ["cuda_flash_tf32x3", "cuda_flash_bf16"])
def test_no_bank_conflicts(rung: str, case: str, rng: np.random.Generator) -> None:
    """Of ldmatrix, whatever the width; of ordinary accesses to float32 none either, but bfloat16's
    may have few."""
    q, k, v, grad, causal = draw(rng, case)
    with emulated() as run:
        out = kernels.get("attention", rung)(q, k, v, is_causal=causal)
        kernels.get("attention_backward", rung)(grad, q, k, v, *out, is_causal=causal)
    assert run.matrix_phases > 0
    assert run.conflicts == 1
    assert run.shared_conflicts == 1 or rung == "cuda_flash_bf16"


@pytest.mark.parametrize("width", [16, 64, 96, 128])
def test_tf32x3_is_as_accurate_as_float32(width: int, rng: np.random.Generator) -> None:
    """Beside the float32 units on the same numbers, every result."""
    q, k, v, grad = rng.standard_normal((4, 1, 100, width)).astype(np.float32)
    truth = kernels.get("attention", "reference")(q, k, v)
    wanted = kernels.get("attention_backward", "reference")(grad, q, k, v, *truth)
    units, cores = (both_ways(r, q, k, v, grad) for r in ("cuda_flash", "cuda_flash_tf32x3"))
    for by_units, by_cores, right in zip(units, cores, (*truth, *wanted)):
        assert error(by_cores, right) < 1.5 * error(by_units, right)


def test_blocks_fit_into_an_sm() -> None:
    """As many as the compiler was promised; each costs 1 kB beside its own."""
    for kernel in KERNELS:
        blocks = kernel.defines.get("BLOCKS", 1)
        assert blocks * (kernel.shared + 1024) <= 228 << 10, kernel
        assert kernel.shared <= 227 << 10


FORWARD, BACKWARD = "attention/cuda/flash_bf16.cu", "attention/cuda/flash_bf16_backward.cu"
FP32, FP32_BACKWARD = "attention/cuda/flash_fp32.cu", "attention/cuda/flash_fp32_backward.cu"
TF32X3 = "attention/cuda/flash_tf32x3.cu"
TF32X3_BACKWARD = "attention/cuda/flash_tf32x3_backward.cu"
TF32X3_TILES, SOFTMAX = "attention/cuda/tf32x3_tiles.cuh", "attention/cuda/accumulators.cuh"
NARROW = "attention/cuda/narrow.cu"
DONE = "__syncthreads();  // this tile has arrived, and everybody is done with the one before it"

BUGS = {
    "no barrier": (FORWARD, DONE, ""),
    "the other stage of the ring": (FORWARD, "ring + tile % 2 * STAGE", "ring + STAGE"),
    "a query does not see itself": (SOFTMAX, "column > before + row", "column >= before + row"),
    "no rescaling": (SOFTMAX, "o[m][c][2 * h] *= rescale;", ""),
    "the next tile without a barrier": (TF32X3, DONE, ""),
    "a tile that nobody waits for": (TF32X3, "copy_async_wait<0>();", ""),
    "keys beyond the last are seen": (TF32X3, "if (key + STEP > keys || (causal", "if ((causal"),
    "weights without their low part": (
        TF32X3_TILES,
        "a[i % M].low, b[i / M].high[0], b[i / M].high[1]",
        "a[i % M].low, b[i / M].low[0], b[i / M].low[1]",
    ),
    "values without their low part": (
        TF32X3_TILES,
        "a[i % M].high, b[i / M].low[0], b[i / M].low[1]",
        "a[i % M].low, b[i / M].low[0], b[i / M].low[1]",
    ),
    "row t + 1 in the place of 2 t + 1": (
        TF32X3_TILES,
        "tile += column_of(0) * PITCH",
        "tile += threadIdx.x % 4 * PITCH",
    ),
    "columns of weights in the order of the accumulator": (
        TF32X3_TILES,
        "as_bits(x[0]), as_bits(x[2]), as_bits(x[1])",
        "as_bits(x[0]), as_bits(x[1]), as_bits(x[2])",
    ),
    "columns of results in the order of the accumulator": (
        TF32X3_TILES,
        "o[c][2 * h] * factor, o[c + 1][2 * h] * factor",
        "o[c][2 * h] * factor, o[c][2 * h + 1] * factor",
    ),
    "a key is hidden from its own query": (TF32X3_BACKWARD, "n * 8 + e % 2;  ", "n * 8;  "),
    "a warp skips the tile on the diagonal": (TF32X3_BACKWARD, "STEP <= key)", "STEP <= key + 32)"),
    "numbers of the other stage": (TF32X3_BACKWARD, "numbers + t % 2 * 2", "numbers + 2"),
    "delta taken from no row": (TF32X3_BACKWARD, "less[m][e / 2]);", "less[0][0]);"),
    "the tile on the diagonal is skipped": (BACKWARD, "STEP <= key)", "STEP <= key + 48)"),
    "shift in the place of delta": (BACKWARD, "shifts + STEP + n * 8", "shifts + n * 8"),
    "one head of the group": (FP32_BACKWARD, "head * group + t / tiles", "head * group"),
    "the largest of a few columns": (FP32, "best = row_largest(best);", ""),
    "heads of results side by side": (FP32, "(u64)i * heads * HEAD", "(u64)i * HEAD"),
    "batches of keys as if of queries": (
        FP32,
        "int key_heads = key_heads_of(heads, group)",
        "int key_heads = heads",
    ),
    "rows of values as if of keys": (FP32, "(next + TILE, v, v_row,", "(next + TILE, v, q_row,"),
    "head and row exchanged": (
        FP32_BACKWARD,
        "rows = head_of(grad, {grad_batch, grad_head, grad_row}",
        "rows = head_of(grad, {grad_batch, grad_row, grad_head}",
    ),
    "rows that are not side by side": (NARROW, "% rows) * x_row", "% rows) * width"),
    "rows of results as if nothing lay between": (
        BACKWARD,
        "dq_float + at, apart, sum[m]",
        "dq_float + at, HEAD, sum[m]",
    ),
    "gradients of keys in batches of queries": (
        BACKWARD,
        "key_heads_of(heads, group), keys, HEAD, apart",
        "heads, keys, HEAD, apart",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_caught(bug: str, rng: np.random.Generator) -> None:
    """By the emulator, or in the numbers that `test_forward_and_backward` looks at."""
    all_seen = bug in ("no rescaling", "keys beyond the last are seen")
    case = "many keys, all seen" if all_seen else "grouped queries"
    q, k, v, grad, causal = draw(rng, case)
    q, k, v, grad = map(as_models_have_it, (q, k, v, grad))
    file, right, wrong = BUGS[bug]
    rung = "cuda_flash" if "fp32" in file else "cuda_flash_bf16"
    rung = "cuda_flash_tf32x3" if "tf32x3" in file else rung
    truth = kernels.get("attention", "reference")(q, k, v, is_causal=causal)
    with emulated(), emulator.changed(file, (right, wrong)):
        try:
            if "backward" not in file:
                results = kernels.get("attention", rung)(q, k, v, is_causal=causal)[:1]
                wanted = truth[:1]
            else:
                out = (x.astype(np.float32) for x in truth)
                backward = kernels.get("attention_backward", rung)
                results = backward(grad, q, k, v, *out, is_causal=causal)
                backward = kernels.get("attention_backward", "reference")
                wanted = backward(grad, q, k, v, *truth, is_causal=causal)
        except KernelError as found:
            if "does not compile" in str(found):
                raise
            return
    assert not all(error(x, y) < 2 * BOUNDS[rung][0] for x, y in zip(results, wanted))
