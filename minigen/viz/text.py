"""How wide a text is, on a page and in a terminal, and how numbers are written.

A drawing that must not depend on the fonts of the machine it is looked at on cannot ask them how
wide they are.  It plans with the widest of the usual ones, DejaVu Sans (Verdana is as wide), so
that a text fits its box with every other.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Advance widths of DejaVu Sans in units of the font size, rounded up to these steps.
_REGULAR = {
    0.36: "'ijlIJ ,./:;\\|f-",
    0.42: "()[]t!r",
    0.53: '"*_`sz?',
    0.60: "cLFkvxyP",
    0.64: "TYaoeESbdghnpqu$0123456789{}",
    0.70: "KAVBRXZC",
    0.79: "UHNDG&OQ",
    0.84: "w#+<=>^~",
    1.00: "M%mW@",
}
_BOLD = {
    0.38: "'ijl IJ/|\\,.",
    0.46: "-:;f!()[]",
    0.52: 'tr_`"*',
    0.60: "?zcs",
    0.69: "LvxyakEFTeo",
    0.74: "$0123456789hnu{}SYbdgpqCPZ",
    0.81: "BAKRVXU",
    0.87: "GD#+<=>HN^~OQ&",
    1.00: "w%@M",
    1.11: "mW",
}
_WIDTHS = [{c: w for w, cs in table.items() for c in cs} for table in (_REGULAR, _BOLD)]


def text_width(text: str, size: float, bold: bool = False) -> float:
    """At most how wide `text` is drawn in a sans-serif font of `size` pixels, in pixels.

    Chinese, Japanese and Korean characters are as wide as the font size.

    >>> text_width("relu", 10), text_width("激活", 10)
    (20.6, 20.0)
    """
    known = _WIDTHS[bold]
    widths = (known.get(c) or _other_width(c, bold) for c in text)
    return round(size * sum(widths), 2)


def _other_width(character: str, bold: bool) -> float:
    """Of a character that is not ASCII."""
    if unicodedata.combining(character):
        return 0.0
    if ord(character) >= 0x1F000:  # pictures
        return 1.4
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    base = unicodedata.normalize("NFD", character)[0]  # é is as wide as e
    return _WIDTHS[bold].get(base) or (1.25 if bold else 1.1)


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: two for a Chinese character.

    >>> columns("relu"), columns("激活")
    (4, 4)
    """
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def table(rows: Iterable[tuple[str, ...]], right: Iterable[int] = (), gap: int = 3) -> list[str]:
    """The rows as lines with aligned columns, those in `right` at their right edge.

    >>> table([("a", "10"), ("bcd", "5")], right=[1])
    ['a     10', 'bcd    5']
    """
    rows, right = list(rows), set(right)
    widths = [max(map(columns, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths)):
            blank = " " * (width - columns(cell))
            cells.append(blank + cell if i in right else cell + blank)
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def byte_text(count: int) -> str:
    """A number of bytes as people read it.

    >>> byte_text(999), byte_text(1536), byte_text(3 * 2**20)
    ('999 B', '1.5 KiB', '3.0 MiB')
    """
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} TiB"


def counted(count: int, noun: str) -> str:
    """
    >>> counted(1, "operation"), counted(1200, "leaf")
    ('1 operation', '1,200 leaves')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1] + 'ves' if noun.endswith('f') else noun + 's'}"
