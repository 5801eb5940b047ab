"""The fused CUDA C++ kernels on a GPU: against float64, on fresh data, 20 times the same bits.

Without a GPU the same kernels run in the emulator, tests/kernels/test_cuda_fused.py. Every test
tells of all its failures at once, as a GPU may be at hand for one run only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigen import cuda, kernels

pytestmark = pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU")

U = 2.0**-24
SHAPES = [
    (1, 1), (3, 31), (257, 32), (3, 33), (257, 512), (5, 1000), (3, 4097), (1500, 768), (64, 50257),
]  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    """Other numbers in every run; pytest prints the seed when a test fails."""
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def poisoned() -> Any:
    """Memory that CuPy hands out holds NaN."""
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()
    kept = [cupy.full(2**n, np.nan, np.float32) for n in range(7, 24)]
    del kept
    yield
    cupy.get_default_memory_pool().free_all_blocks()


def sent(value: Any) -> Any:
    import cupy

    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def flat(result: Any) -> tuple:
    return result if isinstance(result, tuple) else (result,)


def compare(name: str, arguments: tuple, scale: float = 4.0) -> list[str]:
    """What is wrong with the rung "cuda": nearness to the formula, and 20 runs alike."""
    exact = flat(kernels.get(name, "reference")(*arguments))
    there = [sent(a) for a in arguments]
    function = kernels.select(name, *there)
    if function.__name__ != f"{name}_cuda":
        return [f"{name}: not the CUDA rung is chosen: {kernels.why(name, *there)}"]
    results = [[r.get() for r in flat(function(*there))] for _ in range(20)]
    wrong = []
    for number, theirs in enumerate(exact):
        ours = results[0][number]
        size = float(np.abs(theirs).max(initial=0))
        if name.endswith("norm_backward"):  # whose terms may cancel
            grad, _, weight, *_, rstd = arguments
            size = max(size, float(np.abs(grad).max() * np.abs(weight).max() * rstd.max()))
        rows = max(1.0, theirs.shape[0] ** 0.5) if name.endswith("backward") else 1.0
        error = float(np.abs(ours - theirs).max(initial=0))
        if ours.shape != theirs.shape or not error <= 32 * U * scale * rows * size + 1e-37:
            wrong.append(f"{name} {np.shape(arguments[0])}, result {number}: {error} of {size}")
        if any(not np.array_equal(ours, again[number], equal_nan=True) for again in results):
            wrong.append(f"{name} {np.shape(arguments[0])}, result {number}: runs differ")
    return wrong


def told(wrong: list[str]) -> None:
    print("\n".join(wrong))
    assert not wrong


def row_arguments(rng: Any, n: int, width: int) -> dict[str, tuple]:
    x = (rng.standard_normal((n, width)) * 2 + 1).astype(np.float32)
    grad = rng.standard_normal((n, width)).astype(np.float32)
    weight, bias = rng.standard_normal((2, width)).astype(np.float32)
    target = rng.integers(0, width, n)
    y, logs, lse, mean, rstd, rrms = (
        a.astype(np.float32)
        for a in (
            kernels.get("softmax", "reference")(x),
            kernels.get("log_softmax", "reference")(x),
            kernels.get("cross_entropy", "reference")(x, target)[1],
            *kernels.get("layer_norm", "reference")(x, weight, bias, 1e-5)[1:],
            kernels.get("rms_norm", "reference")(x, weight, 1e-5)[1],
        )
    )
    return {
        "softmax": (x,),
        "softmax_backward": (grad, y),
        "log_softmax": (x,),
        "log_softmax_backward": (grad, logs),
        "cross_entropy": (x, target),
        "cross_entropy_backward": (grad[:, 0].copy(), x, target, lse),
        "layer_norm": (x, weight, bias, 1e-5),
        "layer_norm_backward": (grad, x, weight, mean, rstd),
        "rms_norm": (x, weight, 1e-5),
        "rms_norm_backward": (grad, x, weight, rrms),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_rows(shape: tuple[int, int], rng: Any) -> None:
    wrong = []
    for name, arguments in row_arguments(rng, *shape).items():
        if name.endswith("norm_backward") and shape[1] > 28_928:
            continue  # the plain rung's
        wrong += compare(name, arguments)
    told(wrong)


def test_elementwise(rng: Any) -> None:
    wrong = []
    for size in (1, 3, 1023, 4096, 1_000_003):
        x = (4 * rng.standard_normal(size)).astype(np.float32)
        grad = rng.standard_normal(size).astype(np.float32)
        for approximate in ("none", "tanh"):
            wrong += compare("gelu", (x, approximate))
            wrong += compare("gelu_backward", (grad, x, approximate))
        wrong += compare("dropout", (x, rng.random(size) < 0.7, 1.25))
    told(wrong)


def test_add_rows(rng: Any) -> None:
    wrong = []
    for n, width, count in [(1, 1, 1), (300, 33, 7), (16_384, 256, 65), (4096, 768, 5000)]:
        values = rng.standard_normal((n, width)).astype(np.float32)
        wrong += compare("add_rows", (values, rng.integers(-count, count, n), count))
    told(wrong)


def test_nan_and_infinity() -> None:
    x = np.random.default_rng(0).standard_normal((6, 1000)).astype(np.float32)
    x[1, 7], x[2, 999], x[3, :], x[4, :999], x[5, 3] = np.nan, np.inf, -np.inf, -np.inf, -np.inf
    target = np.array([0, 5, 3, 2, 999, 1])
    for name, arguments in (("softmax", (x,)), ("cross_entropy", (x, target))):
        there = [sent(a) for a in arguments]
        with np.errstate(all="ignore"):
            exact = flat(kernels.get(name, "reference")(*arguments))
        for ours, theirs in zip(flat(kernels.get(name, "cuda")(*there)), exact):
            np.testing.assert_allclose(ours.get(), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_step_of_the_optimizer(name: str, rng: Any) -> None:
    shapes = [(768, 768), (768,), (1,), (0,), (4099,), (3, 5, 7), *[(64,)] * 40]
    options = {
        "adam": (1e-2, 0.9, 0.999, 1e-8, 0.1, True, 3),
        "sgd": (1e-2, 0.9, 0.1, 0.1, True, False, False),
    }[name]
    made = [
        [rng.standard_normal(s).astype(np.float32) for s in shapes]
        for _ in range(4 if name == "adam" else 3)
    ]
    made[-1] = [np.square(a) for a in made[-1]]
    exact = [[a.astype(np.float64) for a in column] for column in made]
    there = [[sent(a) for a in column] for column in made]
    for step in range(3):  # addresses stay what they are, numbers change
        kernels.get(name, "reference")(*exact, *options)
        kernels.select(name, there[0][0])(*there, *options)
        for ours, theirs in zip(there, exact):
            for one, other in zip(ours, theirs):
                bound = (step + 1) * 16 * U * (1 + np.abs(other))
                assert (np.abs(one.get() - other) <= bound).all(), (name, step)


def test_clipping(rng: Any) -> None:
    """Of a model's gradients, in three launches; the last two are one memory, listed twice."""
    shapes = [(768, 768), (768,), (1,), (0,), (), (4099,), (3, 5, 7), *[(64,)] * 40, (3000, 1000)]
    made = [np.asarray(rng.standard_normal(s), np.float32) for s in shapes]
    crooked, twice = made[0].T.copy(), made[1].copy()
    for max_norm in (1.0, 1e9, 0.0):
        exact = [a.astype(np.float64) for a in (*made, crooked.T, twice)]
        there = [*map(sent, made), sent(crooked).T, sent(twice)]
        exact.append(exact[-1])
        there.append(there[-1])
        norm, factor = kernels.get("clip_norm", "reference")(exact, max_norm)
        again = [a.copy() for a in there]
        found = kernels.select("clip_norm", there[0])(there, max_norm)
        for ours, theirs, units in zip(found, (norm, factor), (10, 12)):
            assert ours.shape == ()
            assert np.abs(ours.get() - theirs) <= units * U * theirs
        for ours, theirs in zip(there, exact):
            assert (np.abs(ours.get() - theirs) <= 26 * U * np.abs(theirs)).all()
        for _ in range(20):
            copies = [a.copy() for a in again]
            same = kernels.get("clip_norm", "cuda")(copies, max_norm)
            assert [a.get() for a in same] == [a.get() for a in found]
            assert all((a.get() == b.get()).all() for a, b in zip(copies[:-2], there))


