"""Padding and packing against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.nn.utils import rnn
from tests.expressions import both_reject, same
from tests.oracle import close

rng = np.random.default_rng(4)
U = "m.nn.utils.rnn"


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def assert_equal(ours: Any, theirs: Any) -> None:
    """Equal tensors in equally nested tuples and lists; None only where torch has it."""
    if isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert_equal(a, b)
    elif theirs is None:
        assert ours is None
    else:
        close(ours, theirs, 0, "tensor")


# ------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "shapes", [[(2,), (3,), (1,)], [(2, 3)], [(1, 2, 2), (4, 2, 2)], [(0, 2), (2, 2)], [(0,), (0,)]]
)
def test_pad_sequence(shapes: list, side: str, batch_first: bool) -> None:
    options = f"batch_first={batch_first}, padding_value=-1.5, padding_side={side!r}"
    same(f"{U}.pad_sequence(x, {options})", [normal(*shape) for shape in shapes])


def test_pad_sequence_of_other_types() -> None:
    a, b = np.array([1, 2]), np.array([1.5, 2.5, 3.5])
    for parts in ([a, b], [b, a], [a, a]):
        options = {"padding_value": 1.5}
        ours = rnn.pad_sequence([minigen.from_numpy(p) for p in parts], **options)
        theirs = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(p) for p in parts], **options)
        assert_equal(ours, theirs)
    x = normal(2, 3)
    assert_equal(
        rnn.pad_sequence(minigen.from_numpy(x)), torch.nn.utils.rnn.pad_sequence(torch.tensor(x))
    )


@pytest.mark.parametrize("batch_first", [False, True])
def test_unpad_sequence(batch_first: bool) -> None:
    x, lengths = normal(3, 3, 2), np.array([2, 0, 3])
    same(f"{U}.unpad_sequence(x.clone(), y, {batch_first})", x, lengths)
    same(f"{U}.unpad_sequence(x.clone(), y, {batch_first})", x, np.array([-1, 9, 1]))
    padded = minigen.from_numpy(normal(3, 2))
    rnn.unpad_sequence(padded, [1, 2])
    assert padded.shape == (3, 2)


# ------------------------------------------------------------------------------------- packing

BATCHES = [([3, 2, 1], True), ([1, 3, 2, 3], False), ([2, 2], True), ([1], False), ([4, 4], False)]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rest", [(), (2,), (2, 3)])
@pytest.mark.parametrize(("lengths", "enforce"), BATCHES)
def test_pack_and_pad_again(lengths: list, enforce: bool, rest: tuple, batch_first: bool) -> None:
    lead = (len(lengths), max(lengths) + 1) if batch_first else (max(lengths) + 1, len(lengths))
    x = normal(*lead, *rest)
    pack = f"{U}.pack_padded_sequence(x, {lengths}, {batch_first}, {enforce})"
    same(f"{pack}.data", x)
    for options in ("", f"batch_first={not batch_first}, padding_value=2.5, total_length=6"):
        same(f"{U}.pad_packed_sequence({pack}, {options})[0]", x)
    both = []
    for module in (minigen, torch):
        packed = module.nn.utils.rnn.pack_padded_sequence(
            module.from_numpy(x), module.tensor(lengths), batch_first, enforce
        )
        lengths_again = module.nn.utils.rnn.pad_packed_sequence(packed)[1]
        both.append((tuple(packed), lengths_again, module.nn.utils.rnn.unpack_sequence(packed)))
    assert_equal(*both)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 3))
def test_sequences_survive_packing(lengths: list, features: int) -> None:
    parts = [normal(n, features) for n in lengths]
    ours = rnn.pack_sequence([minigen.from_numpy(p) for p in parts], enforce_sorted=False)
    theirs = torch.nn.utils.rnn.pack_sequence(
        [torch.from_numpy(p) for p in parts], enforce_sorted=False
    )
    assert_equal(tuple(ours), tuple(theirs))
    for again, part in zip(rnn.unpack_sequence(ours), parts):
        np.testing.assert_array_equal(again.numpy(), part)


def test_packed_sequence() -> None:
    packed = rnn.pack_sequence([minigen.ones(1), minigen.ones(2)], enforce_sorted=False)
    assert packed._fields == ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
    assert packed.float() is packed
    assert packed.cpu() is packed
    assert not packed.is_cuda
    for name in ("double", "half", "long", "int", "short", "char", "byte"):
        theirs = torch.nn.utils.rnn.pack_sequence([torch.ones(1), torch.ones(2)], False)
        ours = getattr(packed, name)()
        assert isinstance(ours, rnn.PackedSequence)
        assert_equal(tuple(ours), tuple(getattr(theirs, name)()))
    data, sizes, order = minigen.ones(3), minigen.tensor([2, 1]), minigen.tensor([1, 0])
    assert rnn.PackedSequence((data, sizes)).batch_sizes is sizes
    assert rnn.PackedSequence(data, sizes, order).unsorted_indices.tolist() == [1, 0]
    assert rnn.invert_permutation(None) is None
    with pytest.raises(AssertionError, match="a pair of both"):
        rnn.PackedSequence(data)


REJECTED = {
    f"{U}.pack_padded_sequence(m.zeros(3, 2), [3])": "as many lengths as sequences",
    f"{U}.pack_padded_sequence(m.zeros(3, 0), [])": "nothing to pack",
    f"{U}.pack_padded_sequence(m.zeros(3, 2), [3, 0])": "greater than 0",
    f"{U}.pack_padded_sequence(m.zeros(0, 2), [0, 0])": "nothing to pack",
    f"{U}.pack_padded_sequence(m.zeros(3, 2), [1, 3])": "enforce_sorted=False",
    f"{U}.pack_padded_sequence(m.zeros(3), [1])": "longest, batch",
    f"{U}.pack_padded_sequence(m.zeros(3, 2), m.tensor([[3, 1]]))": "1-dimensional",
    f"{U}.pad_sequence([])": "empty list",
    f"{U}.pad_sequence(3)": "expects a list of tensors, got int",
    f"{U}.pad_sequence([m.tensor(1.0)])": "sequences are",
    f"{U}.pad_sequence([m.zeros(1, 2), m.zeros(2, 3)])": r"\(1, 2\) and \(2, 3\)",
    f"{U}.pad_sequence([m.zeros(1)], padding_side='up')": "'left' or 'right', got 'up'",
    f"{U}.pack_sequence([])": "empty list",
    f"{U}.pack_sequence([m.ones(1), m.ones(2)])": "enforce_sorted=False",
    f"{U}.unpad_sequence(m.ones(3, 2), m.tensor([1]))": "1 lengths for a batch of 2",
    f"{U}.pad_packed_sequence({U}.pack_sequence([m.ones(2)]), total_length=1)": "total_length 1",
}


@pytest.mark.parametrize("expression", REJECTED)
def test_rejected(expression: str) -> None:
    with pytest.raises(Exception, match=REJECTED[expression]):
        raise both_reject(expression)


def test_lengths_beyond_the_padded_batch_are_rejected() -> None:
    """torch makes a PackedSequence with too little data of them."""
    with pytest.raises(ValueError, match="only 3 long"):
        rnn.pack_padded_sequence(minigen.zeros(3, 2), [4, 1])
