"""That an assignment is fair: its solution gets all points, the blank stub none on any test, and
every wrong solution planted in wrong.py fails where it should, with the words it should.

Cells of wrong.py:

    # %% breaks="NAME" says="words"     code that replaces a part of the solution. Every test that
                                        fails belongs to the part NAME, one at least does, and some
                                        message holds the words

also=["NAME", ...] are parts that use that one, and may fail with it; only_hidden=true says that no
test that is handed out notices; slow=true that only the clock does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minigen.classroom.assignment import Assignment
from minigen.classroom.confinement import Limits
from minigen.classroom.grading import grade
from minigen.classroom.own_work import bound, needs
from minigen.classroom.source import Cell, SourceError, parse
from minigen.classroom.translation import stale


@dataclass(frozen=True)
class Claim:
    """What was tried, and what is wrong with it; "" if nothing."""

    title: str
    problem: str


def prove(
    assignment: Assignment, seed: int = 0, limits: Limits | None = None, timed: bool = True
) -> Iterator[Claim]:
    """Try everything, one claim after another. timed=False: nothing that depends on the clock.

    Raises SourceError for a wrong.py that is not of its form.
    """
    how = {"seed": seed, "limits": limits, "timed": timed}
    yield Claim("the solution gets all points", _solved(assignment, how))
    yield Claim("the blank stub gets nothing on any test", _blank(assignment, how))
    for cell in wrong_solutions(assignment):
        slow = cell.options.get("slow", False)
        if timed or not slow:
            what = f"{cell.options['breaks']}, line {cell.line} of wrong.py"
            problem = _wrong(assignment, cell, {**how, "timed": slow})
            yield Claim(f"a wrong solution is told so: {what}", problem)
    old = ", ".join(stale(assignment.cells))
    yield Claim("translations are of the present text", old and f"stale or missing: {old}")


def wrong_solutions(assignment: Assignment) -> list[Cell]:
    """The cells of wrong.py."""
    file = assignment.folder / "wrong.py"
    if not file.is_file():
        raise SourceError(f"there is no {file}: plant wrong solutions")
    cells = parse(file.read_text(encoding="utf-8"))
    parts = {test.part for test in assignment.tests}
    for cell in cells:
        if not {"breaks", "says"} <= set(cell.options) or cell.options["breaks"] not in parts:
            raise SourceError(f"line {cell.line} of {file}: it takes breaks= of a part, and says=")
    return cells


def _solved(assignment: Assignment, how: dict[str, Any]) -> str:
    result = grade(assignment, assignment.solution(), **how)
    return "; ".join(f"{o.name}: {o.message}" for o in result.outcomes if not o.passed)


def _blank(assignment: Assignment, how: dict[str, Any]) -> str:
    cells = [
        assignment.stub(c) if "solution" in c.options else c.text
        for c in assignment.cells
        if c.kind == "code" and "test" not in c.options
    ]
    result = grade(assignment, cells, **how)
    return "; ".join(f"{o.name} gives {o.earned:g}" for o in result.outcomes if o.earned)


def _wrong(assignment: Assignment, cell: Cell, how: dict[str, Any]) -> str:
    cells = [*assignment.solution(), cell.text]
    part, words = cell.options["breaks"], cell.options["says"]
    result = grade(assignment, cells, parts={part, *_touched(assignment, cells)}, **how)
    parts = {test.name: test.part for test in assignment.tests}
    failed = [o for o in result.outcomes if not o.passed]
    if not failed:
        return "nobody notices"
    if others := sorted({parts[o.name] for o in failed} - {part, *cell.options.get("also", ())}):
        return f"it also breaks {', '.join(others)}"
    races = {test.name for test in assignment.tests if test.is_race}  # only for the right
    if cell.options.get("only_hidden") and any(
        not o.hidden and o.name not in races for o in failed
    ):
        return "a test that was handed out notices too"
    if not any(words in o.message for o in failed):
        return f"it is not told {words!r} but: " + " | ".join(o.message for o in failed)
    return ""


def _touched(assignment: Assignment, cells: list[str]) -> set[str]:
    """The parts whose functions need something that the last cell gives another meaning."""
    changed = bound(cells[-1])
    return {
        part
        for part, names in assignment.parts.items()
        if any({name, *needs(cells, name)} & changed for name in names)
    }
