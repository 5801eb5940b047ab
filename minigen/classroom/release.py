"""What students get: the assignment without its solutions and hidden tests, as .py and .ipynb.

The same source gives the same bytes, whenever and wherever it is built.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minigen.classroom.assignment import Assignment
from minigen.classroom.source import Cell, render
from minigen.classroom.submission import SubmissionError, read_submission

LANGUAGES = ("en", "zh", "both")


def build(assignment: Assignment, folder: Path, language: str = "both") -> list[Path]:
    """Write NAME.py and NAME.ipynb into `folder`; their paths.

    language: which text to keep, that of cells with lang="zh", of those without, or both.
    Raises ValueError for another language.
    """
    cells = student_cells(assignment, language)
    folder.mkdir(parents=True, exist_ok=True)
    script, notebook = (folder / f"{assignment.name}{end}" for end in (".py", ".ipynb"))
    script.write_text(render(cells), encoding="utf-8")
    write_notebook(notebook, as_notebook(cells, assignment.name))
    return [script, notebook]


def student_cells(assignment: Assignment, language: str = "both") -> list[Cell]:
    """The cells of a release: stubs for solutions, no hidden test, text in the language."""
    return [
        dataclasses.replace(cell, text=assignment.stub(cell))
        if "solution" in cell.options
        else cell
        for cell in in_language(assignment.cells, language)
        if not cell.options.get("hidden")
    ]


def as_handed_out(assignment: Assignment, path: Path) -> bool:
    """Whether a file is a release in which nobody has written any code."""
    cells = [c for c in student_cells(assignment) if c.kind == "code"]
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "fresh.py"
        fresh.write_text(render(cells), encoding="utf-8")
        try:
            codes = [read_submission(fresh), read_submission(path)]
        except SubmissionError:
            return False
    first, second = ([code.strip() for code in some if code.strip()] for some in codes)
    return first == second


def in_language(cells: Iterable[Cell], language: str) -> list[Cell]:
    """All but the text in the other language. Raises ValueError for one that there is not."""
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    kept = LANGUAGES if language == "both" else (language,)
    return [c for c in cells if c.kind != "markdown" or c.options.get("lang", "en") in kept]


def as_notebook(cells: Sequence[Cell], name: str) -> dict[str, Any]:
    """The cells as a Jupyter notebook, format 4.5, without outputs."""
    return notebook(
        notebook_cell(
            cell.kind,
            cell.text,
            f"{name}:{place}:{json.dumps(cell.options, sort_keys=True)}",
            {"minigen": cell.options} if cell.options else {},
        )
        for place, cell in enumerate(cells)
    )


def notebook_cell(kind: str, text: str, key: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A cell of a Jupyter notebook, format 4.5, without output. key: from which its id is made."""
    made: dict[str, Any] = {
        "cell_type": kind,
        "id": hashlib.sha256(key.encode()).hexdigest()[:8],
        "metadata": dict(metadata),
        "source": text.splitlines(keepends=True),
    }
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made


def notebook(cells: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A Jupyter notebook of such cells."""
    return {
        "cells": list(cells),
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write_notebook(path: Path, content: Mapping[str, Any]) -> None:
    """As text, the same for the same content."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
