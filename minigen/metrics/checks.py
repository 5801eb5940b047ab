"""What every metric asks of its input before it computes: shapes that fit and finite values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.random import Generator, stream
from minigen.tensor import Tensor


def as_array(values: Any) -> NDArray:
    """A tensor's or an array's values as a NumPy array."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def feature_sets(
    name: str, features: ArrayLike, reference: ArrayLike, at_least: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two sets of features, (n, d) and (m, d), as float64.

    Raises ValueError, in the name of the metric, for other shapes, fewer than `at_least` rows or
    values that are not finite.
    """
    sets = [np.asarray(as_array(f), np.float64) for f in (features, reference)]
    for f in sets:
        if f.ndim != 2 or len(f) < at_least or f.shape[1] != sets[0].shape[-1] or f.shape[1] == 0:
            raise ValueError(
                f"{name}: needs two sets of features, (n, d) and (m, d) with at least {at_least} "
                f"rows each, got {sets[0].shape} and {sets[1].shape}"
            )
        if not np.isfinite(f).all():
            raise ValueError(f"{name}: the features hold NaN or infinity")
    return sets[0], sets[1]


def image_pair(name: str, first: Any, second: Any) -> tuple[NDArray, NDArray]:
    """Two images, or batches, of the same shape, in their own dtypes.

    Raises ValueError, in the name of the metric, for unequal shapes, nothing to compare, or values
    that are not finite; TypeError for what are no real numbers.
    """
    images = as_array(first), as_array(second)
    for image in images:
        if image.dtype.kind not in "buif":
            raise TypeError(f"{name}: the images must be real numbers, got {image.dtype}")
        if not np.isfinite(image).all():
            raise ValueError(f"{name}: the images hold NaN or infinity")
    if images[0].shape != images[1].shape or images[0].size == 0:
        raise ValueError(
            f"{name}: needs two images of the same shape, got {images[0].shape} and "
            f"{images[1].shape}"
        )
    return images


def same_scale(name: str, first: NDArray, second: NDArray) -> None:
    """Raise ValueError where the dtypes cannot tell the range of the values: they differ.

    Such a pair is mostly one image in 0 to 255 and one in 0 to 1.
    """
    if first.dtype != second.dtype:
        raise ValueError(
            f"{name}: the images are {first.dtype} and {second.dtype}, which may stand for "
            "different ranges of values; bring both to one scale and give data_range"
        )


def dtype_range(dtype: np.dtype) -> tuple[float, float]:
    """Smallest and largest value that an image of this dtype means; -1 and 1 for floats."""
    if dtype.kind == "f":
        return -1.0, 1.0
    if dtype.kind == "b":
        return 0.0, 1.0
    limits = np.iinfo(dtype)
    return float(limits.min), float(limits.max)


def positive_range(name: str, data_range: float) -> float:
    """`data_range` as a float.  Raises ValueError unless it is positive and finite."""
    if not 0 < data_range < float("inf"):
        raise ValueError(f"{name}: data_range must be a positive number, got {data_range!r}")
    return float(data_range)


def random_stream(generator: Any) -> Any:
    """Where a metric draws from: minigen's Generator, or NumPy's (the default one if None)."""
    if generator is None or isinstance(generator, Generator):
        return stream(generator)
    return generator
