"""Colour pictures made from grey digits. There are no colour photographs in minigen; these are the
embedded handwritten digits, bright ink on dark ground, of colours that were drawn at random.

Nothing else of them is invented: `ink` gives back the grey digit. So a model of colour pictures can
be measured on what it draws and on the colours it draws with, each beside real ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.data.embedded import LabelledImages, load_mnist5k

SIZE, INNER = 32, 28  # pixels a side, of the picture and of the digit in its middle
DARK, BRIGHT = 0.3, 0.4  # red, green and blue of grounds are at most, those of inks at least
CONTRAST = 0.6  # the least distance of ink and ground in the unit cube of red, green and blue


def load_colour_digits(split: str = "train", seed: int = 0) -> LabelledImages:
    """The digits of `load_mnist5k(split)` in colour, 32x32: uint8 (4000 or 1000, 32, 32, 3), red,
    green, blue; and their labels. The colours follow from `seed` and the split.

    Raises ValueError for another split.

    >>> images, labels = load_colour_digits("test")
    >>> images.shape, images.dtype, labels[:3]
    ((1000, 32, 32, 3), dtype('uint8'), array([0, 1, 2]))
    """
    images, labels = load_mnist5k(split)
    drawn = np.random.default_rng([seed, split == "test"])
    return LabelledImages(coloured(images, drawn), labels)


def coloured(images: NDArray[np.uint8], drawn: np.random.Generator) -> NDArray[np.uint8]:
    """Grey digits uint8 (N, 28, 28) -> pictures uint8 (N, 32, 32, 3): ground where they are 0, ink
    where they are 255, in between what lies between the two colours. Grounds are dark, inks bright,
    both uniform but at least 0.6 apart, so that every digit can be read.

    >>> picture = coloured(np.zeros((1, 28, 28), np.uint8), np.random.default_rng(0))
    >>> picture.shape, len(np.unique(picture.reshape(-1, 3), axis=0))  # no ink, one colour
    ((1, 32, 32, 3), 1)
    """
    grounds, inks = two_colours(len(images), drawn)
    margin = (SIZE - INNER) // 2
    covered = np.pad(images / 255.0, ((0, 0), (margin, margin), (margin, margin)))[..., None]
    grounds, inks = grounds[:, None, None], inks[:, None, None]  # (N, 3) -> (N, 1, 1, 3)
    return np.rint(255 * (grounds + covered * (inks - grounds))).astype(np.uint8)


def two_colours(
    count: int, drawn: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`count` grounds and inks, (N, 3) each, the former uniform in [0, 0.3]³ and the latter in
    [0.4, 1]³. A pair too much alike is drawn again."""
    low, high = np.array([[0.0], [BRIGHT]]), np.array([[DARK], [1.0]])  # (2, 1): ground, ink
    pairs = drawn.uniform(low, high, (count, 2, 3))
    while True:
        alike = np.linalg.norm(pairs[:, 1] - pairs[:, 0], axis=1) < CONTRAST
        if not alike.any():
            return pairs[:, 0], pairs[:, 1]
        pairs[alike] = drawn.uniform(low, high, (int(alike.sum()), 2, 3))


def ink(pictures: ArrayLike) -> NDArray[np.float64]:
    """How much ink is where: pictures (N, 32, 32, 3) in [0, 1] -> (N, 28, 28) in [0, 1].

    The distance of each pixel's colour from the ground, the median colour of the picture's rim,
    over the largest in the picture: what `coloured` began with, if that had a pixel of 255. Zeros
    where there is one colour only. Raises ValueError for another shape, and for NaN or infinity.

    >>> images, _ = load_colour_digits("test")
    >>> grey, _ = load_mnist5k("test")
    >>> bool(np.abs(ink(images[:9] / 255) - grey[:9] / 255).max() < 0.01)
    True
    """
    array = _pictures(pictures)
    distance = np.linalg.norm(array - _grounds(array)[:, None, None], axis=3)  # (N, 32, 32)
    largest = distance.max((1, 2), keepdims=True)
    margin = (SIZE - INNER) // 2
    covered = np.divide(distance, largest, out=np.zeros_like(distance), where=largest > 1e-6)
    return covered[:, margin:-margin, margin:-margin]


def colours(pictures: ArrayLike) -> NDArray[np.float64]:
    """The two colours of pictures (N, 32, 32, 3): (N, 6), the ground and then the ink, which is the
    mean colour of the ten pixels furthest from the ground. What is raised: as in `ink`.

    >>> flat = np.broadcast_to([1.0, 0.0, 0.5], (1, 32, 32, 3))
    >>> colours(flat).tolist()
    [[1.0, 0.0, 0.5, 1.0, 0.0, 0.5]]
    """
    array = _pictures(pictures)
    grounds = _grounds(array)
    flat = array.reshape(len(array), -1, 3)  # (N, 32, 32, 3) -> (N, 1024, 3)
    distance = np.linalg.norm(flat - grounds[:, None], axis=2)
    furthest = np.argpartition(distance, -10, axis=1)[:, -10:]
    inks = np.take_along_axis(flat, furthest[..., None], axis=1).mean(1)
    return np.concatenate([grounds, inks], axis=1)


def _grounds(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median colour of the outermost pixels: (N, 32, 32, 3) -> (N, 3)."""
    rows, columns = array[:, [0, -1]], array[:, 1:-1, [0, -1]]
    rim = np.concatenate([rows.reshape(len(array), -1, 3), columns.reshape(len(array), -1, 3)], 1)
    return np.median(rim, axis=1)


def _pictures(pictures: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(pictures, np.float64)
    if array.ndim != 4 or array.shape[1:] != (SIZE, SIZE, 3):
        raise ValueError(
            f"colour pictures: needs (N, {SIZE}, {SIZE}, 3), red, green, blue last, got "
            f"{array.shape}"
        )
    if not np.isfinite(array).all():
        bad = int(np.argmax(~np.isfinite(array).all((1, 2, 3))))
        raise ValueError(f"colour pictures: picture {bad} holds NaN or infinity")
    return array
