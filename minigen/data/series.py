"""Series of numbers from CSV files, and the pairs of past and future that a model learns from."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.data.dataset import Dataset
from minigen.ops.creation import from_numpy
from minigen.tensor import Tensor


def read_series(
    path: str | Path,
    column: str | int | None = None,
    *,
    header: bool | None = None,
    delimiter: str = ",",
) -> NDArray[np.float64]:
    """One column of a CSV file as numbers, float64 (T,), in the order of the file.

    column: a name of the header, or a number counted from 0 (-1 is the last); may be left out if
    there is only one. header: whether the first line holds names; None: it does unless its entry in
    the column is a number. Lines that are empty are passed over.
    A series is not read with holes in it: raises ValueError that names file and line for an entry
    that is missing, is no number, or is NaN or infinite, for a line with too few entries, for a
    column that is not there or there twice, and for a file without numbers; FileNotFoundError for a
    file that is not there.

    >>> from minigen.data.embedded import FOLDER
    >>> read_series(FOLDER / "sunspots.csv", "SUNACTIVITY")[:4].tolist()
    [5.0, 11.0, 16.0, 23.0]
    """
    with Path(path).open(newline="", encoding="utf-8-sig") as file:  # with or without a BOM
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        try:
            lines = [(reader.line_num, [c.strip() for c in row]) for row in reader if any(row)]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    if not lines:
        raise ValueError(f"{path} is empty: there is no series in it")
    index = _column(path, lines[0][1], column, header)
    named = isinstance(column, str) or header
    if not named and header is None:
        named = _number(lines[0][1][index]) is None and lines[0][1][index] != ""
    values = [_entry(path, line, row, index) for line, row in lines[1 if named else 0 :]]
    if not values:
        raise ValueError(f"{path} has a header and no line of numbers")
    return np.array(values)


def _column(
    path: str | Path, first: Sequence[str], column: str | int | None, header: bool | None
) -> int:
    """Where the column stands in a line."""
    names = ", ".join(first)
    if column is None:
        if len(first) > 1:
            raise ValueError(
                f"{path} has {len(first)} columns; say which one, by name or number: {names}"
            )
        return 0
    if isinstance(column, str):
        if header is False:
            raise ValueError(f"{path}: a column without a header has no name; give its number")
        if first.count(column) != 1:
            times = "no" if column not in first else "more than one"
            raise ValueError(f"{path} has {times} column {column!r}; its first line is {names}")
        return list(first).index(column)
    if not -len(first) <= column < len(first):
        raise ValueError(f"{path} has {len(first)} columns, no column {column}")
    return column % len(first)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _entry(path: str | Path, line: int, row: Sequence[str], index: int) -> float:
    if index >= len(row) or row[index] == "":
        raise ValueError(
            f"{path}, line {line}: the value is missing; fill it in, or cut the series there"
        )
    value = _number(row[index])
    if value is None:
        raise ValueError(f"{path}, line {line}: {row[index]!r} is not a number")
    if not np.isfinite(value):
        raise ValueError(f"{path}, line {line}: {row[index]} stands where a number is needed")
    return value


class SeriesWindows(Dataset[tuple[Tensor, Tensor]]):
    """Every stretch of a series as a pair: `past` values, and the `future` ones that follow.

    values: (T,), or (T, D) for several series side by side. Item i begins at i * stride: tensors
    (past,) and (future,), or (past, D) and (future, D), float32. Windows overlap, so split a series
    in time first, and window the parts: a random split of windows would let the model see what it
    is tested on.
    Raises ValueError for a series that fills no window, NaN or infinity, or lengths below 1.

    >>> windows = SeriesWindows([0.0, 1.0, 2.0, 3.0, 4.0], past=3)
    >>> len(windows), windows[1]
    (2, (tensor([1., 2., 3.]), tensor([4.])))
    """

    def __init__(
        self,
        values: ArrayLike,
        past: int,
        future: int = 1,
        *,
        stride: int = 1,
        double: bool = False,
    ) -> None:
        series = np.asarray(values, np.float64 if double else np.float32)
        if min(past, future, stride) < 1:
            raise ValueError(
                "SeriesWindows: past, future and stride must be 1 or more, got "
                f"{past}, {future}, {stride}"
            )
        if series.ndim not in (1, 2):
            raise ValueError(f"SeriesWindows: needs (T,) or (T, D), got shape {series.shape}")
        if not np.isfinite(series).all():
            place = int(np.argmax(~np.isfinite(series.reshape(len(series), -1)).all(1)))
            raise ValueError(f"SeriesWindows: value {place} of the series is NaN or infinite")
        if len(series) < past + future:
            raise ValueError(
                f"SeriesWindows: a series of {len(series)} does not fill a window of {past} past "
                f"and {future} future values"
            )
        self.values, self.past, self.future, self.stride = series, past, future, stride

    def __len__(self) -> int:
        return (len(self.values) - self.past - self.future) // self.stride + 1

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"SeriesWindows: index {index} is outside a length of {len(self)}")
        start = index % len(self) * self.stride
        middle = start + self.past
        return (
            from_numpy(self.values[start:middle].copy()),
            from_numpy(self.values[middle : middle + self.future].copy()),
        )
