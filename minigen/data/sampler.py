"""Samplers: in which order the items of a dataset are taken. PyTorch's names and semantics.

A random sampler draws one number per epoch, the seed of that epoch's order, and the order follows
from the seed alone. So a few numbers say where a training run stands, however large the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigen.random import Generator, stream


class Sampler:
    """A base class for samplers of your own: define `__iter__`, to yield indices, and `__len__`."""

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler):
    """0, 1, ..., len(data_source) - 1.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class SeededSampler(Sampler):
    """What random samplers have in common: `order(seed)`, and a seed drawn for every epoch.

    generator: where seeds are drawn, minigen's default one if None.
    """

    def __init__(self, generator: Generator | None) -> None:
        self.generator = checked_generator(type(self).__name__, generator)

    def draw_seed(self) -> int:
        """The seed of the next epoch."""
        return int(stream(self.generator).integers(2**63))

    def order(self, seed: int) -> NDArray[np.int64]:
        """The indices of the epoch with this seed, int64 (len(self),)."""
        raise NotImplementedError(f"{type(self).__name__} must define order")

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self.draw_seed()).tolist())


class RandomSampler(SeededSampler):
    """Every index once, in random order; or, with `replacement`, any index at any time.

    num_samples: how many indices an epoch has, len(data_source) if None. Without replacement more
    than that means one random order after the other.
    Raises ValueError if `num_samples` is no positive integer, an empty dataset included.

    >>> sampler = RandomSampler("abcd", generator=Generator().manual_seed(0))
    >>> sorted(sampler)
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        self.data_source = data_source
        self.replacement = _flag(self, "replacement", replacement)
        self._num_samples = num_samples
        _positive(self, self.num_samples)

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self, seed: int) -> NDArray[np.int64]:
        rng, n = _rng(seed), len(self.data_source)
        if self.replacement:
            return rng.integers(n, size=self.num_samples)
        orders = [rng.permutation(n) for _ in range(-(-self.num_samples // n))]
        return np.concatenate(orders)[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(SeededSampler):
    """Each of the given indices once, in random order.

    >>> sorted(SubsetRandomSampler([2, 3, 5]))
    [2, 3, 5]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__(generator)
        self.indices = indices

    def order(self, seed: int) -> NDArray[np.int64]:
        return _rng(seed).permutation(np.asarray(self.indices, np.int64))

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(SeededSampler):
    """`num_samples` indices, index i with a probability in proportion to `weights[i]`.

    Raises ValueError if the weights are not one row of finite numbers >= 0 with a positive sum, if
    `num_samples` is no positive integer, or if it exceeds, without replacement, the number of
    positive weights.

    >>> set(WeightedRandomSampler([0.0, 1.0, 0.0], 20))
    {1}
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(generator)
        self.weights = np.asarray(weights, np.float64)
        self.num_samples = _positive(self, num_samples)
        self.replacement = _flag(self, "replacement", replacement)
        good = np.isfinite(self.weights) & (self.weights >= 0)
        if self.weights.ndim != 1 or not good.all() or not self.weights.sum() > 0:
            raise ValueError(
                "WeightedRandomSampler: weights must be one row of finite numbers >= 0 that are not"
                f" all zero; got shape {self.weights.shape}: {self.weights}"
            )
        positive = int((self.weights > 0).sum())
        if not replacement and num_samples > positive:
            raise ValueError(
                f"WeightedRandomSampler: cannot draw {num_samples} different indices from"
                f" {positive} with a positive weight"
            )

    def order(self, seed: int) -> NDArray[np.int64]:
        return _rng(seed).choice(
            len(self.weights),
            self.num_samples,
            replace=self.replacement,
            p=self.weights / self.weights.sum(),
        )

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """The indices of `sampler`, in lists of `batch_size`; the last one may be shorter.

    drop_last: leave a shorter last one out.  Raises ValueError if `batch_size` is no positive
    integer or `drop_last` is neither True nor False.

    >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"BatchSampler: batch_size must be a positive integer, not {batch_size!r}"
            )
        self.sampler, self.batch_size = sampler, batch_size
        self.drop_last = _flag(self, "drop_last", drop_last)

    def __iter__(self) -> Iterator[list[int]]:  # type: ignore[override]
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)


def checked_generator(where: str, generator: Generator | None) -> Generator | None:
    """The generator itself.  Raises TypeError if it is neither None nor minigen's."""
    if generator is None or isinstance(generator, Generator):
        return generator
    raise TypeError(
        f"{where}: generator must be a minigen.Generator, such as"
        f" minigen.Generator().manual_seed(0), not {generator!r}"
    )


def _rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _flag(sampler: Sampler, name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{type(sampler).__name__}: {name} is True or False, not {value!r}")
    return value


def _positive(sampler: Sampler, num_samples: int) -> int:
    if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
        raise ValueError(
            f"{type(sampler).__name__}: num_samples must be a positive integer, not {num_samples!r}"
        )
    return num_samples
