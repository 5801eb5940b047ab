"""The text of a chapter, read as text: its words, its formulas, the numbers that it states.

Lines keep their places when something is taken out, so that what is found can be named by line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

CODE = re.compile(r"^```.*?^```$|`[^`]+`", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(r"\$\$(?P<display>[^$]+)\$\$|\$(?P<inline>[^$]+)\$")
WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
HALF_WIDTH = re.compile(r"(?<=[\u4e00-\u9fff])[,;:!?()]|[,;:!?()](?=[\u4e00-\u9fff])")

# A result has a decimal point or is a percentage. The number of a paper, of a section or of a
# release is none.
STATED = re.compile(
    r"(?<![\w.])(?:(?<!\d)[-−])?(?:\d[\d,]*\.\d+(?:e[-−]?\d+)?(?:\s?[%％])?|\d[\d,]*\s?[%％])(?![\d.]\d)"
)
NAMED = re.compile(
    r"(?:arXiv|[Ss]ections?|[Cc]hapters?|[Ee]quations?|Eq\.|Python|NumPy|第)[\s:]*\(?$"
)
STRUCTURE = re.compile(r"\s*(?:[#|>]|```|\$\$|[-*+] |\d+\. )")  # how a line that is no prose begins


def without_formulas_and_code(text: str) -> str:
    """The text with blanks for its code and formulas.

    >>> without_formulas_and_code("so `x` is $y$,\\n`z` not")
    'so   is  ,\\n  not'
    """

    def blank(found: re.Match[str]) -> str:
        return " " + "\n" * found[0].count("\n")

    return FORMULA.sub(blank, CODE.sub(blank, text))


def formulas(text: str) -> Iterator[tuple[int, str, bool]]:
    """Each formula: how many lines down, its LaTeX, and whether it stands on its own."""
    text = CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in FORMULA.finditer(text):
        line = text.count("\n", 0, found.start())
        yield line, found["display"] or found["inline"], found["display"] is not None


def words(text: str) -> int:
    """How many words somebody reads: not the formulas, code or tables.

    >>> words("A slope, $x$ of `y`.\\n\\n| a | table |\\n")
    3
    """
    lines = without_formulas_and_code(text).split("\n")
    return sum(len(WORD.findall(line)) for line in lines if not line.lstrip().startswith("|"))


def stated_numbers(text: str) -> Iterator[tuple[int, str]]:
    """Each number that is a result: how many lines down, and the number as `same_number` has it.

    >>> list(stated_numbers("It falls by 0.69, 93 % of $0.74$.\\nSection 3.2: 4 layers."))
    [(0, '0.69'), (0, '93%')]
    """
    plain = without_formulas_and_code(text)
    for found in STATED.finditer(plain):
        if not NAMED.search(plain[: found.start()]):
            yield plain.count("\n", 0, found.start()), same_number(found[0])


def same_number(text: str) -> str:
    """A number in one spelling, whatever the language or keyboard.

    >>> same_number("−1,000.5 ％")
    '-1000.5%'
    """
    text = text.replace("−", "-").replace("％", "%").replace(",", "")
    return re.sub(r"\s", "", text)


def unwrapped(text: str) -> str:
    """Chinese lines joined where they were only broken to fit: a browser would put a space there.

    >>> unwrapped("一个数的\\n斜率是 `g`，\\nNumPy 的数组。")
    '一个数的斜率是 `g`，NumPy 的数组。'
    """
    joined: list[str] = []
    for line in text.split("\n"):
        last = joined[-1] if joined else ""
        between = last and line and not STRUCTURE.match(line) and not last.lstrip().startswith("#")
        if between and _meet(last, line.lstrip()):
            joined[-1] = last + line.lstrip()
        else:
            joined.append(line)
    return "\n".join(joined)


def _meet(left: str, right: str) -> bool:
    """Whether no space belongs between: both are Chinese, or one is Chinese punctuation."""
    before, after = left.rstrip("*")[-1:], right.lstrip("*")[:1]
    if not before or not after:
        return False
    wide = [unicodedata.east_asian_width(c) in "WF" or c in "“”‘’…—" for c in (before, after)]
    marks = [w and not CHINESE.match(c) for w, c in zip(wide, (before, after))]
    return all(wide) or any(marks)
