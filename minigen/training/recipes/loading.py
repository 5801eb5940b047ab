"""What all recipes share: batches in an order of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigen import Generator
from minigen.data import DataLoader
from minigen.training.job import Settings

EVALUATION_SEED = 54321  # noise of evaluations: apart from training's, so that they change nothing


def batches(
    settings: Settings, dataset: Any, collate_fn: Callable[[list], Any] | None = None
) -> DataLoader:
    """Full batches in an order that follows from the run's seed.

    Raises ValueError if the data does not fill one batch.
    """
    if settings.batch_size > len(dataset):
        raise ValueError(
            f"a batch of {settings.batch_size} is more than all {len(dataset)} examples"
        )
    return DataLoader(
        dataset,
        batch_size=settings.batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=collate_fn,
        generator=Generator().manual_seed(settings.seed),
    )
