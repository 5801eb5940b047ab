"""What students get: the assignment without its solutions and hidden tests, as .py and .ipynb.

The same source gives the same bytes, whenever and wherever it is built.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigen.classroom.assignment import Assignment
from minigen.classroom.source import Cell, render

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
    content = json.dumps(as_notebook(cells, assignment.name), indent=1, ensure_ascii=False)
    notebook.write_text(content + "\n", encoding="utf-8")
    return [script, notebook]


def student_cells(assignment: Assignment, language: str = "both") -> list[Cell]:
    """The cells of a release: stubs for solutions, no hidden test, text in the language."""
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, got {language!r}")
    cells = []
    for cell in assignment.cells:
        if cell.options.get("hidden"):
            continue
        told = cell.options.get("lang", "en")
        if cell.kind == "markdown" and language not in ("both", told):
            continue
        if "solution" in cell.options:
            cell = dataclasses.replace(cell, text=assignment.stub(cell))
        cells.append(cell)
    return cells


def as_notebook(cells: Sequence[Cell], name: str) -> dict[str, Any]:
    """The cells as a Jupyter notebook, format 4.5, without outputs."""
    return {
        "cells": [_notebook_cell(cell, name, i) for i, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _notebook_cell(cell: Cell, name: str, place: int) -> dict[str, Any]:
    key = f"{name}:{place}:{json.dumps(cell.options, sort_keys=True)}"
    made: dict[str, Any] = {
        "cell_type": cell.kind,
        "id": hashlib.sha256(key.encode()).hexdigest()[:8],
        "metadata": {"minigen": cell.options} if cell.options else {},
        "source": cell.text.splitlines(keepends=True),
    }
    if cell.kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made
