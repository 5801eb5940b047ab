import numpy as np
import pytest
import torch.utils.data as oracle
from hypothesis import given
from hypothesis import strategies as st

import minigen
from minigen import Generator
from minigen.data import (
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(seed=0):
    return Generator().manual_seed(seed)


RANDOM = [
    lambda g: RandomSampler(range(50), generator=g),
    lambda g: RandomSampler(range(50), replacement=True, generator=g),
    lambda g: SubsetRandomSampler(range(10, 60), generator=g),
    lambda g: WeightedRandomSampler(np.arange(50), 50, generator=g),
    lambda g: WeightedRandomSampler(np.arange(1, 51), 50, replacement=False, generator=g),
]


@pytest.mark.parametrize("make", RANDOM)
def test_the_seed_decides_and_every_epoch_differs(make):
    sampler, again = make(seeded(4)), make(seeded(4))
    epochs = [list(sampler) for _ in range(3)]
    assert epochs == [list(again) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert list(make(seeded(5))) != epochs[0]
    assert all(type(i) is int for i in epochs[0])
    assert [len(e) for e in epochs] == [len(sampler)] * 3


@pytest.mark.parametrize("make", RANDOM)
def test_without_a_generator_the_default_one_decides(make):
    minigen.manual_seed(1)
    first = list(make(None))
    minigen.manual_seed(1)
    assert list(make(None)) == first


@given(st.integers(1, 30), st.one_of(st.none(), st.integers(1, 100)), st.booleans())
def test_random_sampler_covers_what_pytorchs_covers(n, num_samples, replacement):
    ours = RandomSampler(range(n), replacement, num_samples, seeded())
    theirs = oracle.RandomSampler(range(n), replacement, num_samples)
    order = list(ours)
    assert len(order) == len(ours) == len(theirs)
    assert set(order) <= set(range(n))
    if not replacement:
        for start in range(0, len(order), n):
            block = order[start : start + n]
            assert len(set(block)) == len(block)


def test_every_order_is_as_likely():
    sampler = RandomSampler(range(3), generator=seeded(0))
    orders, counts = np.unique([list(sampler) for _ in range(6000)], axis=0, return_counts=True)
    assert len(orders) == 6
    assert np.abs(counts - 1000).max() < 130  # 4.5 standard deviations


def test_weights_are_respected():
    sampler = WeightedRandomSampler([1, 0, 3, 6], 20_000, generator=seeded(0))
    frequencies = np.bincount(list(sampler), minlength=4) / 20_000
    np.testing.assert_allclose(frequencies, [0.1, 0, 0.3, 0.6], atol=0.016)
    once = WeightedRandomSampler(range(51), 50, replacement=False, generator=seeded(0))
    assert sorted(once) == list(range(1, 51))


def test_weights_may_be_a_tensor():
    assert set(WeightedRandomSampler(minigen.tensor([0.0, 2.0]), 9)) == {1}


def test_subset_random_sampler_takes_its_indices():
    indices = [7, 3, 3, 11]
    order = list(SubsetRandomSampler(indices, seeded()))
    assert sorted(order) == sorted(indices)


def test_sequential():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert len(SequentialSampler("abc")) == 3


def test_what_is_refused():
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        iter(Sampler())
    with pytest.raises(TypeError, match=r"RandomSampler: generator must be a minigen\.Generator"):
        RandomSampler(range(3), generator=0)
    for n in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="num_samples must be a positive integer"):
            RandomSampler(range(3), num_samples=n)
        with pytest.raises(ValueError, match="num_samples must be a positive integer"):
            WeightedRandomSampler([1.0], n)
    with pytest.raises(ValueError, match="num_samples must be a positive integer, not 0"):
        RandomSampler([])
    with pytest.raises(ValueError, match="replacement is True or False"):
        RandomSampler(range(3), replacement=1)
    for weights in ([[1.0]], [0.0], [-1.0, 2.0], [np.nan], [np.inf], []):
        with pytest.raises(ValueError, match="weights must be one row"):
            WeightedRandomSampler(weights, 1)
    with pytest.raises(ValueError, match="3 different indices from 2 with a positive weight"):
        WeightedRandomSampler([1.0, 0.0, 1.0], 3, replacement=False)
