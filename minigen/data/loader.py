"""DataLoader: batches of a dataset, in order or shuffled, that can be continued after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from minigen.data.collate import default_collate
from minigen.data.dataset import IterableDataset, Subset, TensorDataset
from minigen.data.sampler import (
    RandomSampler,
    SeededSampler,
    SequentialSampler,
    checked_generator,
)
from minigen.random import Generator

# What PyTorch's DataLoader has besides, with the value that asks for nothing. Batches are made in
# this process and with one fancy index where possible, so these would have nothing to do.
_NOT_OFFERED: dict[str, Any] = {
    "num_workers": 0,
    "pin_memory": False,
    "timeout": 0,
    "worker_init_fn": None,
    "multiprocessing_context": None,
    "prefetch_factor": None,
    "persistent_workers": False,
    "pin_memory_device": "",
    "in_order": True,
}


class DataLoader:
    """Iterate over a dataset in batches; every `for` is one epoch.

    dataset: anything with `len(dataset)` and `dataset[i]`, or an `IterableDataset`, whose items are
    taken as they come. batch_size: items in a batch; the last one is smaller if need be, or left
    out with `drop_last`. shuffle: a new random order for every epoch. sampler: the indices of an
    epoch, instead of shuffle. batch_sampler: the lists of indices of its batches, instead of all
    of these. collate_fn: makes a batch of a list of items, `default_collate` if None. generator:
    where the random order comes from, minigen's default one if None.

    `state_dict()` at any moment, also in the middle of an epoch, and `load_state_dict` on a loader
    made alike continue with the very batches that would have come next. (A stream is gone through
    from its start for it, and what came before is thrown away.)

    Raises ValueError for a batch size that is no positive integer, for shuffle together with a
    sampler, for either with a stream, and for any of these with a batch_sampler; TypeError for a
    dataset without a length, a generator of another kind, or an argument of PyTorch's that minigen
    does not offer (`num_workers=4`, say: batches are made in this process).

    >>> import minigen
    >>> dataset = TensorDataset(minigen.arange(5), minigen.arange(5) * 10)
    >>> for x, y in DataLoader(dataset, batch_size=2):
    ...     print(x, y)
    tensor([0, 1]) tensor([ 0, 10])
    tensor([2, 3]) tensor([20, 30])
    tensor([4]) tensor([40])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool | None = False,
        sampler: Any = None,
        batch_sampler: Any = None,
        *,
        drop_last: bool = False,
        collate_fn: Callable[[list], Any] | None = None,
        generator: Generator | None = None,
        **not_offered: Any,
    ) -> None:
        _refuse(not_offered)
        stream = isinstance(dataset, IterableDataset)
        if stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: the items of an IterableDataset come in its own order, so shuffle, "
                "sampler and batch_sampler must be left out"
            )
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler or drop_last):
            raise ValueError(
                "DataLoader: a batch_sampler decides everything, so batch_size, shuffle, sampler "
                "and drop_last must be left out"
            )
        if stream:
            pass
        elif not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(
                "DataLoader: the dataset must have a length and items, len(dataset) and dataset[i];"
                f" {type(dataset).__name__} has not"
            )
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"DataLoader: batch_size must be a positive integer, not {batch_size!r}"
            )
        if shuffle not in (False, True, None):
            raise ValueError(f"DataLoader: shuffle is True or False, not {shuffle!r}")
        if shuffle and sampler is not None:
            raise ValueError("DataLoader: a sampler decides the order, so shuffle must be False")
        if sampler is not None and not hasattr(sampler, "__len__"):
            raise TypeError("DataLoader: the sampler must have a length, that of an epoch")
        self.generator = checked_generator("DataLoader", generator)
        if shuffle:
            sampler = RandomSampler(dataset, generator=generator)
        elif sampler is None and not stream:
            sampler = SequentialSampler(dataset)
        self.dataset = dataset
        self.batch_size = None if batch_sampler is not None else batch_size
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.drop_last = bool(drop_last)
        self.collate_fn = collate_fn or default_collate
        self.epoch = 0  # how many have been gone through to the end
        self._current: _Epoch | _Stream | None = None
        self._resumed = False

    def __len__(self) -> int:
        """How many batches an epoch has.  Raises TypeError for a stream without a length."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        items = self.dataset if self.sampler is None else self.sampler
        return _batches(len(items), self.batch_size, self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        """Begin an epoch; after `load_state_dict`, go on with the one that was saved."""
        if self._resumed and self._current is not None:
            self._resumed = False
            return self._current
        seeded = self.batch_sampler is None and isinstance(self.sampler, SeededSampler)
        self._current = self._begin(self.sampler.draw_seed() if seeded else None, None, 0)
        return self._current

    def _begin(self, seed: int | None, indices: list | None, position: int) -> _Epoch | _Stream:
        """An epoch of this order, from that batch on."""
        if self.batch_sampler is None and self.sampler is None:
            return _Stream(self, position)
        return _Epoch(self, seed, indices, position)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as numbers, lists and strings only (JSON-friendly).

        epoch: epochs gone through; position: batches handed out of the current one; seed or
        indices: its order, if it has begun and is not simply 0, 1, 2, ...; generator: the state of
        the generator that was given (the default one is the caller's to save, with everything else
        that uses it); order, samples, batch_size and drop_last, which must be the same to continue.
        With several iterators at a time, the one begun last is meant.
        """
        begun = self._current if self._current and not self._current.is_over else None
        generator = self._generator()
        return {
            "epoch": self.epoch,
            "position": begun.position if begun else 0,
            "seed": begun.seed if begun else None,
            "indices": begun.indices if begun else None,
            "generator": generator.state if isinstance(generator, Generator) else None,
            **self._shape(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`: the next `for` brings the rest of the epoch saved there.

        Raises ValueError if this loader is not made like the saved one: another number of items,
        batch size, drop_last or kind of order.
        """
        for name, here in self._shape().items():
            if state[name] != here:
                raise ValueError(
                    f"DataLoader.load_state_dict: {name} is {here} here and was {state[name]} when"
                    " the state was saved, so the batches would not be the same"
                )
        generator = self._generator()
        if isinstance(generator, Generator) != (state["generator"] is not None):
            raise ValueError(
                "DataLoader.load_state_dict: a generator of its own is given to this loader or was"
                " to the saved one, but not to both"
            )
        if isinstance(generator, Generator):
            generator.state = state["generator"]
        self.epoch = state["epoch"]
        self._resumed = bool(
            state["position"] or state["seed"] is not None or state["indices"] is not None
        )
        self._current = None
        if self._resumed:
            self._current = self._begin(state["seed"], state["indices"], state["position"])

    def _generator(self) -> Any:
        """Where the order comes from, if it is random."""
        inner = getattr(self.batch_sampler, "sampler", None)
        return getattr(self.sampler if self.batch_sampler is None else inner, "generator", None)

    def _shape(self) -> dict[str, Any]:
        order = self.batch_sampler if self.batch_sampler is not None else self.sampler
        return {
            "order": type(self.dataset if order is None else order).__name__,
            "samples": None if order is None else len(order),
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
        }

    def _batch(self, indices: Sequence[int]) -> Any:
        if self.collate_fn is default_collate:
            whole = _take(self.dataset, indices)
            if whole is not None:
                return whole
        return self.collate_fn([self.dataset[i] for i in indices])


class _Epoch:
    """One walk over the dataset: its order, and how many batches have been handed out.

    The order is 0, 1, 2, ..., or follows from `seed`, or is the list `indices` of a sampler that
    minigen knows nothing about; for a batch sampler, a list of lists.
    """

    def __init__(
        self, loader: DataLoader, seed: int | None, indices: list | None, position: int = 0
    ) -> None:
        self.seed, self.indices, self.position = seed, indices, position
        self._loader, sampler = loader, loader.sampler
        self._order: Sequence[Any]
        if loader.batch_sampler is not None:
            if indices is None:
                self.indices = [[int(i) for i in batch] for batch in loader.batch_sampler]
            assert self.indices is not None
            self._order = self.indices
        elif isinstance(sampler, SeededSampler):
            assert seed is not None
            self._order = sampler.order(seed).tolist()
        elif type(sampler) is SequentialSampler:
            self._order = range(len(sampler))
        else:
            if indices is None:
                self.indices = [int(i) for i in sampler]
            assert self.indices is not None
            self._order = self.indices
        self._count = _batches(len(self._order), loader.batch_size, loader.drop_last)

    @property
    def is_over(self) -> bool:
        return self.position >= self._count

    def __iter__(self) -> _Epoch:
        return self

    def __len__(self) -> int:
        return self._count

    def __next__(self) -> Any:
        if self.is_over:
            raise StopIteration
        size = self._loader.batch_size
        if size is None:
            indices = self._order[self.position]
        else:
            indices = self._order[self.position * size : (self.position + 1) * size]
        batch = self._loader._batch(indices)
        self.position += 1  # only now: what failed is not handed out
        if self.is_over:
            self._loader.epoch += 1
        return batch


class _Stream:
    """One walk over an `IterableDataset`; what comes before batch `position` is thrown away."""

    seed = indices = None

    def __init__(self, loader: DataLoader, position: int) -> None:
        assert loader.batch_size is not None
        self._loader, self._size, self.position = loader, loader.batch_size, position
        self._items = iter(loader.dataset)
        self.is_over = False
        skipped = sum(1 for _ in islice(self._items, position * self._size))
        if skipped < position * self._size:
            self._end()

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        items = [] if self.is_over else list(islice(self._items, self._size))
        if len(items) < self._size:
            self._end()
        if not items or (self.is_over and self._loader.drop_last):
            raise StopIteration
        batch = self._loader.collate_fn(items)
        self.position += 1
        return batch

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._loader.epoch += 1


def _batches(samples: int, batch_size: int | None, drop_last: bool) -> int:
    if batch_size is None:  # the samples are batches
        return samples
    return samples // batch_size if drop_last else -(-samples // batch_size)


def _take(dataset: Any, indices: Sequence[int]) -> list | None:
    """The batch of a TensorDataset, or of subsets of one, with one index per tensor.

    The same as collating items one by one, and many times faster. None where items are made by
    other code: another kind of dataset, or a subclass with a `__getitem__` of its own.
    """
    while type(dataset) is Subset:
        indices, dataset = [dataset.indices[i] for i in indices], dataset.dataset
    if getattr(type(dataset), "__getitem__", None) is not TensorDataset.__getitem__:
        return None
    rows = np.asarray(indices, np.int64)
    return [tensor[rows] for tensor in dataset.tensors]


def _refuse(arguments: Mapping[str, Any]) -> None:
    """Raise TypeError for arguments that ask for something minigen does not do."""
    for name, value in arguments.items():
        if name not in _NOT_OFFERED:
            raise TypeError(f"DataLoader: there is no argument {name!r}")
        if value != _NOT_OFFERED[name]:
            raise TypeError(
                f"DataLoader: {name}={value!r} is not offered; batches are made in this process,"
                " one when it is asked for. Leave the argument out"
            )
