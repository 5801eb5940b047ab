"""What the recipes for series share: the numbers, embedded or from a CSV file of the user's, and
what the settings of a run record of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigen.data import Normalisation, read_series
from minigen.training.job import DataError, Settings

Values = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Numbers at equal distances in time: values (T,) in the data's own units.

    name, time: what the numbers, and what the time, are called on an axis. start, step: the time of
    the first number, and from one to the next.
    """

    values: Values
    name: str
    time: str
    start: float = 0.0
    step: float = 1.0

    def times(self, first: int, count: int) -> Values:
        """Of `count` values from number `first` on, which may lie beyond the last one."""
        return self.start + self.step * np.arange(first, first + count, dtype=np.float64)


def measured(settings: Settings, embedded: Callable[[], Measured]) -> Measured:
    """The series that the settings name: `data`, a CSV file, and its `column`; else the embedded.

    Raises ValueError, with the file's name, for a file that is not there, is no series, or holds
    other numbers than when the run was started.
    """
    options = settings.options
    if options["data"] is None:
        if options["column"] is not None:
            raise ValueError("column names a column of a CSV file; say which with data")
        series = embedded()
    else:
        series = _read(options["data"], options["column"])
    if options["digest"] not in (None, _digest(series.values)):
        raise DataError(f"the numbers in {options['data']} are not those the run was started with")
    return series


def _read(path: Any, column: Any) -> Measured:
    if not isinstance(column, str | int | None):
        raise ValueError(f"column must be a name or a number counted from 0, got {column!r}")
    try:
        values = read_series(str(path), column)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return Measured(values, column if isinstance(column, str) else Path(str(path)).stem, "value")


def _digest(values: Values) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, "<f8").tobytes()).hexdigest()


def split(series: Measured, settings: Settings) -> tuple[Values, Values]:
    """The first values to train on, the last `test` ones to be judged by."""
    test = settings.options["test"]
    return series.values[:-test], series.values[-test:]


def recorded(
    settings: Settings,
    embedded: Callable[[], Measured],
    normalised: Callable[[Values], Normalisation],
    *,
    window: int,
    least: int,
) -> Settings:
    """The settings with what follows from the data: the file's full name, the digest of its
    numbers, how many are held out (a third at most), the scale of the values that are trained on,
    of which there must be `least`, and a batch of no more than all windows of `window` values.

    Raises ValueError as `measured` does, and for a series that is constant or too short.
    """
    options = {**settings.options, "digest": None}
    if options["data"] is not None:
        options["data"] = str(Path(str(options["data"])).expanduser().absolute())
    if options["test"] < 1:
        raise ValueError(f"test must be 1 or more, got {options['test']}")
    series = measured(dataclasses.replace(settings, options=options), embedded)
    options["digest"] = _digest(series.values)
    options["test"] = min(options["test"], max(1, len(series.values) // 3))
    training = series.values[: -options["test"]]
    if len(training) < max(least, window):
        raise ValueError(
            f"{len(series.values)} values are too few: besides {options['test']} to test with, "
            f"{max(least, window)} are needed to train on; a smaller order or window needs fewer"
        )
    if training.min() == training.max():
        raise ValueError(
            f"the values to train on are all {training[0]:g}: there is nothing to learn from them"
        )
    options["normalisation"] = normalised(training).to_dict()
    windows = len(training) - window + 1
    return dataclasses.replace(
        settings, options=options, batch_size=min(settings.batch_size, windows)
    )


def scale(settings: Settings) -> Normalisation:
    """That of the run, which its settings hold."""
    return Normalisation.from_dict(settings.options["normalisation"])
