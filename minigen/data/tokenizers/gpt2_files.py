"""The two files of a byte-level vocabulary, as GPT-2 came with them.

`vocab.json` maps each token to its id. `merges.txt` has one merge a line, "Ġt he", in order, after
a first line "#version: 0.2". In both, each byte is written as one visible character (`words.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minigen.data.tokenizers.merging import Pair
from minigen.data.tokenizers.words import byte_symbols

_VERSION = "#version: 0.2"


_SYMBOLS = byte_symbols()


def spelling(token: bytes) -> str:
    """A token in visible characters.

    >>> spelling(b" the")
    'Ġthe'
    """
    return "".join(map(_SYMBOLS.__getitem__, token))


def spell(
    tokens: Sequence[bytes], merges: Iterable[Pair], special: Mapping[str, int]
) -> tuple[dict[str, int], list[str]]:
    """Ids by token, and lines of merges, in visible characters; special tokens as they are."""
    spelled = list(map(spelling, tokens))
    lines = [f"{spelled[left]} {spelled[right]}" for left, right in merges]
    for text, id in special.items():
        spelled[id] = text
    return {text: id for id, text in enumerate(spelled)}, lines


def understand(
    vocabulary: Any, lines: Sequence[str], names: tuple[Any, Any] = ("vocabulary", "merges")
) -> tuple[list[bytes], list[Pair], dict[str, int]]:
    """What `spell` was given: tokens, merges, and as special ones those that no merge makes.

    names: of the two sources, for messages.  Raises ValueError that says what is wrong in which.
    """
    ids = _checked(vocabulary, names[0])
    byte_of = {symbol: byte for byte, symbol in enumerate(_SYMBOLS)}
    merges: list[Pair] = []
    made = set(byte_of)
    for number, line in enumerate(lines, 1):
        left, _, right = line.partition(" ")
        if not {left, right, left + right} <= ids.keys() or not byte_of.keys() >= set(left + right):
            raise ValueError(
                f"{names[1]}: {line!r}, merge {number}, is not of two tokens of {names[0]} to a"
                " third"
            )
        made.add(left + right)
        merges.append((ids[left], ids[right]))
    special = {text: id for text, id in ids.items() if text not in made}
    tokens = [
        text.encode() if text in special else bytes(byte_of[symbol] for symbol in text)
        for text in sorted(ids, key=ids.__getitem__)
    ]
    return tokens, merges, special


def _checked(vocabulary: Any, name: Any) -> dict[str, int]:
    """Ids by token, if they number the tokens."""
    if not isinstance(vocabulary, dict) or {type(id) for id in vocabulary.values()} - {int}:
        raise ValueError(f"{name} is no object of ids by token")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ValueError(
            f"{name}: the ids of {len(vocabulary)} tokens are not 0 to {len(vocabulary) - 1}"
        )
    return vocabulary


def read(vocabulary: Path, merges: Path) -> tuple[list[bytes], list[Pair], dict[str, int]]:
    """Tokens, merges, special tokens.  Raises FileNotFoundError, and ValueError as `understand`."""
    try:
        ids = json.loads(vocabulary.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise ValueError(f"{vocabulary} is no JSON ({error})") from None
    try:
        lines = merges.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{merges} is no text in UTF-8 ({error})") from None
    if lines[0].startswith("#version"):
        del lines[0]
    return understand(
        ids, [line.rstrip("\r") for line in lines if line.strip()], (vocabulary, merges)
    )


def write(folder: Path, vocabulary: Mapping[str, int], merges: Sequence[str]) -> None:
    """Write both files, each whole or not at all."""
    contents = {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
        "merges.txt": "\n".join([_VERSION, *merges]) + "\n",
    }
    for name, content in contents.items():
        temporary = folder / f".{name}.tmp"
        temporary.write_text(content, encoding="utf-8", newline="\n")
        os.replace(temporary, folder / name)
