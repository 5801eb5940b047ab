"""An assignment for nbgrader: what its `generate_assignment`, `autograde` and `export` work on.

    OUT/nbgrader_config.py          of the course, if there is none yet
    OUT/source/NAME/NAME.ipynb      with solutions and hidden tests; not to be handed out

Metadata tells nbgrader what a cell is (schema 3 of its format): a solution, which a student
changes; a test, which is graded and locked; given code, which is locked. Every test cell ends with
the points it gives (`minigen.classroom.marking`): so nbgrader knows partial credit, and its output
says what is wrong. A hidden test is a cell of its own, all of it between the marks of hidden tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigen.classroom.assignment import Assignment, functions_of
from minigen.classroom.release import in_language, notebook, notebook_cell, write_notebook
from minigen.classroom.source import Cell

CONFIG = '''\
"""A course of nbgrader, which reads this file where it is started."""

c = get_config()  # noqa: F821  nbgrader supplies it
c.CourseDirectory.course_id = "minigen"
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\\nraise NotImplementedError"}
c.Execute.timeout = 60  # seconds for a cell; then it is interrupted, and the next one runs
'''
HIDDEN = "# A test that is run when this is graded."
BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


def build(assignment: Assignment, folder: Path, language: str = "both") -> list[Path]:
    """Write the course's files into `folder`; the paths of those written.

    Raises ValueError for a language that there is not.
    """
    cells = []
    for place, cell in enumerate(in_language(assignment.cells, language)):
        text, told = _text(cell), _metadata(cell, place)
        key = f"{assignment.name}:nbgrader:{place}:{cell.kind}"
        cells.append(notebook_cell(cell.kind, text, key, {"nbgrader": told} if told else {}))
    path = folder / "source" / assignment.name / f"{assignment.name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_notebook(path, notebook(cells))
    config = folder / "nbgrader_config.py"
    if config.exists():  # a course with settings of its own
        return [path]
    config.write_text(CONFIG, encoding="utf-8")
    return [config, path]


def _metadata(cell: Cell, place: int) -> dict[str, Any]:
    """What nbgrader is told of a cell; nothing of text."""
    if cell.kind != "code":
        return {}
    solution, test = "solution" in cell.options, "test" in cell.options
    name = functions_of(cell)[0] if solution or test else f"given_{place}"
    told: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": name if name.isascii() else f"cell_{place}",
        "grade": test,
        "solution": solution,
        "locked": not solution,
        "task": False,
    }
    return told | ({"points": cell.options["points"]} if test else {})


def _text(cell: Cell) -> str:
    if "test" not in cell.options:
        return cell.text
    points = cell.options["points"]
    lines = [
        "from minigen.classroom.marking import mark",
        "",
        cell.text,
        "",
        f"mark({functions_of(cell)[0]}, points={points})",
    ]
    if cell.options.get("hidden"):
        lines = [HIDDEN, BEGIN, *lines, END]
    return "\n".join(lines)
