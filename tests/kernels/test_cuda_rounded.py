"""A linear layer on tensor cores, in the emulator: each of its matrices is rounded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cuda_products import nearest_bf16, operand
from minigen.kernels import choice_cuda, registry
from minigen.kernels.cuda import CudaKernel, emulated
from minigen.kernels.cuda.emulator import changed
from minigen.kernels.matmul.cuda.multiply import matmul_bf16, matmul_wgmma
from minigen.kernels.matmul.cuda.rounded import rounded, rounded_and_summed

import minigen
from minigen import dispatch, kernels
from minigen.nn.functional import linear
from minigen.ops import linalg

# (leading dimensions of x, in, out): odd ones are padded, 300 x 2 x 300 is cut along k
SHAPES = [((4,), 16, 8), ((3, 5), 13, 7), ((1,), 9, 1), ((2, 2, 3), 1, 5), ((300,), 2, 300)]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Counter]:
    """How often each kernel ran, where linear layers take the road of a GPU at "medium"."""
    found: Counter = Counter()
    launch = CudaKernel.__call__

    def count(kernel: CudaKernel, *args: Any) -> None:
        found[kernel.name] += 1
        launch(kernel, *args)

    record = registry.operation("matmul")
    rung = record.rung(getattr(request, "param", "cuda_bf16"))
    chosen = registry._guarded(rung, record.rung("numpy"))
    default = registry.select

    def select(name: str, *arrays: Any) -> Callable:
        swapped = name != "matmul" or kernels.overriding()
        return default(name, *arrays) if swapped else chosen

    monkeypatch.setattr(CudaKernel, "__call__", count)
    monkeypatch.setattr(kernels, "select", select)
    monkeypatch.setattr(linalg, "ndarray", type(None))  # no array counts as one on the CPU
    monkeypatch.setattr(linalg, "quiet_kernel", dispatch.kernel)  # which runs in this context
    with emulated():
        yield found


def tensors(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[Any]:
    return [minigen.tensor(operand(rng, shape), requires_grad=True) for shape in shapes]


def by_warpgroups(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return matmul_wgmma(np.ascontiguousarray(a), b)


def alone(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A product that shares no rounding with another."""
    return matmul_bf16(np.ascontiguousarray(a), b)


@pytest.mark.parametrize("name", [matmul_bf16, matmul_wgmma])
@pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
def test_rounded_operands_give_the_same_bits(name: Callable, layout: str, rng: Any) -> None:
    for m, n, k in ((1, 1, 1), (5, 9, 17), (70, 3, 33), (8, 1, 300), (0, 3, 2), (2, 3, 0)):
        a, b = operand(rng, (m, k), layout[0]), operand(rng, (k, n), layout[1])
        with emulated():
            expected = name(a, b)
            assert np.array_equal(name(rounded(a), rounded(b)), expected)
            assert np.array_equal(name(rounded(a.T).T, rounded(b.T).T), expected)
            assert expected.shape == (m, n)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (64, 8), (65, 300), (1000, 17), (9000, 3)])
def test_sums_that_are_made_on_the_way(shape: Any, rng: Any) -> None:
    """What is rounded is the same to the bit; sums have one order however threads run."""
    x = operand(rng, shape)
    found = []
    for how in ({}, {"schedule": 5}):
        with emulated(**how) as run:
            y, sums = rounded_and_summed(x)
        assert run.shared_conflicts == 1.0
        found.append(sums)
    with emulated():
        expected = rounded(x)
    assert y.shape == shape
    assert np.array_equal(y.stored.array, expected.stored.array)
    assert np.array_equal(*found)
    exact, size = x.sum(0, dtype=np.float64), abs(x).sum(0, dtype=np.float64)
    assert (abs(found[0] - exact) <= 50 * 2.0**-24 * size).all()


@pytest.mark.parametrize(
    ("piece", "instead"),
    [
        ("rows + gridDim.y - 1) / gridDim.y", "rows / gridDim.y)"),
        ("  __syncthreads();\n  float total", "  float total"),
        ("of_slices[s][slice][lane]", "of_slices[slice][s][lane]"),
        ("min(rows, (int)(blockIdx.y + 1) * band)", "(int)(blockIdx.y + 1) * band"),
    ],
)
def test_planted_bugs_of_sums_are_caught(piece: str, instead: str, rng: Any) -> None:
    x = operand(rng, (1000, 17))
    with changed("matmul/cuda/round_bf16.cu", (piece, instead)), emulated():
        try:
            y, sums = rounded_and_summed(x)
        except kernels.KernelError:
            return
        same = np.array_equal(y.stored.array, rounded(x).stored.array)
    assert not (same and np.allclose(sums, x.sum(0), atol=1e-3))


