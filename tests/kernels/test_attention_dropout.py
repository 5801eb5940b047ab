"""Attention's dropout: Philox's known answers, and one mask in every rung, tile and thread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minigen.kernels import parallel
from minigen.kernels.attention import operands
from minigen.kernels.attention.dropout import dropout_of, factors, kept, philox

from minigen import kernels

from .test_attention import BACKWARD, MASKS, RUNGS, UNIT, check, draw, draw_mask


# From the file kat_vectors of Random123, the library of Philox's authors.
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(counter, key, words) -> None:
    numbers = [[int(word, 16) for word in text.split()] for text in (counter, key, words)]
    assert [int(word) for word in philox(numbers[0], *numbers[1])] == numbers[2]


def weights(rung, shape, dtype, **options):
    """The weights of uniform attention: all scores are 0, and the values are the unit vectors."""
    *lead, queries, keys = shape
    q, k = np.zeros((*lead, queries, 3), dtype), np.zeros((*lead, keys, 3), dtype)
    v = np.broadcast_to(np.eye(keys, dtype=dtype), (*lead, keys, keys))
    return kernels.get("attention", rung)(q, k, v, **options)[0] * keys


@pytest.mark.parametrize("rung", ["reference", *RUNGS])
@pytest.mark.parametrize("dtype", UNIT)
def test_every_rung_drops_the_same_weights(rung, dtype) -> None:
    for shape in ((1, 1), (2, 3, 5, 7), (2, 70, 130), (1, 1, 3, 259), (1, 200, 33)):
        for seed in (0, 2**32 + 5, 2**64 - 1):
            found = weights(rung, shape, dtype, dropout_p=0.3, seed=seed)
            wanted = factors(shape, 0.3, seed)
            np.testing.assert_array_equal(found > 0, wanted > 0)
            np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("rung", BACKWARD)
@pytest.mark.parametrize("dtype", UNIT)
def test_the_backward_pass_drops_them_too(rung, dtype) -> None:
    """dV = (P ∘ M)ᵀ dO with uniform P and unit dO is the mask itself."""
    for shape in ((1, 1), (2, 3, 5, 7), (1, 70, 130), (1, 1, 3, 259), (1, 200, 33)):
        *lead, queries, keys = shape
        q, k = np.zeros((*lead, queries, 3), dtype), np.zeros((*lead, keys, 3), dtype)
        v = np.ones((*lead, keys, queries), dtype)
        grad = np.broadcast_to(np.eye(queries, dtype=dtype), (*lead, queries, queries))
        options = {"dropout_p": 0.6, "seed": 77}
        out, logsumexp = kernels.get("attention", "numpy")(q, k, v, **options)
        dv = kernels.get("attention_backward", rung)(grad, q, k, v, out, logsumexp, **options)[2]
        wanted = factors(shape, 0.6, 77).swapaxes(-1, -2)
        np.testing.assert_array_equal(dv > 0, wanted > 0)
        np.testing.assert_allclose(dv * keys, wanted, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", RUNGS)
def test_dropout_against_the_reference(rung, dtype, mask, causal, rng, poisoned) -> None:
    for size in (((2,), 2, 3, 5, 2), ((1, 2), 17, 17, 16, 16), ((1, 1), 70, 300, 4, 9)):
        q, k, v, grad = draw(rng, size, dtype)
        check(rung, q, k, v, grad, draw_mask(rng, mask, size, dtype), causal, 0.4, 2**40 + 3)


@pytest.mark.parametrize("rung", ["reference", *RUNGS])
def test_none_and_all(rung, rng) -> None:
    q, k, v, _ = draw(rng, ((2, 2), 9, 11, 4, 4), "float32")
    attention = kernels.get("attention", rung)
    out, logsumexp = attention(q, k, v)
    same, dropped = attention(q, k, v, dropout_p=0.0, seed=9), attention(q, k, v, dropout_p=1.0)
    np.testing.assert_array_equal(same[0], out)
    np.testing.assert_array_equal(dropped[0], 0)
    np.testing.assert_allclose(dropped[1], logsumexp, rtol=1e-6)
    with pytest.raises(ValueError, match="probability"):
        attention(q, k, v, dropout_p=1.5)


def test_the_share_that_is_kept() -> None:
    """Within five standard deviations of 1 - p, over all, and for every query and every key."""
    for p in (0.1, 0.5, 0.9):
        stays = kept((4, 500, 500), dropout_of(p, 123))
        deviation = np.sqrt(p * (1 - p))
        assert abs(stays.mean() - (1 - p)) < 5 * deviation / np.sqrt(stays.size)
        for axis in (0, 1, 2):
            others = tuple({0, 1, 2} - {axis})
            count = stays.size / stays.shape[axis]
            assert np.abs(stays.mean(axis=others) - (1 - p)).max() < 5 * deviation / np.sqrt(count)


def test_neighbours_heads_and_seeds_are_uncorrelated() -> None:
    a = kept((2, 300, 300), dropout_of(0.5, 1)) * 2.0 - 1
    b = kept((2, 300, 300), dropout_of(0.5, 2)) * 2.0 - 1
    c = kept((2, 300, 300), dropout_of(0.5, 1 + 2**32)) * 2.0 - 1
    pairs = [(a, b), (a, c), (a[0], a[1]), (a[:, 1:], a[:, :-1]), (a[..., 1:], a[..., :-1])]
    pairs += [(a[..., 4:], a[..., :-4]), (a[0], a[0].T)]
    for x, y in pairs:
        assert abs((x * y).mean()) < 5 / np.sqrt(x.size)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_shapes_groups_dropout(data) -> None:
    """Any shapes, groups of heads, masks and dropout, whole and cut into the smallest parts."""
    sizes = st.integers(1, 40)
    lead = tuple(data.draw(st.lists(st.integers(1, 3), max_size=3)))
    shared = tuple(data.draw(st.sampled_from((n, 1))) for n in lead)
    queries, keys, width, value_width = (data.draw(sizes) for _ in range(4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    dtype = data.draw(st.sampled_from(sorted(UNIT)))
    shapes = (
        (*lead, queries, width),
        (*shared, keys, width),
        (*shared, keys, value_width),
        (*lead, queries, value_width),
    )
    q, k, v, grad = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    mask = draw_mask(rng, data.draw(st.sampled_from(MASKS)), (lead, queries, keys, 0, 0), dtype)
    causal, p = data.draw(st.booleans()), data.draw(st.sampled_from((0.0, 0.25)))
    for rung in RUNGS:
        check(rung, q, k, v, grad, mask, causal, p, 11)
    piece = operands.PIECE
    operands.PIECE = 1
    try:
        check("parallel", q, k, v, grad, mask, causal, p, 11)
    finally:
        operands.PIECE = piece


def test_the_same_bits_on_any_number_of_threads(rng, monkeypatch) -> None:
    monkeypatch.setattr(operands, "PIECE", 1000)
    before = parallel.threads()
    for size in (((3, 4), 70, 90, 8, 8), ((1,), 300, 1100, 8, 4)):
        q, k, v, grad = draw(rng, size, "float32")
        options = {"is_causal": True, "dropout_p": 0.2, "seed": 5}
        found = []
        for number in (1, 2, 3):
            parallel.set_threads(number)
            out, logsumexp = kernels.get("attention", "parallel")(q, k, v, **options)
            backward = kernels.get("attention_backward", "parallel")
            found.append((out, logsumexp, *backward(grad, q, k, v, out, logsumexp, **options)))
        parallel.set_threads(before)
        for others in found[1:]:
            for x, y in zip(found[0], others):
                np.testing.assert_array_equal(x, y)