def test_clipping_spreads_nan() -> None:
    there = [sent(np.array([1.0, np.nan], np.float32)), sent(np.ones(5, np.float32))]
    norm, factor = kernels.get("clip_norm", "cuda")(there, 1.0)
    assert all(np.isnan(a.get()).all() for a in (norm, factor, *there))


def test_clip_grad_norm() -> None:
    import minigen
    from minigen.nn import utils

    model = minigen.nn.Linear(300, 200).to("cuda")
    for p in model.parameters():
        p.grad = minigen.ones_like(p)
    norm = utils.clip_grad_norm_(model.parameters(), 1.0)
    assert norm.item() == pytest.approx((200 * 301) ** 0.5, rel=1e-6)
    again = utils.clip_grad_norm_(model.parameters(), 1.0)
    assert again.item() == pytest.approx(1, rel=1e-5)


def test_layouts_that_need_a_copy(rng: Any) -> None:
    base = rng.standard_normal((64, 96)).astype(np.float32)
    there = sent(base)
    for ours, theirs in [(there.T, base.T), (there[:, 1:34], base[:, 1:34])]:
        found = kernels.get("softmax", "cuda")(ours).get()
        np.testing.assert_allclose(found, kernels.get("softmax", "reference")(theirs), rtol=1e-5)
