"""What must be true of every chapter, as far as its text shows; each broken rule is a sentence.

That its code runs, quickly, and that what it claims is so, is seen by running it
(`minigen.chapters.execution`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence

from minigen.chapters.chapter import Chapter
from minigen.chapters.prose import (
    CHINESE,
    HALF_WIDTH,
    same_number,
    stated_numbers,
    without_formulas_and_code,
    words,
)
from minigen.classroom.assignment import SOLUTION
from minigen.classroom.source import Cell
from minigen.classroom.translation import stale

WORDS = (800, 1500)
CODE_CELLS = (10, 16)
REFERENCE = 4  # times as long may be what one looks things up in (length="reference")
SOLUTION_LINES = (5, 15)
LAST_SECTION = "What you may now use"
BLIND = re.compile(r"\.sum\(\)\s*\.backward\(\)")
OPTIONS = {
    "markdown": {
        "id",
        "lang",
        "of",
        "en",
        "grad",
        "exercise",
        "goal",
        "minutes",
        "after",
        "captions",
        "length",
    },
    "code": {"check", "solution"},
}

Rule = Callable[[Chapter], Iterator[tuple[int, str]]]


def broken_rules(chapter: Chapter) -> list[str]:
    """Every rule that the chapter breaks, by line: "line 12: ..."; none for a good chapter."""
    found = [each for rule in RULES for each in rule(chapter)]
    return [f"line {line}: {sentence}" for line, sentence in sorted(found)]


def _options_known(chapter: Chapter) -> Iterator[tuple[int, str]]:
    for cell in chapter.cells:
        for name in sorted(set(cell.options) - OPTIONS[cell.kind]):
            yield cell.line, f"a {cell.kind} cell has no option {name}="


def _headings(chapter: Chapter) -> Iterator[tuple[int, str]]:
    for language in ("en", "zh"):
        cells = list(chapter.prose(language))
        if not cells:
            yield 1, f"there is no text in {language}"
            continue
        if not re.match(rf"# {chapter.number or '..'} · \S", cells[0].text):
            yield cells[0].line, f'the text in {language} begins with "# {chapter.number} · TITLE"'
        for place, cell in enumerate(cells):
            for line, text in _lines(cell):
                level = len(text) - len(text.lstrip("#"))
                title = place == 0 and line == cell.line + 1
                if text[level : level + 1] == " " and level not in (0, 1 if title else 2):
                    yield line, "sections have ##; # is the title's, at the very beginning"
    if not any(text == f"## {LAST_SECTION}" for c in chapter.prose("en") for _, text in _lines(c)):
        yield _end(chapter), f'there is no section "## {LAST_SECTION}"'


def _title_says(chapter: Chapter) -> Iterator[tuple[int, str]]:
    line = next((c.line for c in chapter.prose("en")), 1)
    for language in ("en", "zh"):
        if not isinstance(chapter.said("goal", language), str):
            yield line, f'the title in {language} has no goal="what one learns"'
    if not isinstance(chapter.said("minutes"), int | float):
        yield line, "the title has no minutes=, of a full run on one thread"
    after = chapter.said("after")
    if not isinstance(after, list) or not all(re.fullmatch(r"\d\d", str(n)) for n in after):
        yield line, 'the title has no after=["01"], the chapters to be read before'


def _size(chapter: Chapter) -> Iterator[tuple[int, str]]:
    length = chapter.said("length")
    if length not in (None, "reference"):
        yield chapter.cells[0].line, f'the title\'s length is {length!r}; it can be "reference"'
    times = REFERENCE if length == "reference" else 1
    for what, count, (low, high) in (
        ("English words", sum(words(cell.text) for cell in chapter.prose("en")), WORDS),
        ("code cells", sum(1 for _ in chapter.code()), CODE_CELLS),
    ):
        if not low <= count <= high * times:
            yield _end(chapter), f"{count} {what}; a chapter has {low} to {high * times}"


def _shape(chapter: Chapter) -> Iterator[tuple[int, str]]:
    if not any(text.startswith("|") for c in chapter.prose("en") for _, text in _lines(c)):
        yield _end(chapter), "there is no table of shapes"
    if not any("show" in _called(cell) for cell in chapter.code()):
        yield _end(chapter), "there is no picture: no code calls show"
    if not any("exercise" in cell.options for cell in chapter.cells):
        yield _end(chapter), "there is no exercise"


def _gradients(chapter: Chapter) -> Iterator[tuple[int, str]]:
    checkers = _closure(chapter, _imported(chapter, "minigen.testing") | {"testing"})
    claimed = {}
    for cell, following in _with_next_code(chapter):
        name = cell.options.get("grad")
        if name is None:
            continue
        claimed[name] = following
        if following is None or following.options.get("check") != name:
            yield cell.line, f'the gradient "{name}" is not checked: the next code has no check='
    for cell in chapter.code():
        name = cell.options.get("check")
        if name is None:
            continue
        if claimed.get(name) is not cell:
            yield cell.line, f'check="{name}": no text just before derives this gradient'
        if not checkers & _names(cell):
            yield cell.line, f'check="{name}" uses nothing of minigen.testing'
        if BLIND.search(cell.text):
            yield cell.line, f'check="{name}" is blind: .sum().backward(); take a random cotangent'
        if "fast" in _names(cell):
            yield cell.line, f'check="{name}" asks for fast(): a gradient is checked each time'


def _exercises(chapter: Chapter) -> Iterator[tuple[int, str]]:
    asked = {}
    for cell, following in _with_next_code(chapter):
        if (name := cell.options.get("exercise")) is not None:
            asked[name] = following
            if following is None or following.options.get("solution") != name:
                yield cell.line, f'the exercise "{name}" has no solution: the next code is not it'
    code = list(chapter.code())
    for place, cell in enumerate(code):
        if (name := cell.options.get("solution")) is None:
            continue
        if asked.get(name) is not cell:
            yield cell.line, f'solution="{name}": no text just before asks for it'
        low, high = SOLUTION_LINES
        parts = [found[0].strip().split("\n")[1:-1] for found in SOLUTION.finditer(cell.text)]
        lines = sum(bool(line.strip()) for part in parts for line in part)
        if not low <= lines <= high:
            yield cell.line, f'solution="{name}" has {lines} lines; it has {low} to {high}'
        made = {n.name for n in _tree(cell).body if isinstance(n, ast.FunctionDef)}
        following = code[place + 1] if place + 1 < len(code) else None
        if following is None or not made & _names(following):
            yield cell.line, f'solution="{name}": the next code does not check the function'


def _numbers(chapter: Chapter) -> Iterator[tuple[int, str]]:
    claimed = claims(chapter)
    for language in ("en", "zh"):
        for cell in chapter.prose(language):
            for offset, number in stated_numbers(cell.text):
                if number not in claimed:
                    told = f"nobody claims {number}; if it is set, not found, write it as `code`"
                    yield cell.line + 1 + offset, told


def _translations(chapter: Chapter) -> Iterator[tuple[int, str]]:
    lines = {cell.options.get("id"): cell.line for cell in chapter.prose("en")}
    for problem in stale(chapter.cells):
        name = problem.split(" ")[0].rstrip(",")
        yield lines.get(name, 1), f"a translation is stale or missing: {problem}"
    for before, cell in zip(chapter.cells, chapter.cells[1:]):
        if "of" in cell.options and cell.options["of"] != before.options.get("id"):
            yield cell.line, "this translation does not stand right after its English"
    for cell in chapter.prose("zh"):
        if not CHINESE.search(cell.text):
            yield cell.line, "a translation without a Chinese character"
        for offset, line in enumerate(without_formulas_and_code(cell.text).split("\n"), 1):
            if found := HALF_WIDTH.search(line):
                yield cell.line + offset, f"a half-width {found[0]!r} in Chinese text"


def _captions(chapter: Chapter) -> Iterator[tuple[int, str]]:
    chinese = chapter.captions()
    shown: dict[str, int] = {}
    for cell in chapter.code():
        for call in ast.walk(_tree(cell)):
            if isinstance(call, ast.Call) and _name(call.func) == "show" and len(call.args) > 1:
                given = call.args[1]
                shown[str(given.value) if isinstance(given, ast.Constant) else ""] = cell.line
    for name, line in shown.items():
        if name and not CHINESE.search(chinese.get(name, "")):
            yield line, f'the picture "{name}" has no Chinese caption: captions={{"{name}": ...}}'
    for cell in chapter.prose("zh"):
        for name in cell.options.get("captions", {}):
            if name not in shown and "" not in shown:
                yield cell.line, f'there is a caption of "{name}", but no such picture'


def _self_contained(chapter: Chapter) -> Iterator[tuple[int, str]]:
    for cell in chapter.cells:
        if cell.kind == "markdown":
            text = without_formulas_and_code(cell.text)
            if re.search(r"https?://|www\.", text):
                yield cell.line, "a link to the network: name the paper instead"
            if re.search(r"</?[a-zA-Z][^>\n]*>", text):
                yield cell.line, "HTML in the text"
            if "$" in text:
                yield cell.line, "a $ without its partner"
        else:
            for line, text in enumerate(cell.text.split("\n"), cell.line + 1):
                if re.match(r"\s*[%!]\w", text):
                    yield line, "a magic of IPython"


RULES: Sequence[Rule] = (
    _options_known,
    _headings,
    _title_says,
    _size,
    _shape,
    _gradients,
    _exercises,
    _numbers,
    _translations,
    _captions,
    _self_contained,
)


def claims(chapter: Chapter) -> set[str]:
    """The numbers that its code claims: texts handed to `claim`, or to functions that claim."""
    claimers = _closure(chapter, {"claim"})
    found: set[str] = set()
    for cell in chapter.code():
        for call in ast.walk(_tree(cell)):
            if isinstance(call, ast.Call) and _name(call.func) in claimers:
                texts = _strings(call)
                found |= texts or _strings(_tree(cell))  # out of a list, say, of this cell
    return {same_number(text) for text in found}


def _closure(chapter: Chapter, names: set[str]) -> set[str]:
    """The names, and every function of the chapter that makes use of them."""
    functions = [
        node
        for cell in chapter.code()
        for node in ast.walk(_tree(cell))
        if isinstance(node, ast.FunctionDef)
    ]
    known = set(names)
    while more := {f.name for f in functions if f.name not in known and known & _names(f)}:
        known |= more
    return known


def _imported(chapter: Chapter, module: str) -> set[str]:
    return {
        alias.asname or alias.name
        for cell in chapter.code()
        for node in ast.walk(_tree(cell))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(module)
        for alias in node.names
    }


def _with_next_code(chapter: Chapter) -> Iterator[tuple[Cell, Cell | None]]:
    """Each cell of text with the first cell of code after it."""
    for place, cell in enumerate(chapter.cells):
        if cell.kind == "markdown":
            yield cell, next((c for c in chapter.cells[place:] if c.kind == "code"), None)


def _lines(cell: Cell) -> Iterator[tuple[int, str]]:
    """The lines of a cell's text, code taken out, with their numbers in the file."""
    return enumerate(without_formulas_and_code(cell.text).split("\n"), cell.line + 1)


def _tree(cell: Cell | ast.AST) -> ast.Module:
    """The code as Python reads it; nothing for code that cannot be read, which fails when run."""
    if isinstance(cell, Cell):
        try:
            return ast.parse(cell.text)
        except SyntaxError:
            return ast.Module([], [])
    return ast.Module([cell], [])  # type: ignore[list-item]


def _names(cell: Cell | ast.AST) -> set[str]:
    return {_name(node) for node in ast.walk(_tree(cell))} - {""}


def _called(cell: Cell) -> set[str]:
    return {_name(node.func) for node in ast.walk(_tree(cell)) if isinstance(node, ast.Call)}


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _strings(tree: ast.AST) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _end(chapter: Chapter) -> int:
    return chapter.cells[-1].line if chapter.cells else 1
