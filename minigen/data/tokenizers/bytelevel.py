"""GPT-2's tokenizer: byte-pair encoding of the bytes of words."""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigen.data.tokenizers import gpt2_files
from minigen.data.tokenizers.ids import as_ids
from minigen.data.tokenizers.merging import Pair, PairCounts, merge_word
from minigen.data.tokenizers.words import byte_symbols, check_utf8, word_pattern

PathLike = str | os.PathLike[str]

_REMEMBERED_WORDS = 1 << 17  # of so many the tokens are kept: the plays have 30,000
_LONGEST_REMEMBERED = 64  # characters


class BytePairTokenizer:
    """Bytes, and byte sequences that merges make of them, are the tokens; every text can be
    encoded, and `decode(encode(text)) == text`.

    tokens:  the bytes of each token, by id.
    merges:  pairs of ids, in the order in which they are to be merged.
    special: ids of texts that stand for themselves, such as "<|endoftext|>", and are never cut.

    >>> tokenizer = BytePairTokenizer.train("low lower lowest slow", size=259)
    >>> [tokenizer.tokens[id] for id in tokenizer.encode("slower")]
    [b's', b'low', b'e', b'r']
    >>> tokenizer.decode(tokenizer.encode("größer als 我"))
    'größer als 我'
    """

    def __init__(
        self,
        tokens: Sequence[bytes],
        merges: Iterable[Pair],
        special: Mapping[str, int] | None = None,
    ) -> None:
        """Raises ValueError if a byte has no token, two tokens are equal, or a merge makes none."""
        self.tokens, self.merges = list(tokens), list(merges)
        self.special = dict(special or {})
        plain = dict(enumerate(self.tokens))
        for text, id in self.special.items():
            if not text or plain.pop(id, None) != text.encode():
                raise ValueError(f"BytePairTokenizer: no token of its own for special {text!r}")
        for text in self.special.keys() & set(map(gpt2_files.spelling, plain.values())):
            raise ValueError(f"BytePairTokenizer: special {text!r} is also an ordinary token")
        self._ids = {token: id for id, token in plain.items()}
        if len(self._ids) < len(plain):
            twice = next(token for id, token in plain.items() if self._ids[token] != id)
            raise ValueError(f"BytePairTokenizer: the token {twice!r} is there twice")
        lacking = [byte for byte in range(256) if bytes([byte]) not in self._ids]
        if lacking:
            raise ValueError(
                f"BytePairTokenizer: {len(lacking)} bytes have no token, the first is {lacking[0]}"
            )
        self._byte_ids = [self._ids[bytes([byte])] for byte in range(256)]
        self._ranks = {pair: (rank, self._made(pair)) for rank, pair in enumerate(self.merges)}
        longest_first = sorted(self.special, key=len, reverse=True)
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)))
        self._remembered: dict[str, list[int]] = {}

    def _made(self, pair: Pair) -> int:
        """The id of the token that a merge makes."""
        made = self._ids.get(b"".join(self.tokens[id] for id in pair))
        if made is None:
            raise ValueError(
                f"BytePairTokenizer: no token for the merge of {self.tokens[pair[0]]!r} and"
                f" {self.tokens[pair[1]]!r}"
            )
        return made

    # ------------------------------------------------------------------------------ training

    @classmethod
    def train(
        cls, text: str | Iterable[str], size: int, *, special: Sequence[str] = (), at_least: int = 2
    ) -> BytePairTokenizer:
        """Learn merges until there are `size` tokens, or no pair occurs `at_least` times.

        Ids 0 to 255 are the bytes in the order of GPT-2, then the special tokens, then the merged
        ones as they were learned.  Of pairs that occur equally often the one of the smaller left
        id, then of the smaller right id, is merged first.

        text: one string, or several (files, say, read one at a time).
        Raises ValueError for a size with no room for bytes and special tokens.
        """
        symbols = byte_symbols()
        tokens = [bytes([byte]) for byte in sorted(range(256), key=symbols.__getitem__)]
        ids = {token: id for id, token in enumerate(tokens)}
        specials = {name: 256 + place for place, name in enumerate(dict.fromkeys(special))}
        tokens += [name.encode() for name in specials]
        if size < len(tokens):
            raise ValueError(
                f"BytePairTokenizer.train: size {size} has no room for 256 bytes and"
                f" {len(specials)} special tokens"
            )
        counts = PairCounts(
            ([ids[bytes([byte])] for byte in word.encode()], frequency)
            for word, frequency in count_words([text] if isinstance(text, str) else text).items()
        )
        merges: list[Pair] = []
        while len(tokens) < size:
            best = counts.pop()
            if best is None or best[1] < at_least:
                break
            left, right = pair = best[0]
            counts.merge(pair, len(tokens))
            merges.append(pair)
            tokens.append(tokens[left] + tokens[right])
        return cls(tokens, merges, specials)

    # ------------------------------------------------------------------------------ text and ids

    def __len__(self) -> int:
        """The size of the vocabulary: the last dimension of a model's logits."""
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BytePairTokenizer) and (
            (self.tokens, self.merges, self.special) == (other.tokens, other.merges, other.special)
        )

    def __hash__(self) -> int:
        return hash((tuple(self.tokens), tuple(self.merges)))

    def __repr__(self) -> str:
        return f"<BytePairTokenizer of {len(self)} tokens, {len(self.merges)} merges>"

    def encode(self, text: str, *, allow_special: bool = True) -> NDArray[np.int64]:
        """The ids of the tokens of a text, int64 of one dimension.

        allow_special: whether "<|endoftext|>" in the text is the special token, which whoever wrote
        the text can then place in it; if False it is a text like others.
        Raises ValueError if the text has a lone surrogate.
        """
        check_utf8(text)
        ids: list[int] = []
        start = 0
        if allow_special and self.special:
            for found in self._special_pattern.finditer(text):
                self._encode_plain(text[start : found.start()], ids)
                ids.append(self.special[found[0]])
                start = found.end()
        self._encode_plain(text[start:], ids)
        return np.array(ids, np.int64)

    def _encode_plain(self, text: str, ids: list[int]) -> None:
        """Append the ids of a text without special tokens."""
        remembered = self._remembered
        for word in word_pattern().findall(text):
            found = remembered.get(word)
            if found is None:
                found = merge_word([self._byte_ids[byte] for byte in word.encode()], self._ranks)
                if len(word) <= _LONGEST_REMEMBERED and len(remembered) < _REMEMBERED_WORDS:
                    remembered[word] = found
            ids += found

    def decode(self, ids: ArrayLike) -> str:
        """The text of a sequence of ids: an integer array, tensor or list of one dimension.

        Bytes that are no UTF-8, which a model may well produce, become U+FFFD: �.
        Raises TypeError, ValueError and IndexError as `CharTokenizer.decode`.
        """
        array = as_ids("BytePairTokenizer.decode", ids, len(self))
        return b"".join(map(self.tokens.__getitem__, array.tolist())).decode(errors="replace")

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of ids piece by piece, as they come; together what `decode` gives.

        A token may end inside a character.  Its bytes are held back until the character is
        complete, or cannot become one.

        >>> tokenizer = BytePairTokenizer.train("", size=256)
        >>> list(tokenizer.decode_stream(tokenizer.encode("é!")))
        ['é', '!']
        """
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        for id in ids:
            piece = utf8.decode(self.tokens[id])
            if piece:
                yield piece
        rest = utf8.decode(b"", final=True)
        if rest:
            yield rest

    # ------------------------------------------------------------------------------ files

    def save(self, folder: PathLike) -> None:
        """Write `vocab.json` and `merges.txt` as GPT-2 has them; the folder must exist."""
        vocabulary, merges = gpt2_files.spell(self.tokens, self.merges, self.special)
        gpt2_files.write(Path(folder), vocabulary, merges)

    @classmethod
    def load(cls, vocabulary: PathLike, merges: PathLike | None = None) -> BytePairTokenizer:
        """Read a vocabulary, such as GPT-2's `vocab.json` (`encoder.json`), and its merges,
        `merges.txt` (`vocab.bpe`); or, if only one path is given, both from that folder.

        Tokens that neither are a byte nor come from a merge are special.
        Raises FileNotFoundError, and ValueError that names the file and what is wrong with it.
        """
        if merges is None:
            folder = Path(vocabulary)
            vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
        return cls(*gpt2_files.read(Path(vocabulary), Path(merges)))

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs, the contents of both files: for the config of a run."""
        vocabulary, merges = gpt2_files.spell(self.tokens, self.merges, self.special)
        return {"tokenizer": "byte pairs", "vocabulary": vocabulary, "merges": merges}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> BytePairTokenizer:
        """The tokenizer that `to_dict` described.  Raises ValueError for another description."""
        if saved.get("tokenizer") != "byte pairs":
            raise ValueError(
                "BytePairTokenizer.from_dict: expects {'tokenizer': 'byte pairs', ...}, got"
                f" {saved.get('tokenizer')!r}"
            )
        return cls(*gpt2_files.understand(saved.get("vocabulary"), saved.get("merges") or []))


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs.  Raises ValueError if a text has a lone surrogate.

    >>> count_words(["a rose is", " a rose"])
    Counter({' rose': 2, 'a': 1, ' is': 1, ' a': 1})
    """
    words: Counter[str] = Counter()
    for text in texts:
        check_utf8(text)
        words.update(word_pattern().findall(text))
    return words
