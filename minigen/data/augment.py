"""Augmentation: each time an image is used it looks a little different, and means the same.

Six changes, all random, all optional: rotation, scale, shift, elastic bending, crop and noise. What
changes the geometry is done in one resampling (`minigen.data.warping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigen.data.collate import default_collate
from minigen.data.dataset import Dataset
from minigen.data.sampler import checked_generator
from minigen.data.warping import elastic_displacements, warp
from minigen.ops.creation import from_numpy
from minigen.random import Generator, stream
from minigen.tensor import Tensor


class Augment:
    """Random changes of a batch of images; every image of it gets its own.

    rotation: up to so many degrees either way, uniformly. scale: (smallest, largest) factor.
    shift: up to so many pixels (down, right), or one number for both, either way; fractions of
    pixels too. elastic: (alpha, sigma) of `elastic_displacements`. crop: (height, width) of a
    window at a random place, or one number for both, after `padding` pixels of `fill` were put
    around the image. noise: standard deviation of Gaussian noise, in the unit of the pixels; the
    result is not clipped. fill: the value that comes in from outside (the background).
    generator: where the numbers are drawn, minigen's default one if None, which a run saves and
    restores, so that a resumed run sees the very images that the uninterrupted one would have seen.

    A call takes float images (N, C, H, W), an array or a tensor, and returns a new one of the kind.
    In a loader give `collate_fn=augment.collate`, and every batch is changed as a whole; or wrap
    the dataset, `Augmented(dataset, augment)`.
    Raises ValueError for settings out of range, images of another shape or a crop larger than they
    are, and NaN or infinite pixels; TypeError for images that are not float.

    >>> augment = Augment(rotation=10, shift=2, generator=Generator().manual_seed(0))
    >>> digit = np.zeros((1, 1, 28, 28), np.float32)
    >>> digit[:, :, 8:20, 13:15] = 1
    >>> turned = augment(digit)
    >>> turned.shape, turned.dtype, bool(abs(turned.sum() - digit.sum()) < 0.5)
    ((1, 1, 28, 28), dtype('float32'), True)
    """

    def __init__(
        self,
        *,
        rotation: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shift: float | tuple[float, float] = 0.0,
        elastic: tuple[float, float] | None = None,
        crop: int | tuple[int, int] | None = None,
        padding: int = 0,
        noise: float = 0.0,
        fill: float = 0.0,
        generator: Generator | None = None,
    ) -> None:
        self.rotation, self.noise, self.fill = float(rotation), float(noise), float(fill)
        self.scale = (float(scale[0]), float(scale[1]))
        self.shift = tuple(np.broadcast_to(np.asarray(shift, np.float64), 2).tolist())
        self.elastic, self.padding = elastic, padding
        self.crop = (crop, crop) if isinstance(crop, int) else crop
        self.generator = checked_generator("Augment", generator)
        self._check()

    def _check(self) -> None:
        strengths = {
            "rotation": [self.rotation],
            "shift": self.shift,
            "elastic": self.elastic or (),
            "padding": [self.padding],
            "noise": [self.noise],
        }
        for name, values in strengths.items():
            if not all(0 <= value < np.inf for value in values):
                raise ValueError(f"Augment: {name} must be 0 or more, got {getattr(self, name)!r}")
        if not 0 < self.scale[0] <= self.scale[1] < np.inf:
            raise ValueError(f"Augment: scale must be (low, high), 0 < low <= high: {self.scale}")
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"Augment: crop must be 1 or more pixels, got {self.crop}")
        if not np.isfinite(self.fill):
            raise ValueError(f"Augment: fill must be a finite number, got {self.fill}")

    def __call__(self, images: Any) -> Any:
        array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
        _require_images(array)
        drawn = stream(self.generator)
        changed = self._crop(self._warp(array, drawn), drawn)
        if self.noise:
            changed = changed + self.noise * drawn.standard_normal(changed.shape)
        changed = np.array(changed, array.dtype)  # a copy, also where nothing was asked for
        return from_numpy(changed).to(images.device) if isinstance(images, Tensor) else changed

    def _warp(self, images: NDArray, drawn: np.random.Generator) -> NDArray:
        if not (self.rotation or any(self.shift) or self.elastic or self.scale != (1, 1)):
            return images
        count, _, height, width = images.shape
        degrees = drawn.uniform(-self.rotation, self.rotation, count)
        factors = drawn.uniform(*self.scale, count)
        shifts = drawn.uniform(-1, 1, (count, 2)) * self.shift
        bent = None
        if self.elastic is not None:
            bent = elastic_displacements(count, (height, width), *self.elastic, drawn)
        return warp(
            images,
            degrees=degrees,
            factors=factors,
            shifts=shifts,
            displacements=bent,
            fill=self.fill,
        )

    def _crop(self, images: NDArray, drawn: np.random.Generator) -> NDArray:
        if self.padding:
            margin = (self.padding, self.padding)
            images = np.pad(images, ((0, 0), (0, 0), margin, margin), constant_values=self.fill)
        if self.crop is None:
            return images
        (height, width), (h, w) = images.shape[2:], self.crop
        if h > height or w > width:
            raise ValueError(f"Augment: a crop of {h} x {w} does not fit into {height} x {width}")
        tops = drawn.integers(0, height - h + 1, len(images))
        lefts = drawn.integers(0, width - w + 1, len(images))
        return np.stack(
            [image[:, i : i + h, j : j + w] for image, i, j in zip(images, tops, lefts)]
        )

    def collate(self, items: Sequence[Any]) -> Any:
        """`default_collate`, then the images changed: the first field of items that have several.

        >>> items = [(np.zeros((1, 4, 4), np.float32), 3), (np.ones((1, 4, 4), np.float32), 7)]
        >>> images, labels = Augment(crop=2).collate(items)
        >>> tuple(images.shape), labels
        ((2, 1, 2, 2), tensor([3, 7]))
        """
        batch = default_collate(items)
        if isinstance(batch, Tensor):
            return self(batch)
        return [self(batch[0]), *batch[1:]]


class Augmented(Dataset[Any]):
    """A dataset whose images, (C, H, W) or the first field of its items, come changed by `augment`.

    Every look at an item draws anew. For whole batches at a time `Augment.collate` is faster.

    >>> zeros = [(np.zeros((1, 4, 4), np.float32), 3)]
    >>> image, label = Augmented(zeros, Augment(noise=0.1))[0]
    >>> image.shape, label, bool((image != 0).all())
    ((1, 4, 4), 3, True)
    """

    def __init__(self, dataset: Any, augment: Augment) -> None:
        self.dataset, self.augment = dataset, augment

    def __getitem__(self, index: int) -> Any:
        item = self.dataset[index]
        if isinstance(item, tuple | list):
            return (self.augment(item[0][None])[0], *item[1:])
        return self.augment(item[None])[0]

    def __len__(self) -> int:
        return len(self.dataset)


def _require_images(images: NDArray) -> None:
    if images.dtype.kind != "f":
        raise TypeError(
            f"Augment: the images must be float, got {images.dtype}; a Normalisation makes floats"
        )
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"Augment: needs images (N, C, H, W), got shape {images.shape}")
    if not np.isfinite(images).all():
        bad = int(np.argmax(~np.isfinite(images).all((1, 2, 3))))
        raise ValueError(f"Augment: image {bad} of the batch holds NaN or infinity")
