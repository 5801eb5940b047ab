"""The text that fine-tuning turns to: Python's manual, which every Python has, or a file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Tensor


def python_manual() -> str:
    """What `help()` shows of keywords and topics: about 465,000 characters.

    It is not quite the same in each version of Python.
    """
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def read_text(data: str) -> str:
    """A file's text, or the manual for "". Raises ValueError if the file cannot be read."""
    if not data:
        return python_manual()
    try:
        return Path(data).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data: {data} cannot be read as text ({error})") from error


def checksum(data: str) -> str:
    """Of the text, to know it again."""
    return f"{zlib.crc32(read_text(data).encode()):08x}"


def new_text(options: Mapping[str, Any], symbols: str) -> tuple[str, str]:
    """The first 90 % of it to train on, the last 10 % to validate with; characters that the model
    has no token for are left out.

    Raises ValueError if the text is not the one that the run began with, or little is left of it.
    """
    text = read_text(options["data"])
    if checksum(options["data"]) != options["checksum"]:
        raise ValueError(
            f"data: {options['data'] or 'the manual of this Python'} is not the text that this run "
            "began with"
        )
    known = set(symbols)
    text = "".join(c for c in text if c in known)[: options["characters"]]
    if len(text) < 2000:
        raise ValueError(f"data: only {len(text)} characters are left of it that the model knows")
    cut_at = len(text) * 9 // 10
    return text[:cut_at], text[cut_at:]


class TextPairs:
    """Every stretch of `length` tokens of the old text, by where it begins, with one of the new: a
    dataset of arrays (2, length)."""

    def __init__(self, old: NDArray[np.int64], new: NDArray[np.int64], length: int) -> None:
        self.old, self.new, self.length = old, new, length
        self.places = [len(ids) - length + 1 for ids in (old, new)]

    def __len__(self) -> int:
        return max(self.places)

    def __getitem__(self, start: int) -> NDArray[np.int64]:
        old, new = (start % places for places in self.places)
        return np.stack([self.old[old : old + self.length], self.new[new : new + self.length]])


def gather_pairs(pairs: list[NDArray[np.int64]]) -> Tensor:
    """N pairs -> (N, 2, T + 1)."""
    return minigen.from_numpy(np.stack(pairs))
