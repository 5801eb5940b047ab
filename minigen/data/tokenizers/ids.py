"""What all tokenizers share: the check of ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_ids(where: str, ids: ArrayLike, size: int) -> NDArray[np.integer]:
    """The ids as an array of one dimension.

    Raises TypeError for ids that are no integers, ValueError for another number of dimensions,
    and IndexError that names the first id outside 0 to size - 1 and its position.
    """
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"{where}: expects one sequence of ids, got shape {array.shape}")
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{where}: ids are integers, got {array.dtype}")
    outside = (array < 0) | (array >= size)
    if outside.any():
        position = int(np.argmax(outside))
        raise IndexError(
            f"{where}: id {array[position]} at position {position} is outside 0 to {size - 1}"
        )
    return array
