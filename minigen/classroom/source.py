"""Chapters and assignments as text: Python files whose cells begin with `# %%`, as editors and
jupytext read them.

    # %% [markdown] lang="zh" of="intro"
    # A cell of text; options are name=JSON.

    # %% test="product" points=4
    def test_product(multiply): ...

What an option means is decided by who uses the cells (`minigen.classroom.assignment`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MARK = re.compile(r"^# %%(?P<rest>.*)$")
OPTION = re.compile(r"\s*(\w+)=")
FUNCTION = re.compile(r"^def (\w+)", re.MULTILINE)


class SourceError(ValueError):
    """A file of cells cannot be read; the message names the line."""


@dataclass(frozen=True)
class Cell:
    """kind: "code" or "markdown"; text without the comment signs of markdown; line: of its mark."""

    kind: str
    text: str
    options: dict[str, Any] = field(default_factory=dict)
    line: int = 0


def parse(text: str) -> list[Cell]:
    """The cells of a file, in order. What stands before the first mark, a header, is left out.

    Raises SourceError for options that cannot be read and markdown that is not commented out.

    >>> parse('# %% [markdown] lang="zh"\\n# # 标题\\n\\n# %% points=2\\nx = 1\\n')[1]
    Cell(kind='code', text='x = 1', options={'points': 2}, line=4)
    """
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        mark = MARK.match(line)
        if mark:
            found.append((number, mark["rest"], []))
        elif found:
            found[-1][2].append(line)
    return [_cell(number, rest, lines) for number, rest, lines in found]


def _cell(number: int, rest: str, lines: list[str]) -> Cell:
    rest = rest.strip()
    markdown = rest.startswith("[markdown]")
    options = _options(rest.removeprefix("[markdown]"), number)
    if markdown:
        for offset, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                raise SourceError(f"line {number + offset}: text of a markdown cell without '#'")
        lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
    return Cell("markdown" if markdown else "code", "\n".join(lines).strip("\n"), options, number)


def _options(text: str, number: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    rest = text.strip()
    while rest:
        name = OPTION.match(rest)
        if name is None:
            raise SourceError(f"line {number}: expected name=value, got {rest!r}")
        try:
            value, end = json.JSONDecoder().raw_decode(rest, name.end())
        except ValueError as error:
            raise SourceError(f"line {number}: {name[1]} is no JSON value") from error
        options[name[1]] = value
        rest = rest[end:].strip()
    return options


def title(code: str, number: int) -> str:
    """How a student is told of a cell: by its function, if it has one, else by its place among the
    cells of code.

    >>> title("def double(x):\\n    return 2 * x", 3), title("import math", 4)
    ('the cell of double', 'cell 4')
    """
    names = FUNCTION.findall(code)
    return f"the cell of {names[0]}" if len(names) == 1 else f"cell {number}"


def render(cells: Iterable[Cell]) -> str:
    """The file that `parse` reads these cells from.

    >>> text = '# %% [markdown]\\n# Hello.\\n\\n# %%\\nx = 1\\n'
    >>> render(parse(text)) == text
    True
    """
    parts = []
    for cell in cells:
        options = "".join(
            f" {name}={json.dumps(value, ensure_ascii=False)}"
            for name, value in cell.options.items()
        )
        if cell.kind == "markdown":
            lines = [f"# {line}".rstrip() for line in cell.text.split("\n")]
            parts.append("\n".join([f"# %% [markdown]{options}", *lines]))
        else:
            parts.append(f"# %%{options}\n{cell.text}")
    return "\n\n".join(parts) + "\n"
