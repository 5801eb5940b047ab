"""BERT's tokenizer: J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019
(arXiv:1810.04805), section 3, with the word pieces of Y. Wu et al., "Google's Neural Machine
Translation System", 2016 (arXiv:1609.08144), section 4.1.

Text is cleaned, cut at spaces, punctuation and Chinese characters, and each word is then covered
with the longest pieces of the vocabulary, from left to right: "unaffable" -> un ##aff ##able. "##"
marks a piece that goes on with a word. Case, accents and spaces are lost: text cannot be restored.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.data.tokenizers.ids import as_ids

PathLike = str | os.PathLike[str]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LONGEST_WORD = 100  # characters; what is longer is unknown as a whole

# Where the characters of Chinese stand, written without spaces between words: the ideographs of
# Unicode and their extensions A to E. Kana and Hangul are not among them: they use spaces.
_CHINESE = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b820-\U0002ceaf"
    "\U0002f800-\U0002fa1f]"
)


class WordPieceTokenizer:
    """The pieces of words are the tokens.

    pieces:    the vocabulary; a piece's place is its id.
    lowercase: whether case and accents are taken off first, as the "uncased" models have it.

    >>> pieces = ["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "!"]
    >>> tokenizer = WordPieceTokenizer(pieces)
    >>> tokenizer.encode("Unaffable!")
    array([1, 3, 4, 5, 6, 2])
    >>> tokenizer.decode([3, 4, 5, 6])
    'unaffable !'
    """

    def __init__(self, pieces: Sequence[str], *, lowercase: bool = True) -> None:
        """Raises ValueError if a piece is there twice, or [UNK], [CLS] or [SEP] is missing."""
        self.pieces, self.lowercase = list(pieces), lowercase
        self._ids = {piece: id for id, piece in enumerate(self.pieces)}
        if len(self._ids) < len(self.pieces):
            twice = next(piece for id, piece in enumerate(pieces) if self._ids[piece] != id)
            raise ValueError(f"WordPieceTokenizer: the piece {twice!r} is there twice")
        missing = [name for name in ("[UNK]", "[CLS]", "[SEP]") if name not in self._ids]
        if missing:
            raise ValueError(f"WordPieceTokenizer: the vocabulary lacks {', '.join(missing)}")
        self.special = {name: self._ids[name] for name in SPECIAL if name in self._ids}
        self._special_pattern = re.compile("|".join(map(re.escape, self.special)))

    @classmethod
    def load(cls, path: PathLike, *, lowercase: bool = True) -> WordPieceTokenizer:
        """Read a `vocab.txt`: a piece a line.  Raises FileNotFoundError, or ValueError."""
        try:
            lines = Path(path).read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{os.fspath(path)} is no text in UTF-8 ({error})") from None
        pieces = [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
        try:
            return cls(pieces, lowercase=lowercase)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None

    def save(self, path: PathLike) -> None:
        """Write a `vocab.txt`."""
        target = Path(path)
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.write_text("\n".join(self.pieces) + "\n", encoding="utf-8", newline="\n")
        os.replace(temporary, target)

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str, second: str | None = None) -> NDArray[np.int64]:
        """The ids of [CLS] text [SEP], or of [CLS] text [SEP] second [SEP], int64 of one dimension.

        "[MASK]" and the other special tokens are recognised where they stand in a text.
        """
        ids = [self.special["[CLS]"], *self._encode(text), self.special["[SEP]"]]
        if second is not None:
            ids += [*self._encode(second), self.special["[SEP]"]]
        return np.array(ids, np.int64)

    def _encode(self, text: str) -> Iterator[int]:
        start = 0
        for found in self._special_pattern.finditer(text):
            yield from self._encode_plain(text[start : found.start()])
            yield self.special[found[0]]
            start = found.end()
        yield from self._encode_plain(text[start:])

    def _encode_plain(self, text: str) -> Iterator[int]:
        for word in words(normalize(text, lowercase=self.lowercase)):
            yield from self._cover(word)

    def _cover(self, word: str) -> list[int]:
        """The longest piece of the vocabulary that begins the word, then so with the rest."""
        unknown = [self.special["[UNK]"]]
        if len(word) > _LONGEST_WORD:
            return unknown
        ids: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else "##" + word[start:end]
                if piece in self._ids:
                    break
            else:
                return unknown
            ids.append(self._ids[piece])
            start = end
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """The words of a sequence of ids, with spaces between them.

        Raises TypeError, ValueError and IndexError as `CharTokenizer.decode`.
        """
        array = as_ids("WordPieceTokenizer.decode", ids, len(self))
        return "".join(self.decode_stream(array.tolist()))

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of ids piece by piece, as they come."""
        for place, id in enumerate(ids):
            piece = self.pieces[id]
            if place == 0:
                yield piece
            else:
                yield piece[2:] if piece.startswith("##") else " " + piece


def normalize(text: str, *, lowercase: bool) -> str:
    """Clean a text: no control characters, a space around each Chinese character, and, if asked
    for, no accents (the combining marks that Unicode's decomposition NFD splits off) and no
    capitals.

    >>> normalize("Crème\\tBrûlée 好吃", lowercase=True)
    'creme brulee  好  吃 '
    """
    text = "".join(" " if c in "\t\n\r" else c for c in text if not _is_control(c))
    text = _CHINESE.sub(" \\g<0> ", text)
    if lowercase:
        text = unicodedata.normalize("NFD", text)
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
        # Each character for itself: in a whole word Python would write the last sigma as ς.
        text = "".join(map(str.lower, text))
    return text


def _is_control(c: str) -> bool:
    """Whether a character is thrown away: controls, formats, private ones, U+0000 and U+FFFD."""
    if c in "\t\n\r":
        return False
    return c == "\ufffd" or unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")


def words(text: str) -> list[str]:
    """What stands between spaces, and each punctuation mark for itself.

    >>> words("don't stop")
    ['don', "'", 't', 'stop']
    """
    return "".join(f" {c} " if _is_punctuation(c) else c for c in text).split()


def _is_punctuation(c: str) -> bool:
    """Unicode's punctuation, and ASCII's symbols such as $ + < ^ `, which Unicode calls symbols."""
    if c.isascii():
        return c.isprintable() and not c.isalnum() and c != " "
    return unicodedata.category(c)[0] == "P"
