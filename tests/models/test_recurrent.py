"""The recurrent language model: its size, and that it writes as it reads.  That ten steps of
training equal torch's is in tests/benchmarks/test_twins.py."""

from __future__ import annotations

import numpy as np
import pytest

import minigen
from minigen import Generator
from minigen.models.recurrent import RNN, RNNConfig


def test_size() -> None:
    assert sum(p.numel() for p in RNN(RNNConfig(vocabulary=94)).parameters()) == 359_902


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_writing_from_the_state_equals_reading_everything_anew(cell: str) -> None:
    model = RNN(RNNConfig(vocabulary=11, cell=cell, embedding=5, hidden=7, layers=2))
    ids = minigen.tensor([[1, 2, 3], [4, 5, 6]])
    written = model.generate(ids, 6, temperature=0)
    assert written.shape == (2, 9)
    for _ in range(6):
        with minigen.no_grad():
            logits, _ = model(ids)
        ids = minigen.cat([ids, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    np.testing.assert_array_equal(written.numpy(), ids.numpy())


def test_writing_follows_the_seed_and_leaves_the_model_in_training() -> None:
    model = RNN(RNNConfig(vocabulary=30, embedding=5, hidden=7))
    ids = minigen.tensor([[1]])
    first, again, other = (
        model.generate(ids, 20, generator=Generator().manual_seed(s)).numpy() for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert model.training


def test_rejected() -> None:
    with pytest.raises(ValueError, match="'lstm' or 'gru'"):
        RNNConfig(cell="elman")
