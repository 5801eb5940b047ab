"""Datasets, against PyTorch's own where it says what should happen."""

import warnings

import numpy as np
import pytest
import torch
import torch.utils.data as oracle
from hypothesis import given
from hypothesis import strategies as st

import minigen
from minigen import Generator
from minigen.data import ConcatDataset, Dataset, Subset, TensorDataset, random_split


def seeded(seed):
    return Generator().manual_seed(seed)


def test_a_dataset_of_ones_own():
    class Letters(Dataset[str]):
        def __getitem__(self, index):
            return "abc"[index]

        def __len__(self):
            return 3

    assert list(Letters()) == ["a", "b", "c"]
    both = Letters() + Letters()
    assert isinstance(both, ConcatDataset)
    assert "".join(both) == "abcabc"
    with pytest.raises(NotImplementedError, match="Dataset must define __getitem__"):
        Dataset()[0]


def test_tensor_dataset_items_are_rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2, 3)), rng.integers(0, 9, 5)
    dataset = TensorDataset(minigen.from_numpy(x), minigen.from_numpy(y))
    assert len(dataset) == 5
    for i in (0, 4, -1):
        row, label = dataset[i]
        np.testing.assert_array_equal(row.numpy(), x[i])
        assert (label.item(), label.shape) == (y[i], ())
    assert len(list(dataset)) == 5
    with pytest.raises(IndexError):
        dataset[5]


def test_what_is_no_tensor_dataset():
    with pytest.raises(ValueError, match="at least one tensor"):
        TensorDataset()
    with pytest.raises(TypeError, match=r"argument 1 is ndarray, not a tensor; .*from_numpy"):
        TensorDataset(minigen.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="argument 0 has no dimension"):
        TensorDataset(minigen.tensor(1.0))
    with pytest.raises(ValueError, match="the same length; their first dimensions are 3, 3, 2"):
        TensorDataset(minigen.zeros(3), minigen.zeros(3, 1), minigen.zeros(2))


@given(st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=5))
def test_concatenation(parts):
    ours, theirs = ConcatDataset(parts), oracle.ConcatDataset(parts)
    assert len(ours) == len(theirs)
    assert ours.cumulative_sizes == theirs.cumulative_sizes
    n = len(ours)
    assert [ours[i] for i in range(-n, n)] == [theirs[i] for i in range(-n, n)]
    assert list(ours) == [item for part in parts for item in part]
    for i in (n, -n - 1):
        with pytest.raises(IndexError, match=f"index {i} is outside a length of {n}"):
            ours[i]


def test_nothing_to_concatenate():
    with pytest.raises(ValueError, match="at least one dataset"):
        ConcatDataset([])


def test_a_subset_of_a_subset():
    outer = Subset(Subset("abcdef", [5, 3, 1, 0]), [2, 0])
    assert len(outer) == 2
    assert list(outer) == ["b", "f"]
    assert outer[-1] == "f"


@given(
    st.integers(1, 200),
    st.lists(st.integers(1, 20), min_size=1, max_size=6),
    st.integers(0, 2**40),
)
def test_fractions_give_pytorchs_sizes_and_each_item_once(count, weights, seed):
    fractions = [w / sum(weights) for w in weights]
    if sum(fractions) > 1:  # rounding; PyTorch then takes them for sizes
        fractions[0] -= sum(fractions) - 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty parts
        ours = random_split(range(count), fractions, seeded(seed))
        theirs = oracle.random_split(range(count), fractions)
    assert [len(part) for part in ours] == [len(part) for part in theirs]
    assert sorted(i for part in ours for i in part) == list(range(count))


def test_the_same_seed_gives_the_same_parts_and_another_other_ones():
    first, again, other = (
        [list(p) for p in random_split(range(100), [60, 30, 10], seeded(s))] for s in (1, 1, 2)
    )
    assert [len(p) for p in first] == [60, 30, 10]
    assert first == again
    assert first != other
    assert first[0] != sorted(first[0])


def test_without_a_generator_the_default_one_decides():
    minigen.manual_seed(3)
    first = random_split(range(50), [0.5, 0.5])[0].indices
    assert random_split(range(50), [0.5, 0.5])[0].indices != first
    minigen.manual_seed(3)
    assert random_split(range(50), [0.5, 0.5])[0].indices == first


@pytest.mark.parametrize("lengths", [[3, 3], [6, 5], [11, -1], [], [0.5, 0.6], [1.2, -0.2]])
def test_sizes_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ValueError, match="random_split: "):
        random_split(range(10), lengths)


@pytest.mark.parametrize("lengths", [[3, 3], [6, 5], [], [1.2, -0.2]])
def test_pytorch_refuses_them_too(lengths):
    with pytest.raises(ValueError, match=r"Sum of input lengths|between 0 and 1"):
        oracle.random_split(range(10), lengths)


def test_an_empty_part_is_warned_of():
    with pytest.warns(UserWarning, match="part 1 is empty") as caught:
        parts = random_split(range(3), [0.9, 0.1])
    assert [len(p) for p in parts] == [3, 0]
    assert caught[0].filename == __file__


def test_a_generator_of_another_kind_is_refused():
    for wrong in (7, np.random.default_rng(0), torch.Generator()):
        with pytest.raises(TypeError, match=r"must be a minigen\.Generator"):
            random_split(range(4), [2, 2], wrong)
