"""The form of a planted mistake: an operation in NumPy, its right gradient, and wrong ones.

A specimen's `inputs(rng)` draws arrays of random shapes, all extents two or more, so that every
mistake shows at every seed (a missing 1/N does not in a batch of one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Backward = Callable[..., Any]


@dataclass
class Specimen:
    """One operation; `wrong` maps what the mistake is to a backward that makes it."""

    name: str
    forward: Callable[..., Any]
    inputs: Callable[[np.random.Generator], Sequence]
    right: Backward
    wrong: dict[str, Backward] = field(default_factory=dict)

    def mistake(self, label: str) -> Callable[[Backward], Backward]:
        def add(backward: Backward) -> Backward:
            assert label not in self.wrong, label
            self.wrong[label] = backward
            return backward

        return add


@dataclass(frozen=True)
class Mutant:
    specimen: Specimen
    label: str

    @property
    def backward(self) -> Backward:
        return self.specimen.wrong[self.label]

    def __str__(self) -> str:
        return f"{self.specimen.name}: {self.label}"


def mutants(specimens: Sequence[Specimen]) -> Iterator[Mutant]:
    for specimen in specimens:
        for label in specimen.wrong:
            yield Mutant(specimen, label)


def extent(rng: np.random.Generator, low: int = 2, high: int = 6) -> int:
    return int(rng.integers(low, high))


def normal(*ranks: int, low: int = 2, high: int = 6) -> Callable[[np.random.Generator], list]:
    """Arrays of these ranks, extents drawn anew."""

    def draw(rng: np.random.Generator) -> list:
        return [
            np.asarray(rng.standard_normal([extent(rng, low, high) for _ in range(rank)]))
            for rank in ranks
        ]

    return draw


def alike(count: int, rank: int, low: int = 2, high: int = 6) -> Callable:
    """Arrays of one common shape."""

    def draw(rng: np.random.Generator) -> list:
        shape = [extent(rng, low, high) for _ in range(rank)]
        return [rng.standard_normal(shape) for _ in range(count)]

    return draw


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
