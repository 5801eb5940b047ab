"""The random state as bytes: numbers come again, in every kind of draw."""

from __future__ import annotations

import pytest
import torch

import minigen


def draws() -> list:
    """An odd number of 32-bit draws, so that half of a 64-bit number is left over."""
    return [
        minigen.rand(3).tolist(), minigen.randint(0, 5, (3,)).tolist(), minigen.randn(2).tolist(),
        minigen.randperm(5).tolist(),
    ]  # fmt: skip


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_state_brings_the_numbers_again(before: int) -> None:
    minigen.manual_seed(before)
    for _ in range(before):
        minigen.default_generator.stream.integers(0, 100, dtype="uint32")
    state = minigen.get_rng_state()
    assert state.dtype == minigen.uint8
    assert state.shape == minigen.get_rng_state().shape
    expected = draws()
    assert draws() != expected
    minigen.set_rng_state(state)
    assert draws() == expected
    other = minigen.default_generator.state
    minigen.set_rng_state(state.clone())
    assert minigen.default_generator.state != other


def test_the_left_over_half_is_kept() -> None:
    stream = minigen.default_generator.stream
    minigen.manual_seed(5)
    stream = minigen.default_generator.stream
    stream.integers(0, 2**32, dtype="uint32")
    assert minigen.default_generator.state["has_uint32"] == 1
    state = minigen.get_rng_state()
    expected = [int(stream.integers(0, 2**32, dtype="uint32")) for _ in range(3)]
    minigen.set_rng_state(state)
    assert [int(stream.integers(0, 2**32, dtype="uint32")) for _ in range(3)] == expected


def test_seed_is_another_each_time() -> None:
    first, a = minigen.seed(), minigen.rand(3).tolist()
    second, b = minigen.seed(), minigen.rand(3).tolist()
    assert first != second
    assert a != b
    assert minigen.initial_seed() == second
    minigen.manual_seed(first)
    assert minigen.rand(3).tolist() == a


def test_errors() -> None:
    for wrong in (minigen.zeros(37), 3, [1, 2]):
        with pytest.raises(TypeError, match="uint8 tensor"):
            minigen.set_rng_state(wrong)  # type: ignore[arg-type]
    theirs = minigen.from_numpy(torch.get_rng_state().numpy())
    with pytest.raises(ValueError, match="expects 37 bytes"):
        minigen.set_rng_state(theirs)