def test_sums_where_nothing_is_or_all_lies_across(rng: Any) -> None:
    x = operand(rng, (20, 30), "T")
    with emulated():
        y, sums = rounded_and_summed(x)
        assert y.stored.transposed
        nothing, zeros = rounded_and_summed(np.zeros((0, 3), np.float32))
    np.testing.assert_allclose(sums, x.sum(0), rtol=1e-5)
    assert nothing.shape == (0, 3)
    assert zeros.tolist() == [0, 0, 0]


def test_rounded_matrices_that_do_not_fit(rng: Any) -> None:
    with emulated():
        a, b = rounded(operand(rng, (2, 3))), rounded(operand(rng, (4, 5)))
        with pytest.raises(ValueError, match="inner dimensions"):
            matmul_bf16(a, b)


@pytest.mark.parametrize(("lead", "k", "n"), SHAPES)
def test_each_matrix_is_rounded_once(
    lead: Any, k: int, n: int, rng: Any, launched: Counter
) -> None:
    x, w, b = tensors(rng, (*lead, k), (n, k), (n,))
    g = operand(rng, (*lead, n))
    y = linear(x, w, b)
    assert launched["round_bf16"] == 2
    y.backward(minigen.tensor(g))
    assert launched["round_bf16"] + launched["round_and_sum"] == 3
    rows, tall = x.array.reshape(-1, k), g.reshape(-1, n)
    assert np.array_equal(y.array, (alone(rows, w.array.T) + b.array).reshape(y.shape))
    assert np.array_equal(x.grad.array, alone(tall, w.array).reshape(x.shape))
    assert np.array_equal(w.grad.array, matmul_bf16(tall.T, rows))
    assert matmul_bf16(tall.T, rows).base is None  # so that it was not copied to be kept
    np.testing.assert_allclose(b.grad.array, tall.sum(0, dtype=np.float64), atol=1e-5)
    assert launched["round_and_sum"] == 1


