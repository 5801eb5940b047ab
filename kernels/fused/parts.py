"""How long jobs are cut for several cores: by their shapes alone, so that results repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import parallel

Array = Any


PART = 1 << 18  # elements of a part: 50 to 200 microseconds of the loops here


def row_parts(rows: int, width: int) -> list[tuple[int, int]]:
    """(first, last) of runs of rows; one run unless there are two parts' worth of elements.

    >>> row_parts(10, 100)
    [(0, 10)]
    >>> row_parts(1000, 1024)
    [(0, 256), (256, 512), (512, 768), (768, 1000)]
    """
    if rows * width < 2 * PART:
        return [(0, rows)]
    step = max(1, PART // width)
    return [(first, min(rows, first + step)) for first in range(0, rows, step)]


def each_part(
    kernel: Callable[..., None], arrays: Sequence[Array], rest: Sequence[Any], width: int
) -> None:
    """kernel(*arrays, *rest), or for many rows the same of each part of the arrays' rows."""
    rows = arrays[0].shape[0]
    if rows * width < 2 * PART:
        kernel(*arrays, *rest)
        return

    def run(part: tuple[int, int]) -> None:
        kernel(*(a[slice(*part)] for a in arrays), *rest)

    parallel.each(run, row_parts(rows, width))


def summed_by_part(
    kernel: Callable[..., None], arrays: Sequence[Array], rest: Sequence[Any], sums: int
) -> Array:
    """The same for a kernel that also adds up rows: its last argument is (sums, width), of zeros.

    Every part adds up its own rows in their order, and the parts are added in theirs.
    """
    rows, width = arrays[0].shape
    parts = row_parts(rows, width)
    into = np.zeros((len(parts), sums, width), arrays[0].dtype)
    if len(parts) == 1:
        kernel(*arrays, *rest, into[0])
        return into[0]

    def run(number: int) -> None:
        kernel(*(a[slice(*parts[number])] for a in arrays), *rest, into[number])

    parallel.each(run, range(len(parts)))
    return into.sum(axis=0)
