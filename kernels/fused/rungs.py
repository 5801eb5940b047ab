"""The ladders of the fused operations."""

from __future__ import annotations

from .elementwise_rungs import ELEMENTWISE
from .row_rungs import ROWS
from .update_rungs import UPDATES

FUSED = (*ELEMENTWISE, *ROWS, *UPDATES)
