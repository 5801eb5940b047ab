"""A chapter as its readers get it: exercises to be solved, the solution folded away below.

The same source gives the same bytes, whenever and wherever it is built.
"""

from __future__ import annotations

import dataclasses
import json
import re

from minigen.chapters.chapter import Chapter
from minigen.chapters.prose import unwrapped
from minigen.classroom.assignment import SOLUTION, STUB
from minigen.classroom.release import as_notebook
from minigen.classroom.source import Cell

FOLDED = {"en": "Solution", "zh": "答案", "both": "Solution · 答案"}


def notebook(chapter: Chapter, language: str = "both") -> str:
    """The chapter as a Jupyter notebook without outputs."""
    cells = reader_cells(chapter, language)
    content = as_notebook(cells, chapter.name)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def reader_cells(chapter: Chapter, language: str = "both") -> list[Cell]:
    """The text in the language, and for each solution a stub and a folded cell that has it."""
    cells = []
    for cell in chapter.cells:
        told = cell.options.get("lang", "en")
        if cell.kind == "markdown":
            if language in ("both", told):
                text = unwrapped(cell.text) if told == "zh" else cell.text
                cells.append(dataclasses.replace(cell, text=text))
        elif "solution" in cell.options:
            cells.append(dataclasses.replace(cell, text=stub(cell)))
            folded = (
                f"<details>\n<summary>{FOLDED[language]}</summary>\n\n"
                f"```python\n{solution(cell)}\n```\n\n</details>"
            )
            cells.append(Cell("markdown", folded, {"folded": cell.options["solution"]}, cell.line))
        else:
            cells.append(cell)
    return cells


def stub(cell: Cell) -> str:
    """A solution's cell with what the reader is to write taken out.

    >>> print(stub(Cell("code", "def f():\\n    # BEGIN SOLUTION\\n    1\\n    # END SOLUTION")))
    def f():
        # YOUR CODE HERE
        raise NotImplementedError
    """
    return SOLUTION.sub(lambda found: STUB.format(indent=found["indent"]), cell.text).strip("\n")


def solution(cell: Cell) -> str:
    """A solution's cell without the marks around what is asked for."""
    return re.sub(r"^[ \t]*# (?:BEGIN|END) SOLUTION\n?", "", cell.text, flags=re.M).strip("\n")