@pytest.mark.parametrize("launched", ["cuda_wgmma"], indirect=True)
@pytest.mark.parametrize(("lead", "k", "n"), SHAPES)
def test_a_bias_that_the_kernel_adds(
    lead: Any, k: int, n: int, rng: Any, launched: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, w, b = tensors(rng, (*lead, k), (n, k), (n,))
    monkeypatch.setattr(dispatch, "silent", None)  # by which it would be added in place
    y = linear(x, w, b)
    product = by_warpgroups(x.array.reshape(-1, k), w.array.T)
    cut = k == 300  # into parts, of which the first has the bias
    assert launched["sum_parts"] == 2 * cut
    np.testing.assert_allclose(
        y.array.reshape(-1, n), product + b.array, rtol=0, atol=1e-5 if cut else 0
    )


@pytest.mark.parametrize("layout", ["a cotangent transposed", "an expanded cotangent", "input"])
def test_layouts_that_are_no_rows(layout: str, rng: Any, launched: Counter) -> None:
    x, w = tensors(rng, (6, 10), (7, 10))
    g = operand(rng, (6, 7), "T" if "transposed" in layout else "N")
    if layout == "an expanded cotangent":
        g = np.broadcast_to(g[:1], g.shape)
    if layout == "input":
        x = minigen.tensor(operand(rng, (10, 6)), requires_grad=True)
    seen = x.T if layout == "input" else x
    y = linear(seen, w)
    minigen.autograd.backward(y, minigen.autograd.wrap(g))
    gradient = x.grad.T if layout == "input" else x.grad
    assert launched["round_bf16"] == 3
    assert np.array_equal(gradient.array, alone(g, w.array))
    assert np.array_equal(w.grad.array, alone(np.ascontiguousarray(g).T, seen.array))


def test_where_one_gradient_is_asked_for(rng: Any, launched: Counter) -> None:
    """Then nothing is kept: an input that needs none costs no memory for the weight's sake."""
    for frozen in ("x", "w"):
        x, w = tensors(rng, (4, 6), (5, 6))
        (x if frozen == "x" else w).requires_grad_(False)
        y = linear(x, w)
        (edge,) = y.node.edges
        assert edge[0].names == (("weight",) if frozen == "x" else ("input",))
        assert len(edge[2]) == 1
        y.backward(minigen.ones(4, 5))
        ones = np.ones((4, 5), np.float32)
        if frozen == "x":
            assert np.array_equal(w.grad.array, alone(ones.T, x.array))
        else:
            assert np.array_equal(x.grad.array, alone(ones, w.array))


def test_a_weight_that_was_changed_is_refused(rng: Any, launched: Counter) -> None:
    for which in (0, 1):
        both = tensors(rng, (4, 6), (5, 6))
        y = linear(*both)
        with minigen.no_grad():
            both[which].mul_(2)
        with pytest.raises(RuntimeError, match="linear"):
            y.backward(minigen.ones(4, 5))


def test_a_step_of_an_optimizer_is_seen(rng: Any, launched: Counter) -> None:
    """Weights and inputs are rounded anew in every forward pass, cotangents in every backward."""
    x, w = tensors(rng, (4, 6), (5, 6))
    optimizer = minigen.optim.SGD([w], lr=0.5)
    for _ in range(2):
        x.grad = None
        optimizer.zero_grad()
        y = linear(x, w)
        assert np.array_equal(y.array, alone(x.array, w.array.T))
        g = minigen.tensor(operand(rng, (4, 5)))
        y.backward(g, retain_graph=True)
        assert np.array_equal(x.grad.array, alone(g.array, w.array))
        first = x.grad.array.copy()
        g.mul_(2)  # the same memory, other numbers
        x.grad = None
        y.backward(g)
        assert np.array_equal(x.grad.array, 2 * first)
        optimizer.step()


def test_gradients_of_gradients(rng: Any, launched: Counter) -> None:
    """They are recorded by products that share nothing, and come out as for a product."""
    x, w = tensors(rng, (4, 6), (5, 6))
    g = minigen.tensor(operand(rng, (4, 5)), requires_grad=True)

    def derivatives(product: Callable) -> list[Any]:
        first = minigen.autograd.grad(product(x, w), (x, w), g, create_graph=True)
        total = (first[0] * first[0]).sum() + (first[1] * first[1] * first[1]).sum()
        return [*first, *minigen.autograd.grad(total, (x, w, g))]

    pairs = zip(derivatives(linear), derivatives(lambda x, w: x @ w.T))
    assert all(np.allclose(ours.array, theirs.array, rtol=1e-5) for ours, theirs in pairs)


def test_forward_mode(rng: Any, launched: Counter) -> None:
    x, w, dx = (minigen.tensor(operand(rng, shape)) for shape in ((4, 6), (5, 6), (4, 6)))
    y, dy = minigen.func.jvp(lambda x: linear(x, w), (x,), (dx,))
    assert np.array_equal(y.array, alone(x.array, w.array.T))
    assert np.allclose(dy.array, alone(dx.array, w.array.T), rtol=1e-5, atol=1e-5)


def test_a_kernel_of_ones_own_gets_arrays(rng: Any, launched: Counter) -> None:
    given: list[Any] = []

    def mine(a: Any, b: Any) -> Any:
        given.extend((a, b))
        return np.matmul(a, b)

    x, w = tensors(rng, (4, 6), (5, 6))
    y = linear(x, w)
    with kernels.use(matmul=mine):  # from here on
        y.backward(minigen.ones(4, 5))
        linear(x, w).backward(minigen.ones(4, 5))
    assert len(given) == 10
    assert all(type(a) is np.ndarray and a.dtype == np.float32 for a in given)


def test_without_a_compiler_another_kernel_runs(
    rng: Any, launched: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ImportError("no NVRTC")

    monkeypatch.setattr(choice_cuda, "_broken", {})
    monkeypatch.setattr(CudaKernel, "__call__", broken)
    x, w = tensors(rng, (4, 6), (5, 6))
    y = linear(x, w)
    y.backward(minigen.ones(4, 5))
    assert np.allclose(y.array, x.array @ w.array.T)
    assert np.allclose(x.grad.array, np.ones((4, 5)) @ w.array, rtol=1e-5)
    assert choice_cuda._broken == {False: "no NVRTC"}


def test_kept_bits_are_counted_as_memory_of_the_graph(rng: Any, launched: Counter) -> None:
    from minigen.viz.trace import saved_bytes

    x, w = tensors(rng, (4, 6), (5, 6))
    y = linear(x, w)
    assert saved_bytes([y.node], (x, w)) == 2 * 8 * (4 + 5)  # rows of 6, padded to 8


def test_what_is_kept_is_the_nearest(rng: Any) -> None:
    x = operand(rng, (5, 11))
    with emulated():
        kept = rounded(x)
    assert np.array_equal(kept.stored.array[:, :11], nearest_bf16(x))
    assert not kept.stored.array[:, 11:].any()
    assert kept.T.stored.transposed
    assert kept.T.shape == (11, 5)
