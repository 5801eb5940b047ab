"""DataLoader against PyTorch's, and continuing in the middle of an epoch."""

import json

import numpy as np
import pytest
import torch
import torch.utils.data as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

import minigen
from minigen import Generator
from minigen.data import (
    ConcatDataset,
    DataLoader,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)


def seeded(seed=0):
    return Generator().manual_seed(seed)


def plain(value):
    """Tensors of either library as (dtype, nested list), lists and tuples as lists."""
    if isinstance(value, minigen.Tensor | torch.Tensor):
        return (str(value.dtype).split(".")[1], value.tolist())
    return [*map(plain, value)] if isinstance(value, list | tuple) else value


def both_datasets(n):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 10, n)
    ours = TensorDataset(minigen.from_numpy(x), minigen.from_numpy(y))
    return ours, oracle.TensorDataset(torch.from_numpy(x.copy()), torch.from_numpy(y.copy()))


@given(st.integers(0, 20), st.integers(1, 8), st.booleans())
def test_batches_in_order_as_pytorch(n, batch_size, drop_last):
    ours, theirs = (
        module.DataLoader(dataset, batch_size=batch_size, drop_last=drop_last)
        for module, dataset in zip((minigen.data, oracle), both_datasets(n))
    )
    assert len(ours) == len(theirs)
    assert [plain(b) for b in ours] == [plain(b) for b in theirs]
    assert [plain(b) for b in ours] == [plain(b) for b in theirs]  # and again


@given(st.lists(st.integers(0, 11), max_size=30), st.integers(1, 8), st.booleans())
def test_batches_of_a_sampler_as_pytorch(indices, batch_size, drop_last):
    options = {"batch_size": batch_size, "sampler": indices, "drop_last": drop_last}
    ours, theirs = both_datasets(12)
    ours, theirs = DataLoader(ours, **options), oracle.DataLoader(theirs, **options)
    assert len(ours) == len(theirs)
    assert [plain(b) for b in ours] == [plain(b) for b in theirs]


@pytest.mark.parametrize("dataset", [range(7), list("abcdefg"), np.arange(14.0).reshape(7, 2)])
def test_any_sequence_is_a_dataset(dataset):
    ours, theirs = DataLoader(dataset, 3), oracle.DataLoader(dataset, 3)
    assert [plain(b) for b in ours] == [plain(b) for b in theirs]


def test_shuffling_takes_each_item_once_in_a_new_order_every_epoch():
    loader = DataLoader(range(100), batch_size=7, shuffle=True, generator=seeded())
    epochs = [[i for batch in loader for i in batch.tolist()] for _ in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(100))
    assert len({tuple(e) for e in [*epochs, range(100)]}) == 4
    again = DataLoader(range(100), batch_size=7, shuffle=True, generator=seeded())
    assert [i for batch in again for i in batch.tolist()] == epochs[0]
    minigen.manual_seed(6)
    first = next(iter(DataLoader(range(100), 9, shuffle=True))).tolist()
    minigen.manual_seed(6)
    assert next(iter(DataLoader(range(100), 9, shuffle=True))).tolist() == first


def test_two_iterators_do_not_disturb_each_other():
    loader = DataLoader(range(10), batch_size=2, shuffle=True, generator=seeded(1))
    first, second = iter(loader), iter(loader)
    pairs = [(a.tolist(), b.tolist()) for a, b in zip(first, second, strict=True)]
    for side in zip(*pairs):
        assert sorted(i for batch in side for i in batch) == list(range(10))
    assert pairs[0][0] != pairs[0][1]


def test_collate_fn_receives_the_items():
    loader = DataLoader("abcde", 2, collate_fn="".join)
    assert list(loader) == ["ab", "cd", "e"]
    ours, _ = both_datasets(4)
    assert [type(b[0]) for b in DataLoader(ours, 2, collate_fn=list)] == [tuple, tuple]


