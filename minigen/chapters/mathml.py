"""Formulas of LaTeX as MathML, which browsers show without any script.

latex2mathml, of minigen's `docs` extra, does the reading. Here is the small print: what it takes
for a letter but is a sign, and the other way round; and the space around functions' names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SIGNS = {"~": "\u223c", "\u00b1": "\u00b1", "\u2213": "\u2213", "*": "\u2217"}  # no letters
LETTERS = "\u2202\u221e\u22a4\u2207\u2032\u2113"  # no signs
ROWS = {"math", "mrow", "mtd", "msqrt", "mstyle"}  # may hold any number of elements
SCRIPTS = {"msub", "msup", "msubsup", "munder", "mover", "munderover"}
LIMITS = {"min", "max", "sup", "inf", "lim"}  # have below them what others have beside
THIN = "0.167em"


class FormulaError(ValueError):
    """A formula cannot be shown; the message has it, and what is the matter."""


@cache
def mathml(latex: str, display: bool = False) -> str:
    """A formula as MathML, for a line of its own if `display`.

    Raises FormulaError if it is not understood, ImportError without latex2mathml.
    """
    from latex2mathml.converter import convert

    source = latex.replace("{aligned}", "{align*}")
    try:
        made = str(convert(source, display="block" if display else "inline"))
    except Exception as error:  # each of its many kinds
        raise FormulaError(f"{latex.strip()!r}: {type(error).__name__} {error}".rstrip()) from error
    if unknown := re.search(r"\\[a-zA-Z]*|<mi>&</mi>", made):
        raise FormulaError(f"{latex.strip()!r}: {unknown[0]} is not understood")
    made = made.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    upright = r'<mi mathvariant="normal">\1</mi>'  # \mathrm of one letter comes as its number
    made = re.sub(r"<mi>(&#x000(?:[46][0-9A-F]|[57][0-9A]);)</mi>", upright, made)
    try:
        root = ElementTree.fromstring(made)
    except ElementTree.ParseError as error:
        raise FormulaError(f"{latex.strip()!r} gives no MathML: {error}") from error
    _mend(root, display)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _mend(element: Element, display: bool) -> None:
    for child in element:
        _mend(child, display)
    text = element.text or ""
    if element.tag in ("mi", "mo") and text in SIGNS:
        element.tag, element.text = "mo", SIGNS[text]
    elif element.tag == "mo" and text and (text.isalpha() or text in LETTERS):
        element.tag = "mi"
        if text == "\u2207":
            element.set("mathvariant", "normal")
    elif element.tag == "mspace" and element.get("width") == "negativethinmathspace":
        element.set("width", "-" + THIN)
    elif element.tag == "msub" and display and element[0].text in LIMITS:
        element.tag = "munder"
    if element.tag in ROWS:
        element[:] = list(_spaced(list(element)))


def _spaced(row: list[Element]) -> Iterator[Element]:
    """The row with thin spaces where a function's name meets a letter or a number."""
    for place, element in enumerate(row):
        before = row[place - 1] if place else None
        after = row[place + 1] if place + 1 < len(row) else None
        if _is_function(element) and before is not None and _is_operand(before):
            yield Element("mspace", width=THIN)
        yield element
        if after is None or _is_function(after):  # which brings its own
            continue
        if _is_function(element) and _is_operand(after):
            yield Element("mspace", width=THIN)


def _is_function(element: Element) -> bool:
    if element.tag in SCRIPTS:
        return _is_function(element[0])
    text = element.text or ""
    return element.tag == "mi" and len(text) > 1 and text.isascii() and text.isalpha()


def _is_operand(element: Element) -> bool:
    return element.tag not in ("mo", "mspace", "mtext")
