"""DataLoader: batches of a dataset, in order or shuffled, that can be continued after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minigen.data.collate import default_collate
from minigen.data.dataset import Subset, TensorDataset
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
    "batch_sampler": None,
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

    dataset: anything with `len(dataset)` and `dataset[i]`. batch_size: items in a batch; the last
    one is smaller if need be, or left out with `drop_last`. shuffle: a new random order for every
    epoch. sampler: the indices of an epoch, instead of shuffle. collate_fn: makes a batch of a list
    of items, `default_collate` if None. generator: where the random order comes from, minigen's
    default one if None.

    `state_dict()` at any moment, also in the middle of an epoch, and `load_state_dict` on a loader
    made alike continue with the very batches that would have come next.

    Raises ValueError for a batch size that is no positive integer, or for shuffle together with a
    sampler; TypeError for a dataset without a length, a generator of another kind, or an argument
    of PyTorch's that minigen does not offer (`num_workers=4`, say: batches are made in this
    process).

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
        *,
        drop_last: bool = False,
        collate_fn: Callable[[list], Any] | None = None,
        generator: Generator | None = None,
        **not_offered: Any,
    ) -> None:
        _refuse(not_offered)
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
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
        elif sampler is None:
            sampler = SequentialSampler(dataset)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.drop_last = bool(drop_last)
        self.collate_fn = collate_fn or default_collate
        self.epoch = 0  # how many have been gone through to the end
        self._current: _Epoch | None = None
        self._resumed = False

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return _batches(len(self.sampler), self.batch_size, self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        """Begin an epoch; after `load_state_dict`, go on with the one that was saved."""
        if self._resumed and self._current is not None:
            self._resumed = False
            return self._current
        seed = self.sampler.draw_seed() if isinstance(self.sampler, SeededSampler) else None
        self._current = _Epoch(self, seed, None)
        return self._current

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as numbers, lists and strings only (JSON-friendly).

        epoch: epochs gone through; position: batches handed out of the current one; seed or
        indices: its order, if it has begun and is not simply 0, 1, 2, ...; generator: the state of
        the generator that was given (the default one is the caller's to save, with everything else
        that uses it); order, samples, batch_size and drop_last, which must be the same to continue.
        With several iterators at a time, the one begun last is meant.
        """
        begun = self._current if self._current and not self._current.is_over else None
        generator = getattr(self.sampler, "generator", None)
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
        generator = getattr(self.sampler, "generator", None)
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
            self._current = _Epoch(self, state["seed"], state["indices"], state["position"])

    def _shape(self) -> dict[str, Any]:
        return {
            "order": type(self.sampler).__name__,
            "samples": len(self.sampler),
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
    minigen knows nothing about.
    """

    def __init__(
        self, loader: DataLoader, seed: int | None, indices: list[int] | None, position: int = 0
    ) -> None:
        self.seed, self.indices, self.position = seed, indices, position
        self._loader, sampler = loader, loader.sampler
        self._order: Sequence[int]
        if isinstance(sampler, SeededSampler):
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
        start = self.position * size
        batch = self._loader._batch(self._order[start : start + size])
        self.position += 1  # only now: what failed is not handed out
        if self.is_over:
            self._loader.epoch += 1
        return batch


def _batches(samples: int, batch_size: int, drop_last: bool) -> int:
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
