"""What the kernel tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from minigen.kernels import parallel


@pytest.fixture(autouse=True)
def kernels_have_the_threads() -> Iterator[None]:
    """So that tests on several threads are."""
    parallel.take_over()
    yield
    parallel.take_over(False)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a kernel asks for without setting it is full of NaN."""
    empty, empty_like = np.empty, np.empty_like

    def with_nan(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind == "f":
            array.fill(np.nan)
        return array

    def nan_empty(*args: Any, **options: Any) -> np.ndarray:
        return with_nan(empty(*args, **options))

    def nan_empty_like(*args: Any, **options: Any) -> np.ndarray:
        return with_nan(empty_like(*args, **options))

    monkeypatch.setattr(np, "empty", nan_empty)
    monkeypatch.setattr(np, "empty_like", nan_empty_like)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20240229)
