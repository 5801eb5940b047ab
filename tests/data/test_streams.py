"""Streams and batch samplers beside torch's, and continuing in the middle of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch.utils.data as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen.utils import data


def counting(library: Any) -> Any:
    class Counting(library.IterableDataset):
        def __init__(self, n: int, sized: bool = True) -> None:
            self.n = n
            if sized:
                self.__class__ = Sized

        def __iter__(self) -> Any:
            assert library.get_worker_info() is None
            return iter(range(self.n))

    class Sized(Counting):
        def __len__(self) -> int:
            return self.n

    return Counting


def batches(loader: Any) -> list:
    return [batch.tolist() for batch in loader]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 9), m=st.integers(0, 3), size=st.integers(1, 5), drop=st.booleans())
def test_streams_are_those_of_torch(n: int, m: int, size: int, drop: bool) -> None:
    found = []
    for library in (data, oracle):
        stream = counting(library)(n) + counting(library)(m)
        assert type(stream) is library.ChainDataset
        loader = library.DataLoader(stream, batch_size=size, drop_last=drop)
        found.append((list(stream), len(stream), len(loader), batches(loader), batches(loader)))
    assert found[0] == found[1]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 9), size=st.integers(1, 5), drop=st.booleans(), at=st.integers(0, 9))
def test_a_stream_goes_on_where_it_was(n: int, size: int, drop: bool, at: int) -> None:
    def loader() -> Any:
        return data.DataLoader(counting(data)(n, sized=False), size, drop_last=drop)

    whole = batches(loader())
    first = loader()
    rows = iter(first)
    taken = [next(rows).tolist() for _ in range(min(at, len(whole)))]
    state = json.loads(json.dumps(first.state_dict()))
    second = loader()
    second.load_state_dict(state)
    rest = batches(second)
    over = first._current.is_over  # known when a batch was not full
    assert rest == whole if over else taken + rest == whole
    assert batches(second) == whole, "the next epoch is a whole one"


def test_epochs_of_a_stream_are_counted() -> None:
    loader = data.DataLoader(counting(data)(5), batch_size=2)
    for expected in (1, 2):
        batches(loader)
        assert loader.epoch == expected


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 9), size=st.integers(1, 5), drop=st.booleans())
def test_batch_samplers_are_those_of_torch(n: int, size: int, drop: bool) -> None:
    found = []
    for library in (data, oracle):
        sampler = library.BatchSampler(library.SequentialSampler(range(n)), size, drop)
        loader = library.DataLoader(list(range(n)), batch_sampler=sampler)
        found.append((list(sampler), len(sampler), len(loader), batches(loader)))
        assert loader.batch_size is None
    assert found[0] == found[1]


@pytest.mark.parametrize("own_generator", [True, False])
def test_random_batches_go_on(own_generator: bool) -> None:
    def loader(seed: int) -> Any:
        generator = minigen.Generator().manual_seed(seed) if own_generator else None
        minigen.manual_seed(seed)
        sampler = data.RandomSampler(range(10), generator=generator)
        dataset = data.TensorDataset(minigen.arange(10))
        return data.DataLoader(dataset, batch_sampler=data.BatchSampler(sampler, 3, False))

    def values(batches: Any) -> list:
        return [batch[0].tolist() for batch in batches]

    whole = loader(0)
    expected = [values(whole), values(whole)]
    assert sorted(i for batch in expected[0] for i in batch) == list(range(10))
    assert expected[0] != expected[1]
    first = loader(0)
    rows = iter(first)
    taken = values([next(rows), next(rows)])
    state = json.loads(json.dumps(first.state_dict()))
    second = loader(9)
    second.load_state_dict(state)
    assert taken + values(second) == expected[0]
    if own_generator:
        assert values(second) == expected[1]


def test_lists_of_batches_serve_as_a_batch_sampler() -> None:
    for library in (data, oracle):
        loader = library.DataLoader("abc", batch_sampler=[[2, 0], [1, 1, 1]])
        assert len(loader) == 2
        assert list(loader) == list(loader) == [["c", "a"], ["b", "b", "b"]]


def test_what_is_rejected() -> None:
    for library in (data, oracle):
        stream = counting(library)(4, sized=False)
        sampler = library.BatchSampler([0, 1], 2, False)
        for options in (
            {"shuffle": True}, {"sampler": [0]}, {"batch_sampler": sampler},
        ):  # fmt: skip
            with pytest.raises(ValueError):
                library.DataLoader(stream, **options)
        for options in (
            {"batch_size": 2}, {"shuffle": True}, {"sampler": [0, 1]}, {"drop_last": True},
        ):  # fmt: skip
            with pytest.raises(ValueError):
                library.DataLoader([1, 2], batch_sampler=sampler, **options)
        for size in (0, -1, 1.5, True):
            with pytest.raises(ValueError):
                library.BatchSampler([0], size, False)
        with pytest.raises(ValueError):
            library.BatchSampler([0], 1, "no")
        with pytest.raises(TypeError):
            len(library.DataLoader(stream))
        with pytest.raises((TypeError, AssertionError)):
            list(library.ChainDataset([[1, 2]]))
        with pytest.raises((TypeError, AssertionError)):
            len(library.ChainDataset([[1, 2]]))
        with pytest.raises((NotImplementedError, TypeError)):
            iter(library.IterableDataset())


def test_a_state_of_another_kind_is_rejected() -> None:
    stream = data.DataLoader(counting(data)(4))
    plain = data.DataLoader([0, 1, 2, 3])
    batched = data.DataLoader([0, 1, 2, 3], batch_sampler=[[0], [1]])
    for a, b in ((stream, plain), (plain, batched), (batched, stream)):
        with pytest.raises(ValueError, match="order is"):
            a.load_state_dict(b.state_dict())
