"""Every rung of attention and of its gradient against the formula in float64, and against torch."""

from __future__ import annotations

import functools
import tracemalloc

import numpy as np
import pytest
import torch
from minigen.kernels.attention import operands
from minigen.kernels.attention.operands import summed_to

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
RUNGS = ["numpy", "three_passes", "online", "flash", "parallel"]
BACKWARD = ["numpy", "flash", "parallel"]
MASKS = ["none", "bool", "float", "padding", "float padding", "row"]

# (leading dimensions), L, S, E, Ev
SIZES = [
    ((), 1, 1, 1, 1),
    ((2,), 2, 3, 5, 2),
    ((2, 3), 5, 7, 3, 2),
    ((1, 2), 17, 17, 16, 16),
    ((2, 1), 33, 33, 8, 33),
    ((1, 2), 64, 64, 32, 32),
    ((1, 1), 65, 65, 17, 16),
    ((1, 1), 34, 200, 16, 9),
    ((1, 1), 200, 33, 9, 17),
    ((1, 1), 130, 300, 4, 4),
    ((2, 1, 2), 6, 9, 4, 5),
]
EMPTY = [((2, 2), 0, 3, 4, 4), ((2, 2), 3, 0, 4, 4), ((0, 2), 3, 3, 4, 4), ((2,), 3, 3, 4, 0)]


def draw(rng, size, dtype):
    """q, k, v and a random cotangent for out."""
    lead, queries, keys, width, value_width = size
    shapes = ((queries, width), (keys, width), (keys, value_width), (queries, value_width))
    return [rng.standard_normal((*lead, *shape)).astype(dtype) for shape in shapes]


def draw_mask(rng, kind, size, dtype):
    """A mask of that kind; some queries may attend to nothing."""
    lead, queries, keys, _, _ = size
    if kind == "bool":
        return rng.random((*lead, queries, keys)) < 0.5
    if kind == "float":
        return rng.standard_normal((queries, keys)).astype(dtype)
    if kind == "padding":
        return rng.random((*lead[:1], *(1 for _ in lead[1:]), 1, keys)) < 0.6
    if kind == "float padding":
        return np.where(rng.random((1, keys)) < 0.6, 0, -np.inf).astype(dtype)
    if kind == "row":
        return rng.random((queries, 1)) < 0.6
    return None


def scale_of(q, k, mask):
    """1 + max |score|, the number that error bounds are stated in."""
    scores = np.einsum("...ie,...je->...ij", np.abs(q), np.abs(k)) / np.sqrt(q.shape[-1])
    added = (
        0 if mask is None or mask.dtype == bool else np.abs(mask[np.isfinite(mask)]).max(initial=0)
    )
    return 1 + scores.max(initial=0) + added


def backward_magnitude(grad, q, k, v, out, logsumexp, mask, causal):
    """The formulas of the gradient with the absolute value of every term."""
    identity = np.broadcast_to(np.eye(k.shape[-2]), (*v.shape[:-2], *[k.shape[-2]] * 2))
    p, _ = kernels.get("attention", "reference")(q, k, identity, mask, causal)
    delta = (np.abs(grad) * np.abs(out)).sum(-1, keepdims=True)
    ds = (
        p
        * (np.einsum("...ie,...je->...ij", np.abs(grad), np.abs(v)) + delta)
        / np.sqrt(q.shape[-1])
    )
    return (
        np.einsum("...ij,...je->...ie", ds, np.abs(k)),
        np.einsum("...ij,...ie->...je", ds, np.abs(q)),
        np.einsum("...ij,...ie->...je", p, np.abs(grad)),
    )


def check(rung, q, k, v, grad, mask=None, causal=False, dropout_p=0.0, seed=0):
    """Forward and backward inside the stated bounds, in C order, inputs as they were."""
    dtype, options = str(q.dtype), {"dropout_p": dropout_p, "seed": seed}
    before = [x.copy() for x in (q, k, v, grad)]
    exact, exact_sum = kernels.get("attention", "reference")(q, k, v, mask, causal, **options)
    out, logsumexp = kernels.get("attention", rung)(q, k, v, mask, causal, **options)
    unit, scale = UNIT[dtype], scale_of(q, k, mask) / (1 - dropout_p)
    assert out.dtype == logsumexp.dtype == q.dtype
    assert out.flags.c_contiguous
    assert logsumexp.flags.c_contiguous
    assert out.shape == exact.shape
    assert logsumexp.shape == exact_sum.shape
    assert (np.abs(out - exact) <= 16 * unit * scale * np.abs(v).max(initial=0)).all()
    finite = np.isfinite(exact_sum)
    np.testing.assert_array_equal(logsumexp[~finite], exact_sum[~finite])
    assert (np.abs(logsumexp[finite] - exact_sum[finite]) <= 16 * unit * scale).all()
    if rung in BACKWARD:
        check_backward(rung, q, k, v, grad, exact, exact_sum, mask, causal, scale, options)
    for x, y in zip((q, k, v, grad), before):
        np.testing.assert_array_equal(x, y)


