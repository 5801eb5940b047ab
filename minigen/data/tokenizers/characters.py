"""The simplest tokenizer: every character is a token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.data.tokenizers.ids import as_ids


class CharTokenizer:
    """Each different character of `text` is one token; ids count up in the order of code points.

    `symbols` is the vocabulary as one sorted string, `len(tokenizer)` its size: the last dimension
    of a model's logits. Two texts with the same characters give equal tokenizers.

    >>> tokenizer = CharTokenizer("hello world")
    >>> tokenizer.symbols
    ' dehlorw'
    >>> tokenizer.encode("world")
    array([7, 5, 6, 4, 1])
    >>> tokenizer.decode([3, 2, 4, 4, 5])
    'hello'
    """

    def __init__(self, text: str) -> None:
        """Raises TypeError if `text` is no string, ValueError if it is empty."""
        if not isinstance(text, str):
            raise TypeError(f"CharTokenizer: expects a string, got {type(text).__name__}")
        if not text:
            raise ValueError("CharTokenizer: the text is empty, so there is no character to number")
        self.symbols = "".join(sorted(set(text)))
        self._code_points = _code_points(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharTokenizer) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def __repr__(self) -> str:
        return f"CharTokenizer({self.symbols!r})"

    def encode(self, text: str) -> NDArray[np.int64]:
        """The ids of the characters, int64 (len(text),).

        Raises ValueError that names the first character outside the vocabulary and its position.
        """
        given = _code_points(text)
        ids = np.searchsorted(self._code_points, given)
        known = self._code_points.take(ids, mode="clip") == given
        if not known.all():
            position = int(np.argmin(known))
            raise ValueError(
                f"CharTokenizer.encode: the character {text[position]!r} at position {position} is"
                f" not among the {len(self)} symbols of this tokenizer"
            )
        return ids.astype(np.int64, copy=False)

    def decode(self, ids: ArrayLike) -> str:
        """The text of a sequence of ids: an integer array, tensor or list of one dimension.

        Raises TypeError for ids that are no integers, ValueError for another number of dimensions,
        and IndexError that names the first id outside 0 to len(self) - 1 and its position.
        """
        array = as_ids("CharTokenizer.decode", ids, len(self))
        return self._code_points[array].tobytes().decode("utf-32-le", "surrogatepass")

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The characters of ids, as they come."""
        for id in ids:
            yield self.symbols[id]

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs, as strings only: for the config of a run.

        >>> CharTokenizer("banana").to_dict()
        {'tokenizer': 'character', 'symbols': 'abn'}
        """
        return {"tokenizer": "character", "symbols": self.symbols}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> CharTokenizer:
        """The tokenizer that `to_dict` described.

        Raises ValueError if the description is of another kind or its symbols are not sorted and
        different, because ids would then mean other characters than when it was saved.
        """
        symbols = saved.get("symbols")
        if saved.get("tokenizer") != "character" or not isinstance(symbols, str) or not symbols:
            raise ValueError(
                "CharTokenizer.from_dict: expects {'tokenizer': 'character', 'symbols': '...'},"
                f" got {dict(saved)!r}"
            )
        tokenizer = cls(symbols)
        if tokenizer.symbols != symbols:
            raise ValueError(
                "CharTokenizer.from_dict: the symbols must be sorted and different, got"
                f" {symbols!r}"
            )
        return tokenizer


def _code_points(text: str) -> NDArray[np.uint32]:
    """The characters as numbers; lone surrogates, which Python allows in a string, included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
