"""Attention on tensor cores, in the emulator: q, k and v are narrowed once, there and back."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cuda_products import nearest_bf16
from minigen.kernels import choice_cuda, registry
from minigen.kernels.attention.cuda.flash_bf16 import (
    Narrowed,
    attention_backward_flash_bf16,
    attention_flash_bf16,
    narrow,
)
from minigen.kernels.checking import KernelError
from minigen.kernels.cuda import CudaKernel, emulated, emulator

import minigen
from minigen import dispatch, kernels
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.nn.functional import scaled_dot_product_attention as attend
from minigen.ops import attention as operation
from minigen.ops import linalg
from tests.kernels.test_cuda_attention import CASES, LAYOUTS, draw

Array = Any
NARROW = "to_bf16"


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """How often each kernel ran, where attention takes the road of a GPU at "medium"."""
    found: Counter = Counter()
    launch = CudaKernel.__call__

    def count(kernel: CudaKernel, *args: Any) -> None:
        found[kernel.name] += 1
        launch(kernel, *args)

    records = map(registry.operation, ("attention", "attention_backward"))
    chosen = {
        record.name: registry._guarded(record.rung("cuda_flash_bf16"), record.rung("numpy"))
        for record in records
    }
    default = registry.select

    def select(name: str, *arrays: Any) -> Callable:
        swapped = kernels.overriding() or arrays[0].dtype != np.float32
        return default(name, *arrays) if swapped else chosen.get(name) or default(name, *arrays)

    monkeypatch.setattr(CudaKernel, "__call__", count)
    monkeypatch.setattr(kernels, "select", select)
    with emulated():
        yield found


def drawn(rng: np.random.Generator, *shape: int) -> Any:
    return minigen.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)


def three(rng: np.random.Generator) -> list[Any]:
    return [drawn(rng, 2, 5, 32) for _ in range(3)]


def apart(g: Array, q: Array, k: Array, v: Array, **options: Any) -> list[Array]:
    """out and the gradients of kernels that share nothing."""
    out, logsumexp = attention_flash_bf16(q, k, v, **options)
    gradients = attention_backward_flash_bf16(g, q, k, v, out, logsumexp, **options)
    return [out, *gradients]


def same(found: Any, wanted: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(found, wanted, strict=True))


# ------------------------------------------------------------------------------ the kernels


@pytest.mark.parametrize("case", CASES)
def test_narrowed_operands_give_the_same_bits(case: str, rng: np.random.Generator) -> None:
    q, k, v, g, causal = draw(rng, case)
    with emulated():
        wanted = apart(g, q, k, v, is_causal=causal)
        both = narrow(q, k, v, is_causal=causal)
        assert both is not None
        assert all(isinstance(x, Narrowed) for x in both)
        assert same(apart(g, *both, is_causal=causal), wanted)
        assert same(apart(g, q, *both[1:], is_causal=causal), wanted)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_in_any_order_of_memory(layout: Any, rng: np.random.Generator) -> None:
    """Also where the gradient cuts leading dimensions otherwise than the result did."""
    q, k, v = layout(rng)
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    for g in (np.broadcast_to(layout(rng)[0], (*lead, *q.shape[-2:])), np.ones((*lead, 1, 1))):
        g = np.broadcast_to(g.astype(np.float32), (*lead, *q.shape[-2:]))
        with emulated():
            wanted = apart(g.copy(), *(x.copy() for x in (q, k, v)))
            assert same(apart(g, *narrow(q, k, v)), wanted)  # type: ignore[misc]


def test_nothing_is_narrowed_for_the_plain_formula(rng: np.random.Generator) -> None:
    """Without the emulator `to_bf16` would refuse arrays on the CPU."""
    q, k, v = (x.array for x in three(rng))
    for options in ({"mask": np.ones((5, 5), bool)}, {"dropout_p": 0.5}, {"scale": -1.0}):
        assert narrow(q, k, v, **options) is None
    wide = np.ones((2, 5, 160), np.float32)
    assert narrow(wide, wide, wide) is None
    with emulated():
        both = narrow(q, k, v)
    mask = np.tri(5, dtype=bool)
    wanted = attention_flash_bf16(q, k, v, mask)
    assert same(attention_flash_bf16(*both, mask), wanted)  # type: ignore[misc]


def test_operands_that_were_narrowed_beside_others(rng: np.random.Generator) -> None:
    """Their leading dimensions and width may be other ones there."""
    q, k, v = (x.array for x in three(rng))
    wide = np.ones((2, 5, 64), np.float32)
    with emulated():
        found = [narrow(*x) for x in ((q[:1], k, v), (q[:1], k[:1], v[:1]), (q, k, wide))]
        both, one, other = (x for x in found if x is not None)
        assert both[0].bits.shape == (2, 5, 32)  # for both heads of k
        for operands in ((both[0], *one[1:]), (*both[:2], other[2])):
            with pytest.raises(KernelError, match="narrow q, k and v together"):
                attention_flash_bf16(*operands)


LAUNCHES = {  # of `to_bf16`, for q, k and v
    "thirds of a product": (
        1,
        lambda n: [n(2, 5, 3, 2, 32)[:, :, i].swapaxes(1, 2) for i in range(3)],
    ),
    "apart, but alike": (1, lambda n: [n(2, 2, 5, 32) for _ in range(3)]),
    "one that lies otherwise": (3, lambda n: [n(2, 5, 2, 32).swapaxes(1, 2), *n(2, 2, 2, 5, 32)]),
    "queries of another length": (2, lambda n: [n(2, 7, 32), n(2, 5, 32), n(2, 5, 32)]),
    "heads that share keys": (2, lambda n: [n(2, 3, 5, 32), n(2, 1, 5, 32), n(2, 1, 5, 32)]),
    "wider values": (2, lambda n: [n(2, 5, 20), n(2, 5, 20), n(2, 5, 32)]),
}


@pytest.mark.parametrize("case", LAUNCHES)
def test_what_lies_alike_is_narrowed_in_one_launch(
    case: str, rng: np.random.Generator, launched: Counter
) -> None:
    launches, make = LAUNCHES[case]
    arrays = make(lambda *shape: rng.standard_normal(shape).astype(np.float32))
    operands = narrow(*arrays)
    assert launched[NARROW] == launches
    for x, narrowed in zip(arrays, operands or ()):
        rows = np.pad(nearest_bf16(x), [(0, 0)] * (x.ndim - 1) + [(0, 32 - x.shape[-1])])
        assert np.array_equal(narrowed.bits, rows.reshape(narrowed.bits.shape))


# ------------------------------------------------------------------------- the operation


def test_each_is_narrowed_once(rng: np.random.Generator, launched: Counter) -> None:
    q, k, v = three(rng)
    g = rng.standard_normal((2, 5, 32)).astype(np.float32)
    y = attend(q, k, v, is_causal=True)
    assert launched[NARROW] == 1
    y.backward(minigen.tensor(g))
    assert launched[NARROW] == 1  # none for the gradient, whose cotangent has another kernel
    found = [y.array, *(x.grad.array for x in (q, k, v))]
    assert same(found, apart(g, q.array, k.array, v.array, is_causal=True, scale=32**-0.5))


def test_a_step_of_a_transformer(rng: np.random.Generator, launched: Counter) -> None:
    """One launch a layer where there were seven: the gradient's cotangent has another kernel."""
    config = GPTConfig(vocabulary=11, context=8, layers=2, heads=2, width=64)
    model = GPT(config)
    ids = minigen.tensor(rng.integers(0, 11, (2, 8)))
    next_token_loss(model(ids), ids).backward()
    assert launched[NARROW] == config.layers
    assert launched["flash_forward"] == launched["flash_queries_backward"] == config.layers


