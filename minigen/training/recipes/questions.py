"""What the recipes that answer questions share: exercises as tokens.

Three characters that no question has, ASCII's own for this, are tokens like all others.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minigen import Tensor, from_numpy
from minigen.data import CharTokenizer
from minigen.data.tasks import SYMBOLS, Exercise, exercises

NOTHING, START, END = "\0", "\2", "\3"  # padding, start of text, end of text
PADDING, BEGIN, STOP = 0, 1, 2  # their ids: they come first in the order of code points


def tokenizer_of(task: str) -> CharTokenizer:
    """Of the characters of a task, and the three.

    >>> tokenizer_of("chain").encode(NOTHING + START + END)
    array([0, 1, 2])
    """
    return CharTokenizer(NOTHING + START + END + SYMBOLS[task])


def rows(tokenizer: CharTokenizer, texts: Sequence[str], room: int = 0) -> NDArray[np.int64]:
    """Texts as rows of tokens, filled up with padding to the longest, or to `room`.

    >>> rows(CharTokenizer(NOTHING + START + END + "ab"), ["ab", "b"])
    array([[3, 4],
           [4, 0]])
    """
    longest = max(room, *map(len, texts))
    ids = tokenizer.encode("".join(text.ljust(longest, NOTHING) for text in texts))
    return ids.reshape(len(texts), longest)


def read_answers(tokenizer: CharTokenizer, ids: Tensor) -> list[str]:
    """Rows of tokens (N, T) as texts, each without its end and what follows it."""
    return [tokenizer.decode(row).split(END)[0] for row in ids.cpu().numpy()]


def tensor(array: NDArray[np.int64], device: str) -> Tensor:
    return from_numpy(np.ascontiguousarray(array)).to(device)


@functools.cache
def drawn(
    task: str, count: int, lengths: tuple[int, int], held_out: bool, seed: int = 0
) -> list[Exercise]:
    """`exercises`, made once."""
    return exercises(task, count, lengths, held_out=held_out, seed=seed)
