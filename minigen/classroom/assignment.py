"""An assignment: a solved file of cells, from which everything else is made.

Cells of its source (`minigen.classroom.source`):

    # %% [markdown]             text for the student
    # %%                        code for the student, kept as it is: imports, helpers
    # %% solution="NAME"        code whose part between # BEGIN SOLUTION and # END SOLUTION the
                                student is to write; without="WORD WORD" are names it may not
                                use (`minigen.classroom.own_work`)
    # %% test="NAME" points=4   a test: one function whose arguments are functions of the student,
                                by name, or `seed`, `rng` or `race`; its docstring says what is
                                expected. seconds=10: for each call, instead of the usual limit;
                                spare=200: megabytes that it may use beyond what it begins with

A test with hidden=true is not handed out. Hidden is not secret: it asks for the same at another
seed, rank or shape, so knowing it helps nobody to cheat. A test may also ask for functions that the
assignment gives to the student, such as one that turns arrays, which is all that a test can send,
into what the student's functions take.

A test with the argument `race` is about speed (`minigen.classroom.racing`): it is run after the
other tests of its part, and only if they are all passed.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigen.classroom.source import Cell, SourceError, parse

SOLUTION = re.compile(
    r"^(?P<indent>[ \t]*)# BEGIN SOLUTION\n.*?^[ \t]*# END SOLUTION$", re.MULTILINE | re.DOTALL
)
STUB = "{indent}# YOUR CODE HERE\n{indent}raise NotImplementedError"
GIVEN = ("seed", "rng", "race")  # arguments of a test that the grader supplies


@dataclass(frozen=True)
class Test:
    """function: the test itself; wants: the student's functions it takes; is_race: whether it
    takes `race`, and so is about speed."""

    name: str
    points: float
    hidden: bool
    function: Callable[..., None]
    wants: tuple[str, ...]
    part: str  # the solution it belongs to
    is_race: bool = False
    seconds: float | None = None
    spare: int | None = None

    @property
    def expectation(self) -> str:
        return inspect.cleandoc(self.function.__doc__ or self.name)


@dataclass(frozen=True)
class Assignment:
    """cells: of the solved source; tests: in their order; asked: every function to be written."""

    name: str
    folder: Path
    cells: tuple[Cell, ...]
    tests: tuple[Test, ...]
    asked: tuple[str, ...]

    @classmethod
    def load(cls, path: str | Path) -> Assignment:
        """Of a folder that holds NAME.py, or of that file.

        Raises SourceError, with the line, for a source that breaks the rules above; it is run.
        """
        path = Path(path)
        file = path / f"{path.name.split('_')[0]}.py" if path.is_dir() else path
        if not file.is_file():
            raise SourceError(f"there is no assignment {file}")
        cells = tuple(parse(file.read_text(encoding="utf-8")))
        asked = tuple(name for cell in cells if "solution" in cell.options for name in _asked(cell))
        if not asked:
            raise SourceError(f"{file} asks for nothing: it has no cell with solution=")
        return cls(file.stem, file.parent, cells, tuple(_tests(file, cells)), asked)

    @property
    def points(self) -> float:
        return sum(test.points for test in self.tests)

    @property
    def imports(self) -> tuple[str, ...]:
        """The modules that the student's code is given, by name."""
        found = {
            name
            for code in self.given()
            for node in ast.parse(code).body
            for name in _imported(node)
        }
        return tuple(sorted(found))

    @property
    def parts(self) -> dict[str, list[str]]:
        """The functions that each part asks for."""
        solutions = [cell for cell in self.cells if "solution" in cell.options]
        return {cell.options["solution"]: functions_of(cell) for cell in solutions}

    @property
    def without(self) -> dict[str, tuple[str, ...]]:
        """What each part may not use."""
        return {
            cell.options["solution"]: tuple(cell.options["without"].split())
            for cell in self.cells
            if {"solution", "without"} <= set(cell.options)
        }

    @property
    def has_races(self) -> bool:
        return any(test.is_race for test in self.tests)

    def given(self) -> list[str]:
        """The code that students are given, cell by cell."""
        return [c.text for c in self.cells if _is_given(c)]

    def solution(self) -> list[str]:
        """The code of the solved source but its tests, cell by cell."""
        return [c.text for c in self.cells if c.kind == "code" and "test" not in c.options]

    def stub(self, cell: Cell) -> str:
        """A solution cell with what the student is to write taken out."""
        return SOLUTION.sub(lambda found: STUB.format(indent=found["indent"]), cell.text)


def _is_given(cell: Cell) -> bool:
    return cell.kind == "code" and not {"test", "solution"} & set(cell.options)


def functions_of(cell: Cell) -> list[str]:
    """The names of the functions in a cell of code."""
    return [n.name for n in ast.parse(cell.text).body if isinstance(n, ast.FunctionDef)]


def _asked(cell: Cell) -> list[str]:
    """The names of the functions in a solution cell."""
    if not SOLUTION.search(cell.text):
        raise SourceError(f"line {cell.line}: a solution without # BEGIN SOLUTION, # END SOLUTION")
    return functions_of(cell)


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def _tests(file: Path, cells: tuple[Cell, ...]) -> list[Test]:
    """Every test cell's function, made in a namespace with the source's own code."""
    space: dict[str, Any] = {"__name__": file.stem}
    tests, part, known = [], "", set()
    for cell in cells:
        if cell.kind != "code":
            continue
        code = "\n" * cell.line + cell.text  # so that errors name the line of the file
        if "test" not in cell.options:
            part = cell.options.get("solution", part)
            known.update(functions_of(cell))
            exec(compile(code, str(file), "exec"), space)
            continue
        functions = functions_of(cell)
        if len(functions) != 1 or "points" not in cell.options:
            raise SourceError(f"line {cell.line}: a test is one function, with points=")
        exec(compile(code, str(file), "exec"), space)
        function = space[functions[0]]
        names = inspect.signature(function).parameters
        wants = tuple(n for n in names if n not in GIVEN)
        for name in wants:
            if name not in known:
                raise SourceError(f"line {cell.line}: {name} is not among what is asked or given")
        tests.append(
            Test(
                cell.options["test"],
                cell.options["points"],
                bool(cell.options.get("hidden", False)),
                function,
                wants,
                part,
                "race" in names,
                cell.options.get("seconds"),
                cell.options.get("spare"),
            )
        )
    return tests
