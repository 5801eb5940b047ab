"""Datasets: anything with `len(dataset)` and `dataset[i]`. PyTorch's names and semantics."""

from __future__ import annotations

import bisect
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

from minigen.data.sampler import checked_generator
from minigen.random import Generator, stream
from minigen.tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """A base class for datasets of your own: define `__getitem__` and `__len__`.

    `dataset[i]` raises IndexError for i >= len(dataset), which is also how `for` finds the end.
    `first + second` is the `ConcatDataset` of both.

    >>> class Squares(Dataset[int]):
    ...     def __getitem__(self, index):
    ...         if index >= 5:
    ...             raise IndexError(index)
    ...         return index * index
    ...     def __len__(self):
    ...         return 5
    >>> list(Squares() + Squares())
    [0, 1, 4, 9, 16, 0, 1, 4, 9, 16]
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of equal length as one dataset: item i is `(first[i], second[i], ...)`.

    Raises TypeError for something else than tensors, ValueError for none, for a 0-d tensor or for
    unequal lengths.

    >>> import minigen
    >>> dataset = TensorDataset(minigen.tensor([[1.0, 2.0], [3.0, 4.0]]), minigen.tensor([0, 1]))
    >>> len(dataset), dataset[1]
    (2, (tensor([3., 4.]), tensor(1)))
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: needs at least one tensor")
        for number, tensor in enumerate(tensors):
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"TensorDataset: argument {number} is {type(tensor).__name__}, not a tensor;"
                    " minigen.tensor or minigen.from_numpy makes one"
                )
            if tensor.ndim == 0:
                raise ValueError(f"TensorDataset: argument {number} has no dimension to count")
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) > 1:
            raise ValueError(
                "TensorDataset: the tensors must have the same length; their first dimensions are "
                + ", ".join(map(str, lengths))
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class ConcatDataset(Dataset[Any]):
    """Datasets one after the other; negative indices count from the end.

    Raises ValueError if there is none to concatenate.

    >>> both = ConcatDataset(["ab", "cde"])
    >>> len(both), both[1], both[2], both[-1]
    (5, 'b', 'c', 'e')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: needs at least one dataset")
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> Any:
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"ConcatDataset: index {index} is outside a length of {length}")
        index %= length
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class IterableDataset(Dataset[T_co]):
    """A base class for data that comes as a stream: define `__iter__`; there are no indices.

    A `DataLoader` takes its items in the order in which they come.  `first + second` is the
    `ChainDataset` of both.

    >>> class Countdown(IterableDataset[int]):
    ...     def __iter__(self):
    ...         yield from (3, 2, 1)
    >>> list(Countdown() + Countdown())
    [3, 2, 1, 3, 2, 1]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset[Any]) -> Any:
        return ChainDataset([self, other])


class ChainDataset(IterableDataset[Any]):
    """Streams one after the other; its length is the sum of theirs, where they have one.

    Raises TypeError, when it is gone through, for what is no `IterableDataset`.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from _stream(dataset)

    def __len__(self) -> int:
        return sum(len(_stream(dataset)) for dataset in self.datasets)


def _stream(dataset: Any) -> Any:
    if not isinstance(dataset, IterableDataset):
        raise TypeError(
            f"ChainDataset: takes IterableDatasets, not {type(dataset).__name__}; ConcatDataset "
            "joins datasets with indices"
        )
    return dataset


def get_worker_info() -> None:
    """None, as in PyTorch's main process: minigen's loaders have no workers."""


class Subset(Dataset[T_co]):
    """The items of `dataset` at `indices`, in that order.

    >>> list(Subset("abcdef", [5, 0, 0]))
    ['f', 'a', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Divide a dataset at random into parts that do not overlap.

    lengths: the sizes, or fractions that sum to 1. Of n items a fraction f gets floor(n f); what is
    left over goes to the parts one by one, from the first. generator: minigen's default one if
    None; the same seed gives the same parts.
    Raises ValueError if sizes are negative, do not sum to len(dataset), or a fraction is not
    between 0 and 1; warns of a part that fractions leave empty.

    >>> from minigen import Generator
    >>> parts = random_split(range(10), [0.7, 0.3], generator=Generator().manual_seed(0))
    >>> [len(part) for part in parts], sorted([*parts[0], *parts[1]]) == list(range(10))
    ([7, 3], True)
    """
    checked_generator("random_split", generator)
    count = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        sizes = _sizes(lengths, count)
    elif all(isinstance(size, int) for size in lengths):
        sizes = [int(size) for size in lengths]
    else:
        raise ValueError(
            f"random_split: fractions must sum to 1; {list(lengths)} sums to {sum(lengths)}"
        )
    if min(sizes, default=0) < 0 or sum(sizes) != count:
        raise ValueError(
            f"random_split: sizes must not be negative and must sum to the {count} items of the"
            f" dataset; {list(lengths)} sums to {sum(lengths)}"
        )
    order = stream(generator).permutation(count).tolist()
    return [Subset(dataset, order[end - size : end]) for end, size in zip(accumulate(sizes), sizes)]


def _sizes(fractions: Sequence[float], count: int) -> list[int]:
    for number, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"random_split: fraction {number} is {fraction}, not between 0 and 1")
    sizes = [math.floor(count * fraction) for fraction in fractions]
    for i in range(count - sum(sizes)):
        sizes[i % len(sizes)] += 1
    for number, size in enumerate(sizes):
        if size == 0:
            warnings.warn(
                f"random_split: part {number} is empty (fraction {fractions[number]} of {count})",
                stacklevel=3,
            )
    return sizes
