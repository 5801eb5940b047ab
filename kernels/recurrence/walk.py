"""The order in which the rows of a batch of sequences are visited.

All rows lie in one matrix, step after step; `sizes` says how many belong to each step and never
grows, as sequences are ordered from the longest to the shortest. A step concerns the first rows of
the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


def walk(sizes: Sequence[int], reverse: bool) -> list[tuple[slice, int]]:
    """(the rows of a step, how many they are), in the order in which the steps are taken.

    >>> walk((2, 1), reverse=True)
    [(slice(2, 3, None), 1), (slice(0, 2, None), 2)]
    """
    steps = [(slice(end - n, end), n) for end, n in zip(accumulate(sizes), sizes)]
    return steps[::-1] if reverse else steps
