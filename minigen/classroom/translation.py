"""Text in two languages, cell beside cell: `lang="zh" of="ID" en="HASH"` names what it translates.

The hash is of the English text as it was when the translation was made. Where they differ, somebody
has changed the one and not looked at the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from minigen.classroom.source import Cell


def fingerprint(text: str) -> str:
    """Eight digits that change with the words, not with where lines are broken.

    >>> fingerprint("two words") == fingerprint("two\\nwords") != fingerprint("too words")
    True
    """
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:8]


def stale(cells: Sequence[Cell]) -> list[str]:
    """What is out of date or missing: the id of each such English cell, with what its translation
    should now say.

    >>> english = Cell("markdown", "Hello.", {"id": "a"})
    >>> stale([english, Cell("markdown", "你好。", {"lang": "zh", "of": "a", "en": "00000000"})])
    ['a (en="2d8bd7d9")']
    """
    english = {c.options.get("id", f"line {c.line}"): c for c in cells if _is(c, "en")}
    chinese = {c.options.get("of"): c.options.get("en") for c in cells if _is(c, "zh")}
    found = []
    for name, cell in english.items():
        now = fingerprint(cell.text)
        if chinese.get(name) != now:
            found.append(f'{name} (en="{now}")')
    return found + [f"{name}, which is not there" for name in chinese if name not in english]


def _is(cell: Cell, language: str) -> bool:
    return cell.kind == "markdown" and cell.options.get("lang", "en") == language