class Counting(TensorDataset):
    """A subclass with items of its own: the fast path must leave it alone."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 1, y


@pytest.mark.parametrize("wrap", ["itself", "subset", "split", "subset of subset"])
def test_the_fast_path_gives_the_same_batches(wrap):
    dataset, _ = both_datasets(23)
    dataset = {
        "itself": lambda d: d,
        "subset": lambda d: Subset(d, [3, -1, 5, 5, 22, 0]),
        "split": lambda d: random_split(d, [13, 10], seeded())[0],
        "subset of subset": lambda d: Subset(Subset(d, range(20, 0, -1)), [1, 4, 0, 19]),
    }[wrap](dataset)

    def batches(**options):
        loader = DataLoader(dataset, 4, shuffle=True, generator=seeded(8), **options)
        return [plain(b) for b in loader]

    fast, slow = batches(), batches(collate_fn=lambda items: default_collate(items))
    assert fast == slow
    assert len(fast) == -(-len(dataset) // 4)


def test_the_fast_path_asks_for_no_single_item_and_copies(monkeypatch):
    dataset, _ = both_datasets(6)

    def collate_nothing(batch):
        raise AssertionError("an item was collated")

    monkeypatch.setattr("minigen.data.loader.default_collate", collate_nothing)
    for x, _ in DataLoader(Subset(Subset(dataset, range(5)), range(5)), 4):
        before = dataset.tensors[0].numpy().copy()
        x[...] = -1
        np.testing.assert_array_equal(dataset.tensors[0].numpy(), before)


def test_a_subclass_that_changes_items_is_asked_for_them():
    plain_dataset, _ = both_datasets(5)
    changed = Counting(*plain_dataset.tensors)
    for (x, _), (x_changed, _) in zip(DataLoader(plain_dataset, 2), DataLoader(changed, 2)):
        np.testing.assert_array_equal((x + 1).numpy(), x_changed.numpy())
    both = ConcatDataset([plain_dataset, changed])
    assert [len(x) for x, _ in DataLoader(both, 4)] == [4, 4, 2]


# --------------------------------------------------------------------------------- continuing


class Backwards:
    """A sampler minigen knows nothing about, with a state of its own."""

    def __init__(self):
        self.epochs = 0

    def __iter__(self):
        self.epochs += 1
        return iter([(i * (2 * self.epochs + 1)) % 16 for i in reversed(range(16))])

    def __len__(self):
        return 16


KINDS = {
    "in order": lambda: {},
    "shuffled": lambda: {"shuffle": True, "generator": seeded(3)},
    "replacement": lambda: {"sampler": RandomSampler(range(16), True, 21, generator=seeded(3))},
    "subset": lambda: {"sampler": SubsetRandomSampler([1, 3, 9, 4], generator=seeded(3))},
    "weighted": lambda: {"sampler": WeightedRandomSampler(np.arange(16), 20, generator=seeded(3))},
}


def walk(loader, count):
    """The next `count` batches, epoch after epoch; every epoch but a resumed one has some."""
    batches: list = []
    for _ in range(count + 1):
        for batch in loader:
            batches.append(plain(batch))
            if len(batches) == count:
                return batches
    return batches


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=30)
@given(before=st.integers(0, 14), drop_last=st.booleans(), batch_size=st.integers(1, 5))
def test_a_run_continues_with_the_batches_that_would_have_come(kind, before, drop_last, batch_size):
    def make():
        options = {"batch_size": batch_size, "drop_last": drop_last, **KINDS[kind]()}
        return DataLoader(range(16), **options)

    if len(make()) == 0:
        return
    whole = walk(make(), before + 25)
    stopped = make()
    first = walk(stopped, before) if before else []
    state = json.loads(json.dumps(stopped.state_dict()))
    resumed = make()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == stopped.state_dict()
    assert first + walk(resumed, 25) == whole


def test_a_run_continues_when_the_default_generator_is_saved_and_used_meanwhile():
    def step(batch):
        return batch.tolist(), minigen.default_generator.stream.random()

    def make():
        return DataLoader(range(10), 2, shuffle=True)

    minigen.manual_seed(11)
    loader, whole = make(), []
    for _ in range(3):
        for batch in loader:
            whole.append(step(batch))
            if len(whole) == 8:
                state, stream = loader.state_dict(), minigen.default_generator.state
    assert state["position"] == 3
    minigen.manual_seed(99)
    resumed = make()
    resumed.load_state_dict(state)
    minigen.default_generator.state = stream
    rest = [step(batch) for _ in range(2) for batch in resumed]
    assert rest == whole[8:]


def test_the_order_of_an_unknown_sampler_is_saved_as_it_is():
    stopped = DataLoader(range(16), 3, sampler=Backwards())
    batches = iter(stopped)
    first = [next(batches).tolist() for _ in range(2)]
    state = json.loads(json.dumps(stopped.state_dict()))
    rest = [b.tolist() for b in batches]
    resumed = DataLoader(range(16), 3, sampler=Backwards())
    resumed.load_state_dict(state)
    assert [b.tolist() for b in resumed] == rest
    assert sorted(i for batch in first + rest for i in batch) == list(range(16))


def test_a_seed_stands_for_the_order_however_long():
    loader = DataLoader(range(100_000), 32, shuffle=True, generator=seeded())
    next(iter(loader))
    assert len(json.dumps(loader.state_dict())) < 600


def test_a_finished_epoch_is_counted_and_the_next_one_begins():
    loader = DataLoader(range(6), 2, shuffle=True, generator=seeded())
    for _ in loader:
        assert loader.epoch == (1 if loader.state_dict()["position"] == 0 else 0)
    state = loader.state_dict()
    assert (state["epoch"], state["position"], state["seed"]) == (1, 0, None)
    upcoming = [b.tolist() for b in loader]
    resumed = DataLoader(range(6), 2, shuffle=True, generator=seeded(5))
    resumed.load_state_dict(state)
    assert [b.tolist() for b in resumed] == upcoming
    assert resumed.epoch == 2


def test_breaking_off_begins_a_new_epoch_next_time():
    loader = DataLoader(range(6), 2)
    for batch in loader:
        assert batch.tolist() == [0, 1]
        break
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4, 5]]
    assert loader.epoch == 1


def test_a_batch_that_fails_is_not_counted():
    class Fragile(list):
        broken = True

        def __getitem__(self, index):
            if index == 3 and self.broken:
                raise OSError("disk")
            return super().__getitem__(index)

    dataset = Fragile(range(6))
    loader = DataLoader(dataset, 2)
    batches = iter(loader)
    next(batches)
    with pytest.raises(OSError, match="disk"):
        next(batches)
    assert loader.state_dict()["position"] == 1
    dataset.broken = False
    assert next(batches).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 3}, "batch_size is 3 here and was 2"),
        ({"drop_last": True}, "drop_last is True here and was False"),
        ({"dataset": range(9)}, "samples is 9 here and was 8"),
        ({"shuffle": False}, "order is SequentialSampler here and was RandomSampler"),
        ({"generator": None}, "a generator of its own"),
    ],
)
def test_a_state_of_another_loader_is_refused(options, message):
    made = {"dataset": range(8), "batch_size": 2, "shuffle": True, "generator": seeded()}
    state = DataLoader(**made).state_dict()
    with pytest.raises(ValueError, match=message):
        DataLoader(**{**made, **options}).load_state_dict(state)


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": -1},
        {"batch_size": 2, "shuffle": True, "sampler": [0]},
    ],
)
def test_refused_as_by_pytorch(options):
    with pytest.raises(ValueError, match=r"batch_size|shuffle"):
        oracle.DataLoader(range(4), **options)
    with pytest.raises(ValueError, match="DataLoader: "):
        DataLoader(range(4), **options)


def test_more_that_is_refused():
    with pytest.raises(ValueError, match="shuffle is True or False, not 'yes'"):
        DataLoader(range(4), shuffle="yes")
    for size in (1.5, True, "4", None):
        with pytest.raises(ValueError, match="batch_size must be a positive integer"):
            DataLoader(range(4), batch_size=size)
    with pytest.raises(TypeError, match=r"len\(dataset\) and dataset\[i\]; generator has not"):
        DataLoader(i for i in range(4))
    with pytest.raises(TypeError, match="the sampler must have a length"):
        DataLoader(range(4), sampler=iter([0]))
    with pytest.raises(TypeError, match=r"must be a minigen\.Generator"):
        DataLoader(range(4), generator=3)
    with pytest.raises(ValueError, match="num_samples must be a positive integer, not 0"):
        DataLoader([], shuffle=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_workers", 4), ("pin_memory", True), ("timeout", 1.0)],
)
def test_what_is_not_offered_is_an_error_that_says_so(name, value):
    with pytest.raises(TypeError, match=f"{name}=.* is not offered"):
        DataLoader(range(4), **{name: value})


def test_asking_for_nothing_is_allowed():
    loader = DataLoader(range(4), 2, num_workers=0, pin_memory=False, persistent_workers=False)
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3]]


def test_an_argument_that_does_not_exist_is_an_error():
    with pytest.raises(TypeError, match="no argument 'batchsize'"):
        DataLoader(range(4), batchsize=3)