def check_backward(rung, q, k, v, grad, exact, exact_sum, mask, causal, scale, options):
    """The gradients inside the stated bound, in the shapes of q, k and v."""
    arguments = (grad, q, k, v, exact, exact_sum, mask, causal)
    wanted = kernels.get("attention_backward", "reference")(*arguments, **options)
    magnitude = backward_magnitude(*arguments)
    rounded = exact.astype(q.dtype), exact_sum.astype(q.dtype)
    backward = kernels.get("attention_backward", rung)
    found = backward(grad, q, k, v, *rounded, mask, causal, **options)
    for name, x, ours, theirs, size in zip(("q", "k", "v"), (q, k, v), found, wanted, magnitude):
        assert ours.dtype == q.dtype, name
        assert ours.shape == theirs.shape == x.shape, name
        assert ours.flags.c_contiguous, name
        bound = 32 * UNIT[str(q.dtype)] * scale * summed_to(size, x.shape)
        assert (np.abs(ours - theirs) <= bound).all(), name


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
def test_ragged_sizes_and_masks(rung, dtype, mask, causal, rng, poisoned) -> None:
    for size in SIZES:
        q, k, v, grad = draw(rng, size, dtype)
        check(rung, q, k, v, grad, draw_mask(rng, mask, size, dtype), causal)


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("size", EMPTY)
def test_empty_dimensions(rung, dtype, size, rng, poisoned) -> None:
    check(rung, *draw(rng, size, dtype))
    check(rung, *draw(rng, size, dtype), None, True)


@pytest.mark.parametrize("rung", RUNGS)
def test_any_strides(rung, rng, poisoned) -> None:
    """Heads split from one projection, as a Transformer has them; Fortran order; zero strides."""
    projection = rng.standard_normal((2, 40, 3, 4, 8)).astype(np.float32)
    q, k, v = projection.transpose(2, 0, 3, 1, 4)
    grad = rng.standard_normal((2, 40, 4, 8)).astype(np.float32).swapaxes(1, 2)
    check(rung, q, k, v, grad, causal=True)
    check(rung, *(np.asfortranarray(x) for x in (q, k, v, grad)))
    check(rung, q[..., ::-1, ::2], k[..., ::-1, ::2], v[..., ::-1], grad)
    check(
        rung, np.broadcast_to(q[:1, :1, :1], q.shape), k, v, np.broadcast_to(grad[..., :1], v.shape)
    )


@pytest.mark.parametrize("rung", RUNGS)
def test_leading_dimensions_broadcast(rung, rng, poisoned) -> None:
    q = rng.standard_normal((3, 1, 5, 4)).astype(np.float32)
    k, v = (rng.standard_normal((2, 6, 4)).astype(np.float32) for _ in range(2))
    grad = rng.standard_normal((3, 2, 5, 4)).astype(np.float32)
    check(rung, q, k, v, grad)
    k_all, v_all = (np.broadcast_to(x, (3, 2, 6, 4)).copy() for x in (k, v))
    q_all = np.broadcast_to(q, (3, 2, 5, 4)).copy()
    out, logsumexp = kernels.get("attention", rung)(q, k, v)
    wanted = kernels.get("attention", rung)(q_all, k_all, v_all)
    np.testing.assert_allclose(out, wanted[0], atol=1e-6)
    np.testing.assert_allclose(logsumexp, wanted[1], atol=1e-6)


@pytest.mark.parametrize("rung", RUNGS)
def test_scores_that_grow_from_block_to_block(rung, rng) -> None:
    """Each block of keys brings a larger maximum, by far: what was summed must be rescaled."""
    q, k, v, grad = draw(rng, ((1, 1), 40, 400, 8, 8), "float32")
    q, k = np.abs(q), np.abs(k) * np.linspace(0, 4, 400, dtype=np.float32)[:, None]
    check(rung, q, k, v, grad)
    check(rung, q, np.ascontiguousarray(k[..., ::-1, :]), v, grad)


