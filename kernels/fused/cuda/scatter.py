"""add_rows: the order is sorted out first, then every row of the table is one sum."""

from __future__ import annotations

from typing import Any

from ...cuda.launch import empty
from .launching import ceil_div, module_of, on_columns, ready

Array = Any

BLOCKS = 4096  # that fill a large GPU several times over


def add_rows_cuda(values: Array, rows: Array, count: int) -> Array:
    """table[r] = Σ values[i] where rows[i] = r: see `add_rows_reference`.

    The sums are made in an order that the rows alone decide, without atomics. A row outside of the
    table, [-count, count), turns the table's first or last row to NaN.
    """
    if rows.shape != values.shape[:1]:
        raise ValueError(f"add_rows: {rows.shape} rows for values of shape {values.shape}")
    xp = module_of(values)
    rows = xp.where(rows < 0, rows + count, rows)
    order = xp.argsort(rows, kind="stable")
    columns = values.shape[1]
    table = empty(values, (count, columns))
    # where the table has few rows, several blocks share one
    grid = (count, min(ceil_div(columns, 32), max(1, BLOCKS // max(count, 1))))
    arrays = (ready(values), ready(order), ready(rows[order]), table)
    on_columns("add_rows")(grid, *arrays, len(rows), count, columns)
    return table