def test_all_that_a_step_rounds(
    rng: np.random.Generator, launched: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linear layers on tensor cores, too: their input, weight and cotangent once each, and nothing
    else in a transformer is rounded to bfloat16."""
    record = registry.operation("matmul")
    product = registry._guarded(record.rung("cuda_bf16"), record.rung("numpy"))
    others = kernels.select
    monkeypatch.setattr(
        kernels, "select", lambda name, *a: product if name == "matmul" else others(name, *a)
    )
    monkeypatch.setattr(linalg, "ndarray", type(None))  # no array counts as one on the CPU
    monkeypatch.setattr(linalg, "quiet_kernel", dispatch.kernel)
    config = GPTConfig(vocabulary=11, context=8, layers=2, heads=2, width=64)
    model = GPT(config)
    ids = minigen.tensor(rng.integers(0, 11, (2, 8)))
    next_token_loss(model(ids), ids).backward()
    linears = 4 * config.layers + 1
    assert launched["round_bf16"] == 3 * linears
    assert launched[NARROW] == launched["gradient_to_bf16"] == config.layers
    assert launched["multiply"] == 3 * linears


def test_another_step_narrows_anew(rng: np.random.Generator, launched: Counter) -> None:
    """What was kept belongs to one call: other numbers in the same memory are seen."""
    leaves = three(rng)
    g = rng.standard_normal((2, 5, 32)).astype(np.float32)
    for _ in range(2):
        for x in leaves:
            x.grad = None
        y = attend(*leaves)
        y.backward(minigen.tensor(g))
        arrays = [x.array for x in leaves]
        wanted = apart(g, *arrays, scale=32**-0.5)
        assert same([y.array, *(x.grad.array for x in leaves)], wanted)
        with minigen.no_grad():
            for x in leaves:
                x.mul_(-2)


@pytest.mark.parametrize("changed", range(3))
def test_a_change_in_between_is_refused(
    changed: int, rng: np.random.Generator, launched: Counter
) -> None:
    leaves = three(rng)
    y = attend(*leaves)
    with minigen.no_grad():
        leaves[changed].mul_(2)
    with pytest.raises(RuntimeError, match=r"attention.*(query|key|value)"):
        y.backward(minigen.ones(2, 5, 32))


def test_a_graph_that_is_retained(rng: np.random.Generator, launched: Counter) -> None:
    leaves = three(rng)
    y = attend(*leaves)
    g = minigen.tensor(rng.standard_normal((2, 5, 32)).astype(np.float32))
    y.backward(g, retain_graph=True)
    first = [x.grad.array.copy() for x in leaves]
    y.backward(g)
    assert launched[NARROW] == 1
    assert same([x.grad.array for x in leaves], [2 * x for x in first])


def test_where_some_need_no_gradient(rng: np.random.Generator, launched: Counter) -> None:
    q, k, v = three(rng)
    k.requires_grad_(False)
    attend(q, k, v).backward(minigen.ones(2, 5, 32))
    ones = np.ones((2, 5, 32), np.float32)
    wanted = apart(ones, q.array, k.array, v.array, scale=32**-0.5)
    assert k.grad is None
    assert same([q.grad.array, v.grad.array], [wanted[1], wanted[3]])


def test_gradients_of_gradients(rng: np.random.Generator, launched: Counter) -> None:
    """They come from the formula, which nothing that was kept goes into."""
    q, k, v = leaves = three(rng)
    g = drawn(rng, 2, 5, 32)

    def derivatives(function: Callable) -> list[Any]:
        first = minigen.autograd.grad(function(q, k, v), leaves, g, create_graph=True)
        total = sum((d * d * d).sum() for d in first)
        return [*first, *minigen.autograd.grad(total, (*leaves, g))]

    def formula(q: Any, k: Any, v: Any) -> Any:
        return operation._formula(q, k, v, None, False, 32**-0.5, 0.0, 0)

    pairs = zip(derivatives(attend), derivatives(formula))
    assert all(np.allclose(x.array, y.array, rtol=1e-3, atol=1e-3) for x, y in pairs)


def test_functional_transforms(rng: np.random.Generator, launched: Counter) -> None:
    q, k, v = (x.detach() for x in three(rng))
    gradient = minigen.func.grad(lambda q: attend(q, k, v).sum())(q)
    ones = np.ones((2, 5, 32), np.float32)
    wanted = apart(ones, q.array, k.array, v.array, scale=32**-0.5)
    assert np.array_equal(gradient.array, wanted[1])
    each = minigen.func.vmap(minigen.func.grad(lambda q, k, v: attend(q, k, v).sum()))(q, k, v)
    assert np.allclose(each.array, wanted[1], rtol=2e-2, atol=2e-2)
    _, dy = minigen.func.jvp(lambda v: attend(q, k, v), (v,), (v,))
    assert np.allclose(dy.array, wanted[0], rtol=2e-2, atol=2e-2)


def test_a_checkpoint_narrows_again(rng: np.random.Generator, launched: Counter) -> None:
    leaves = three(rng)
    minigen.utils.checkpoint.checkpoint(attend, *leaves).backward(minigen.ones(2, 5, 32))
    ones = np.ones((2, 5, 32), np.float32)
    wanted = apart(ones, *(x.array for x in leaves), scale=32**-0.5)
    assert same([x.grad.array for x in leaves], wanted[1:])


# --------------------------------------------------------------------------------- memory


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref]:
    """Every array in bfloat16 that a call narrowed to."""
    from minigen.kernels.attention.cuda import flash_bf16

    found: list[weakref.ref] = []
    narrowed = flash_bf16.narrowed

    def noted(*args: Any) -> list[Array]:
        bits = narrowed(*args)
        found.extend(map(weakref.ref, bits))
        return bits

    monkeypatch.setattr(flash_bf16, "narrowed", noted)
    return found


def alive(made: list[weakref.ref]) -> int:
    gc.collect()
    return sum(ref() is not None for ref in made)


def test_nothing_is_kept_without_a_graph(rng: Any, launched: Counter, made: list) -> None:
    leaves = three(rng)
    with minigen.no_grad():
        y = attend(*leaves)
    assert (len(made), alive(made)) == (3, 0)
    z = attend(*(x.detach() for x in leaves))
    assert (len(made), alive(made)) == (6, 0)
    del y, z


def test_what_was_kept_goes_with_the_graph(rng: Any, launched: Counter, made: list) -> None:
    leaves = three(rng)
    y = attend(*leaves)
    assert alive(made) == 3
    y.backward(minigen.ones(2, 5, 32))
    assert (len(made), alive(made)) == (3, 0)
    y = attend(*leaves)
    assert alive(made) == 3
    del y
    assert alive(made) == 0


def test_it_is_counted_as_memory_of_the_graph(rng: Any, launched: Counter) -> None:
    from minigen.viz.trace import saved_bytes

    leaves = three(rng)
    y = attend(*leaves)
    out, logsumexp, narrowed = 4 * 2 * 5 * 32, 4 * 2 * 5, 3 * 2 * 2 * 5 * 32
    assert saved_bytes([y.node], leaves) == out + logsumexp + narrowed


# ------------------------------------------------------------------------- other kernels


def test_kernels_of_ones_own_get_arrays(rng: Any, launched: Counter) -> None:
    """Also a gradient that is swapped in after the kernel has prepared its operands."""
    given: list[Any] = []

    def mine(q: Any, k: Any, v: Any, **options: Any) -> Any:
        given.extend((q, k, v))
        return kernels.get("attention", "numpy")(q, k, v, **options)

    def backward(g: Any, q: Any, k: Any, v: Any, *rest: Any, **options: Any) -> Any:
        given.extend((g, q, k, v))
        return kernels.get("attention_backward", "numpy")(g, q, k, v, *rest, **options)

    leaves = three(rng)
    y = attend(*leaves)
    wanted = apart(np.ones((2, 5, 32), np.float32), *(x.array for x in leaves), scale=32**-0.5)
    with kernels.use(attention=lambda *a, **o: mine(*a[:3], **o), attention_backward=backward):
        y.backward(minigen.ones(2, 5, 32))
        for x, right in zip(leaves, wanted[1:]):
            assert np.allclose(x.grad.array, right, rtol=2e-2, atol=2e-2)
        attend(*leaves).backward(minigen.ones(2, 5, 32))
    assert len(given) == 4 + 3 + 4
    assert all(type(a) is np.ndarray and a.dtype == np.float32 for a in given)
    with kernels.use(attention=lambda *a, **o: mine(*a[:3], **o)):
        y = attend(*leaves)  # which prepares nothing, before a gradient that would have used it
    launched.clear()
    y.backward(minigen.ones(2, 5, 32))
    assert launched[NARROW] == 1


def test_masks_and_dropout_keep_nothing(rng: Any, launched: Counter) -> None:
    leaves = three(rng)
    y = attend(*leaves, attn_mask=minigen.ones(5, 5, dtype=bool))
    z = attend(*leaves, dropout_p=0.5)
    (y + z).backward(minigen.ones(2, 5, 32))
    assert not launched


def test_without_a_compiler_another_kernel_runs(
    rng: Any, launched: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ImportError("no NVRTC")

    monkeypatch.setattr(choice_cuda, "_broken", {})
    monkeypatch.setattr(CudaKernel, "__call__", broken)
    leaves = three(rng)
    y = attend(*leaves)
    y.backward(minigen.ones(2, 5, 32))
    truth = kernels.get("attention", "reference")(*(x.array for x in leaves))[0]
    assert np.allclose(y.array, truth, rtol=1e-5, atol=1e-5)
    assert choice_cuda._broken == {False: "no NVRTC"}


# ----------------------------------------------------------------------------- planted bugs


def stale(prepare: Callable) -> Callable:
    """A form that is kept by the place of an array, whatever is in it by now."""
    kept: dict[int, Any] = {}

    def prepared(q: Any, *rest: Any, **options: Any) -> Any:
        key = q.ctypes.data
        if key not in kept:
            kept[key] = prepare(q, *rest, **options)
        return kept[key]

    return prepared


PLANTED = {
    "a stale copy": lambda f: stale(f),
    "k and v exchanged": lambda f: lambda *a, **o: (lambda n: (n[0], n[2], n[1]))(f(*a, **o)),
    "thrown away": lambda f: lambda *a, **o: None,
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_caught(
    bug: str, rng: np.random.Generator, launched: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = PLANTED[bug](narrow)
    for name in ("attention", "attention_backward"):
        chosen = dispatch.kernels.select(name, np.ones((1, 1, 1), np.float32))
        monkeypatch.setattr(chosen, "prepare", planted)

    def checks() -> None:
        test_each_is_narrowed_once(rng, launched)
        launched.clear()
        test_another_step_narrows_anew(rng, launched)

    with pytest.raises(AssertionError):
        checks()


CHANGED = {  # in narrow.cu; q, k and v alike, or each of another shape
    "values in the place of keys": ("blockIdx.y == 1 ? second : third", "third", True),
    "all parts in one place": ("y += (u64)blockIdx.y * all * head_width;", "", True),
    "the wrong half": ("pack_bf16(number, 0.0f)", "pack_bf16(0.0f, number)", False),
    "all heads in one place": ("y += (u64)row", "y += (u64)(row % rows)", False),
    "rows of out as if of grad": ("(row % rows) * out_row", "(row % rows) * grad_row", False),
    "numbers beyond the row": ("d < width ? g[d] : 0.0f", "g[d]", False),
    "logsumexp as it is": (" * LOG2_E", "", False),
    "a part of a row": ("d = lane; d < head_width", "d = lane; d < WARP", False),
}


@pytest.mark.parametrize("bug", CHANGED)
def test_bugs_of_the_kernels_are_caught(bug: str, rng: np.random.Generator) -> None:
    """By the emulator, or in numbers that are those of the kernels as they are, bit for bit."""
    right, wrong, alike = CHANGED[bug]
    case = "one less than a tile" if alike else "a width that no kernel has"
    q, k, v, g, causal = draw(rng, case)
    g = g.swapaxes(0, 1).copy().swapaxes(0, 1)  # not as out lies
    with emulated():
        wanted = apart(g, q, k, v, is_causal=causal)
        try:
            with emulator.changed("attention/cuda/narrow.cu", (right, wrong)):
                found = apart(g, q, k, v, is_causal=causal)
        except KernelError:
            return
    assert not same(found, wanted)


def test_without_its_guard_a_change_would_go_unseen(
    rng: np.random.Generator, launched: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minigen.autograd.Node, "check", lambda node: None)
    with pytest.raises(pytest.fail.Exception):
        test_a_change_in_between_is_refused(1, rng, launched)