@pytest.mark.parametrize("rung", ["reference", *RUNGS])
def test_large_scores_do_not_overflow(rung) -> None:
    q = np.full((1, 1, 3, 4), 60, np.float32)
    out, logsumexp = kernels.get("attention", rung)(q, q, q)
    np.testing.assert_allclose(out, 60, rtol=1e-6)
    np.testing.assert_allclose(logsumexp, 60 * 60 * 2 + np.log(3), rtol=1e-6)


@pytest.mark.parametrize("rung", ["reference", *RUNGS])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_that_may_attend_to_nothing_as_in_torch(rung, kind, rng) -> None:
    q, k, v, grad = draw(rng, ((1, 2), 5, 6, 4, 4), "float64")
    allowed = np.ones((5, 6), bool)
    allowed[2] = False
    mask = allowed if kind == "bool" else np.where(allowed, 0, -np.inf)
    out, logsumexp = kernels.get("attention", rung)(q, k, v, mask)
    tensors = [torch.from_numpy(x).requires_grad_() for x in (q, k, v)]
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *tensors, attn_mask=torch.from_numpy(mask)
    )
    np.testing.assert_allclose(out, theirs.detach().numpy(), atol=1e-12)
    assert (out[..., 2, :] == 0).all()
    assert np.isneginf(logsumexp[..., 2]).all()
    if rung in ("three_passes", "online"):
        return
    gradients = torch.autograd.grad(theirs, tensors, torch.from_numpy(grad))
    found = kernels.get("attention_backward", rung)(grad, q, k, v, out, logsumexp, mask)
    for ours, wanted in zip(found, gradients):
        np.testing.assert_allclose(ours, wanted.numpy(), atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rung", ["reference", *RUNGS])
def test_against_torch(rung, causal, rng) -> None:
    for size in (((2, 3), 17, 17, 8, 8), ((1, 2), 9, 40, 5, 7), ((1, 2), 40, 9, 5, 5)):
        q, k, v, grad = draw(rng, size, "float64")
        out, logsumexp = kernels.get("attention", rung)(q, k, v, is_causal=causal, scale=0.4)
        tensors = [torch.from_numpy(x).requires_grad_() for x in (q, k, v)]
        theirs = torch.nn.functional.scaled_dot_product_attention(
            *tensors, is_causal=causal, scale=0.4
        )
        np.testing.assert_allclose(out, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
        if rung not in ("reference", *BACKWARD):
            continue
        gradients = torch.autograd.grad(theirs, tensors, torch.from_numpy(grad))
        found = kernels.get("attention_backward", rung)(
            grad, q, k, v, out, logsumexp, is_causal=causal, scale=0.4
        )
        for ours, wanted in zip(found, gradients):
            np.testing.assert_allclose(ours, wanted.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rung", ["reference", *BACKWARD])
def test_gradient_against_differences(rung, rng) -> None:
    """Along a random direction: the gradient's projection is the central difference."""
    size = ((1, 2), 7, 9, 4, 3)
    q, k, v, grad = draw(rng, size, "float64")
    mask = rng.standard_normal((7, 9))
    forward = functools.partial(kernels.get("attention", rung), mask=mask, is_causal=True)
    out, logsumexp = forward(q, k, v)
    found = kernels.get("attention_backward", rung)(grad, q, k, v, out, logsumexp, mask, True)
    step = 1e-6
    for index, gradient in enumerate(found):
        inputs = [q, k, v]
        direction = rng.standard_normal(inputs[index].shape)
        ends = []
        for sign in (1, -1):
            inputs[index] = (q, k, v)[index] + sign * step * direction
            ends.append((forward(*inputs)[0] * grad).sum())
        assert abs((ends[0] - ends[1]) / (2 * step) - (gradient * direction).sum()) < 1e-7


@pytest.mark.parametrize("rung", RUNGS)
def test_nan_and_infinity_stay_in_their_row(rung, rng) -> None:
    q, k, v, _ = draw(rng, ((1, 1), 40, 40, 8, 8), "float32")
    q[0, 0, 3, 1], q[0, 0, 20, 0] = np.nan, np.inf
    out, logsumexp = kernels.get("attention", rung)(q, k, v, is_causal=True)
    bad = np.zeros(40, bool)
    bad[[3, 20]] = True
    assert np.isnan(out[0, 0, bad]).all()
    assert np.isnan(logsumexp[0, 0, 3])
    assert np.isfinite(out[0, 0, ~bad]).all()
    assert np.isfinite(logsumexp[0, 0, ~bad]).all()
    k[0, 0, 5, 2] = np.nan
    out, _ = kernels.get("attention", rung)(q, k, v, is_causal=True)
    assert np.isnan(out[0, 0, 5:]).all()
    assert np.isfinite(out[0, 0, :3]).all()


def test_a_mask_that_does_not_fit() -> None:
    x = np.ones((1, 1, 3, 2), np.float32)
    for rung in RUNGS:
        with pytest.raises(ValueError):
            kernels.get("attention", rung)(x, x, x, np.ones((2, 3), bool))


# ------------------------------------------------------------------- groups, parts, memory


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rung", RUNGS)
def test_grouped_queries(rung, causal, rng, poisoned) -> None:
    """q (…, Hkv, group, L, E), k and v (…, Hkv, 1, S, E): dK and dV are sums over the group."""
    for lead, group in (((2, 3), 2), ((1, 1), 4), ((), 3)):
        q, grad = (rng.standard_normal((*lead, group, 21, n)).astype(np.float32) for n in (8, 5))
        k, v = (rng.standard_normal((*lead, 1, 37, n)).astype(np.float32) for n in (8, 5))
        check(rung, q, k, v, grad, causal=causal)
        check(rung, q, k, v, grad, rng.random((*lead, group, 21, 37)) < 0.7, causal)


def test_what_makes_a_group() -> None:
    def group(*shapes):
        return operands.group_of((2, 4), *(np.empty((*shape, 5, 6)) for shape in shapes))

    assert group((2, 4), (2, 4)) == group((2, 1), (2, 4)) == group((4,), (4,)) == 1
    assert group((2, 1), (2, 1)) == group((2, 1), ()) == 4
    assert group((), (1, 1)) == 8
    assert operands.grouped((2, 4), 1) == (2, 4)
    assert operands.grouped((3, 2, 4, 1), 8) == (3, 1, 1, 1)


def test_heads_of_any_strides_are_not_copied(rng) -> None:
    """Split from one projection, shared, reversed: the operand lies in the caller's memory."""
    projection = rng.standard_normal((2, 40, 3, 4, 8))
    for x in (projection.transpose(2, 0, 3, 1, 4), projection[::-1, :, :, None, 1].swapaxes(1, 3)):
        lead = (*x.shape[:-2],)
        operand = operands.operand(x, lead)
        assert np.shares_memory(operand.numbers, projection)
        for head, index in enumerate(np.ndindex(*lead)):
            place = 8 * (operands.table(lead, operand.strides)[0, head] + 5 * operand.step)
            assert operand.numbers.ctypes.data + place == x[(*index, 5)].ctypes.data


@pytest.mark.parametrize("cut", ["query_parts", "key_parts"])
def test_parts_cover_everything_once(cut) -> None:
    for heads, group, queries, keys in ((1, 1, 4096, 4096), (64, 4, 100, 300), (6, 3, 1000, 700)):
        length = queries if cut == "query_parts" else keys
        parts = getattr(operands, cut)(heads, group, queries, keys, 128, split=True)
        met = np.zeros((heads, length), int)
        for first, last, start, stop, *_ in parts:
            assert first % group == last % group == 0
            assert start % 64 == 0
            met[first:last, start:stop] += 1
        assert (met == 1).all()
        assert len(getattr(operands, cut)(heads, group, queries, keys, 128, split=False)) == 1


@pytest.mark.parametrize("rung", BACKWARD)
def test_several_stripes_of_keys(rung, rng, poisoned, monkeypatch) -> None:
    monkeypatch.setattr(operands, "PIECE", 1)
    q, k, v, grad = draw(rng, ((1,), 150, 1100, 4, 4), "float32")
    check(rung, q, k, v, grad)
    check(rung, q, k, v, grad, causal=True)
    check(rung, k, k, v, k, causal=True)


def peak(name, rung, *arrays):
    """Bytes beyond the inputs and the results at the worst moment, with the kernel compiled."""
    kernels.get(name, rung)(*arrays)
    tracemalloc.start()
    results = kernels.get(name, rung)(*arrays)
    worst = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return worst - sum(x.nbytes for x in results)


@pytest.mark.parametrize("rung", ["three_passes", "online", "flash", "parallel"])
def test_scratch_grows_with_the_length_and_not_its_square(rung) -> None:
    forward, backward = [], []
    for length in (512, 1024, 2048):
        x = np.ones((2, 4, length, 8), np.float32)
        forward.append(peak("attention", rung, x, x, x))
        if rung in BACKWARD:
            out, logsumexp = kernels.get("attention", rung)(x, x, x)
            backward.append(peak("attention_backward", rung, x, x, x, x, out, logsumexp))
    for peaks in (forward, backward)[: 1 + bool(backward)]:
        first, second = np.diff(peaks)
        assert second <= 2.1 * first + 10_000
        assert peaks[-1] < 2048**2 * 4 / 4  # a quarter of one head's scores
