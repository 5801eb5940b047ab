"""Submissions for other graders, and what minigen's own grader makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from minigen.classroom.assignment import Assignment
from minigen.classroom.grading import grade
from minigen.classroom.proof import wrong_solutions
from minigen.classroom.source import Cell

ASSIGNMENTS = Path(__file__).parents[2] / "tutorials" / "assignments"
Codes = dict[str, str]  # of solution cells, by the name in solution=


def solutions(task: Assignment) -> Codes:
    return {c.options["solution"]: c.text for c in task.cells if "solution" in c.options}


def planted(task: Assignment, words: str) -> Cell:
    """The wrong solution that is told `words`."""
    (cell,) = [c for c in wrong_solutions(task) if words in c.options["says"]]
    return cell


def expected(task: Assignment, codes: Codes) -> dict[str, float]:
    """The points of each test, by the name of its function."""
    cells = [
        codes[c.options["solution"]] if "solution" in c.options else c.text
        for c in task.cells
        if c.kind == "code" and "test" not in c.options
    ]
    result = grade(task, cells)
    return {t.function.__name__: o.earned for t, o in zip(task.tests, result.outcomes, strict=True)}


def tool(name: str, *arguments: str, folder: Path) -> str:
    """Run a tool of this environment in a folder; what it says. Its programs come first in PATH:
    nbgrader starts one, alembic, by name."""
    programs = str(Path(sys.executable).parent)
    done = subprocess.run(
        [str(Path(programs) / name), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout
