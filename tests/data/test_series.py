"""Series from CSV files, with all that is wrong with CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigen.data import DataLoader, SeriesWindows, load_sunspots, read_series
from minigen.data.embedded import FOLDER


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "series.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_sunspots() -> None:
    path = FOLDER / "sunspots.csv"
    for column in ("SUNACTIVITY", 1, -1):
        np.testing.assert_array_equal(
            read_series(path, column).astype(np.float32), load_sunspots().numbers
        )
    np.testing.assert_array_equal(read_series(path, "YEAR"), load_sunspots().years)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("1\n2.5\n-3e1\n", {}),
        ("level\n1\n2.5\n-3e1\n", {}),
        ("level\n1\n2.5\n-3e1\n", {"column": "level"}),
        ("\ufefflevel\r\n1\r\n\r\n2.5\r\n-3e1", {"column": "level"}),
        ("a;level\nx;1\n;2.5\ny; -3e1 \n", {"column": "level", "delimiter": ";"}),
        ("d,1\nd,2.5\nd,-3e1\n", {"column": 1}),
        ('"a, b",level\n"1,5",1\n"",2.5\n7,-3e1\n', {"column": -1}),
        ("2020\n1\n2.5\n-3e1\n", {"header": True}),
        ("2020,x\n1,\n2.5,\n-3e1,\n", {"column": "2020"}),
    ],
)
def test_forms_of_the_same_series(text: str, options: dict[str, Any], write: Any) -> None:
    assert read_series(write(text), **options).tolist() == [1.0, 2.5, -30.0]


def test_a_header_of_numbers_is_data_unless_said_otherwise(write: Any) -> None:
    assert read_series(write("2020\n1\n")).tolist() == [2020, 1]
    assert read_series(write("2020\n1\n"), header=True).tolist() == [1]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a\n1\n\n2,\n\n x\n", {}, "line 6: 'x' is not a number"),
        ("a,b\n1,2\n3,\n4,5\n", {"column": "b"}, "line 3: the value is missing"),
        ("a,b\n1,2\n3\n", {"column": "b"}, "line 3: the value is missing"),
        ("a\n1\nnan\n", {}, "line 3: nan stands"),
        ("1\n-inf\n", {}, "line 2: -inf stands"),
        ("a\n1\n1,5\n", {"column": "c"}, "no column 'c'; its first line is a"),
        ("a,a\n1,2\n", {"column": "a"}, "more than one column 'a'"),
        ("a,b\n1,2\n", {}, "2 columns; say which one, by name or number: a, b"),
        ("a,b\n1,2\n", {"column": 2}, "2 columns, no column 2"),
        ("a\n1\n", {"column": "a", "header": False}, "no name"),
        ("a\n1\n", {"header": False}, "line 1: 'a' is not a number"),
        ("a\n", {}, "no line of numbers"),
        ("", {}, "empty"),
        ("\n\n", {}, "empty"),
        (b"a\n\xff\xfe\n", {}, "cannot be read as CSV"),
    ],
)
def test_bad_files(text: str | bytes, options: dict, message: str, write: Any) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_series(write(text), **options)
    assert "series.csv" in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_series(tmp_path / "none.csv")


def test_windows_hold_past_and_future() -> None:
    values = np.arange(20.0)
    windows = SeriesWindows(values, past=4, future=2, stride=3)
    assert len(windows) == 5
    for i, (past, future) in enumerate(windows):
        assert past.tolist() == values[3 * i : 3 * i + 4].tolist()
        assert future.tolist() == values[3 * i + 4 : 3 * i + 6].tolist()
    assert windows[-1][1].tolist() == [16, 17]
    past, future = windows[0]
    past += 100
    assert windows[0][0].tolist() == [0, 1, 2, 3], "an item is a copy"
    exact = SeriesWindows(values[:6], past=4, future=2)
    assert len(exact) == 1
    both = SeriesWindows(np.stack([values, -values], 1), past=4)
    x, y = next(iter(DataLoader(both, batch_size=5)))
    assert (tuple(x.shape), tuple(y.shape)) == ((5, 4, 2), (5, 1, 2))


def test_a_constant_series_makes_windows() -> None:
    past, future = SeriesWindows(np.full(9, 2.0), past=3)[0]
    assert (past.tolist(), future.tolist()) == ([2, 2, 2], [2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SeriesWindows(np.arange(5.0), past=5), "5 does not fill a window of 5 past and 1"),
        (lambda: SeriesWindows([], past=1), "0 does not fill"),
        (lambda: SeriesWindows(np.arange(5.0), past=0), "1 or more"),
        (lambda: SeriesWindows(np.arange(5.0), past=2, stride=0), "1 or more"),
        (lambda: SeriesWindows(np.zeros((5, 1, 1)), past=2), r"\(5, 1, 1\)"),
        (lambda: SeriesWindows([0.0, 1.0, np.nan, 2.0], past=2), "value 2 of the series is NaN"),
    ],
)
def test_bad_windows(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(IndexError, match="index 4"):
        SeriesWindows(np.arange(5.0), past=1)[4]
