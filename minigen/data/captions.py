"""Captions of handwritten digits, from their geometry: "a thick tilted three".

MNIST says which digit an image shows and no more. How it is written can be measured: how thick the
stroke is, how far it leans, how wide the digit is. A digit gets a word for each of these where it
is among the lowest or the highest third of *its own kind*, so that a wide one is wide for a one,
and the words say nothing about which digit it is; what lies between has no word.

Shapes: N images of h x w pixels in [0, 1], ink 1; 3 attributes of 3 levels, 0 low to 2 high.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.data.embedded import load_mnist5k

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ATTRIBUTES = ("thickness", "slant", "width")
WORDS = (("thin", "thick"), ("upright", "tilted"), ("narrow", "wide"))  # low and high of each
MIDDLE = 1  # the level without a word


def measure(images: ArrayLike) -> NDArray[np.float64]:
    """Thickness in pixels, slant and width in pixels: images (N, h, w) in [0, 1] -> (N, 3).

    thickness: twice the ink over the total variation; of a stroke of width a and length l that is
        2 a l / 2 (a + l), nearly a.
    slant: by how much each row must move, in widths of a pixel per row, to be upright: the
        covariance of columns and rows over the variance of rows; positive leans to the right.
    width: four standard deviations of the ink around the upright axis, sideways.
    Raises ValueError for another shape, or an image without ink.

    >>> bar = np.zeros((1, 28, 28))
    >>> bar[0, 4:24, 12:16] = 1.0  # 20 rows, 4 wide
    >>> measure(bar).round(2).tolist()
    [[3.37, 0.0, 4.47]]
    """
    ink = np.asarray(images, np.float64)
    if ink.ndim != 3:
        raise ValueError(f"measure: needs images (N, height, width), got shape {ink.shape}")
    total = ink.sum((1, 2))
    if not (total > 0).all():
        raise ValueError(f"measure: image {int((total <= 0).argmax())} has no ink")
    _, height, width = ink.shape
    up = -np.arange(height, dtype=np.float64)[:, None]  # (h, 1)
    right = np.arange(width, dtype=np.float64)

    def mean(values: NDArray) -> NDArray:
        """Over the ink of each image: (h, w) or (N, h, w) -> (N, 1, 1)."""
        return ((ink * values).sum((1, 2)) / total)[:, None, None]

    x, y = right - mean(right), up - mean(up)  # (N, 1, w), (N, h, 1)
    slant = mean(x * y) / np.maximum(mean(y * y), 1e-9)
    spread = np.sqrt(np.maximum(mean((x - slant * y) ** 2), 0.0))
    padded = np.pad(ink, ((0, 0), (0, 1), (0, 1)))
    down, across = np.diff(padded, axis=1)[:, :, :-1], np.diff(padded, axis=2)[:, :-1]
    variation = np.sqrt(down**2 + across**2).sum((1, 2))
    return np.stack([2 * total / variation, slant[:, 0, 0], 4 * spread[:, 0, 0]], axis=1)


@functools.cache
def _bounds() -> NDArray[np.float64]:
    """The values between levels, of each digit and attribute: (10, 3, 2), from training digits."""
    images, labels = load_mnist5k("train")
    values = measure(images / 255)
    return np.stack(
        [np.quantile(values[labels == d], [1 / 3, 2 / 3], axis=0).T for d in range(len(DIGITS))]
    )  # 10 x (2, 3).T -> (10, 3, 2)


def levels(images: ArrayLike, digits: ArrayLike) -> NDArray[np.int64]:
    """The level of each attribute: images (N, 28, 28), digits (N,) -> 0, 1 or 2, (N, 3).

    An image without ink has none: its levels are -1.
    """
    images, digits = np.asarray(images, np.float64), np.asarray(digits)
    found = np.full((len(images), len(ATTRIBUTES)), -1, np.int64)
    inked = images.reshape(len(images), -1).max(1, initial=0) > 0
    if inked.any():
        values = measure(images[inked])[..., None]  # (N, 3, 1)
        found[inked] = (values > _bounds()[digits[inked]]).sum(2)  # two bounds: 0, 1 or 2 below
    return found


class Caption(NamedTuple):
    """A digit and the level of each attribute, MIDDLE where nothing is said of it."""

    digit: int
    levels: tuple[int, int, int]

    def __str__(self) -> str:
        """In English.

        >>> str(Caption(3, (2, 2, 1)))
        'a thick tilted three'
        """
        said = [words[level // 2] for words, level in zip(WORDS, self.levels) if level != MIDDLE]
        words = " ".join([*said, DIGITS[self.digit]])
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def parse(text: str) -> Caption:
    """A caption's digit and levels; the words may come in any order.

    Raises ValueError for a word that no caption has, for two that contradict each other, and if
    there is not exactly one digit.

    >>> parse("an upright wide eight")
    Caption(digit=8, levels=(1, 0, 2))
    """
    found: list[int | None] = [None] * len(ATTRIBUTES)
    digit = None
    for word in text.lower().split():
        attribute = next((a for a, pair in enumerate(WORDS) if word in pair), None)
        if word in DIGITS:
            if digit is not None:
                raise ValueError(f"the caption {text!r} names two digits; one picture shows one")
            digit = DIGITS.index(word)
        elif attribute is not None:
            level = 2 * WORDS[attribute].index(word)
            if found[attribute] not in (None, level):
                raise ValueError(f"{ATTRIBUTES[attribute]} is given twice in {text!r}")
            found[attribute] = level
        elif word not in ("a", "an", "the"):
            known = ", ".join([*(w for pair in WORDS for w in pair), *DIGITS])
            raise ValueError(f"no caption has the word {word!r}; there are {known}")
    if digit is None:
        raise ValueError(f"the caption {text!r} names no digit; add one of {', '.join(DIGITS)}")
    first, second, third = (MIDDLE if level is None else level for level in found)
    return Caption(digit, (first, second, third))
