"""What the kernel tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


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
