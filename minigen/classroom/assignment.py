"""An assignment: a solved file of cells, from which everything else is made.

Cells of its source (`minigen.classroom.source`):

    # %% [markdown]             text for the student
    # %%                        code for the student, kept as it is: imports, helpers
    # %% solution="NAME"        code whose part between # BEGIN SOLUTION and # END SOLUTION the
                                student is to write
    # %% test="NAME" points=4   a test: one function whose arguments are functions of the student,
                                by name, or `seed` or `rng`; its docstring says what is expected

A test with hidden=true is not handed out. Hidden is not secret: it asks for the same at another
seed, rank or shape, so knowing it helps nobody to cheat.
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
GIVEN = ("seed", "rng")  # arguments of a test that the grader supplies


@dataclass(frozen=True)
class Test:
    """function: the test itself; wants: the student's functions it takes."""

    name: str
    points: float
    hidden: bool
    function: Callable[..., None]
    wants: tuple[str, ...]
    part: str  # the solution it belongs to

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
        return cls(file.stem, file.parent, cells, tuple(_tests(file, cells, asked)), asked)

    @property
    def points(self) -> float:
        return sum(test.points for test in self.tests)

    def solution(self) -> list[str]:
        """The code of the solved source but its tests, cell by cell."""
        return [c.text for c in self.cells if c.kind == "code" and "test" not in c.options]

    def stub(self, cell: Cell) -> str:
        """A solution cell with what the student is to write taken out."""
        return SOLUTION.sub(lambda found: STUB.format(indent=found["indent"]), cell.text)


def functions_of(cell: Cell) -> list[str]:
    """The names of the functions in a cell of code."""
    return [n.name for n in ast.parse(cell.text).body if isinstance(n, ast.FunctionDef)]


def _asked(cell: Cell) -> list[str]:
    """The names of the functions in a solution cell."""
    if not SOLUTION.search(cell.text):
        raise SourceError(f"line {cell.line}: a solution without # BEGIN SOLUTION, # END SOLUTION")
    return functions_of(cell)


def _tests(file: Path, cells: tuple[Cell, ...], asked: tuple[str, ...]) -> list[Test]:
    """Every test cell's function, made in a namespace with the source's own code."""
    space: dict[str, Any] = {"__name__": file.stem}
    tests, part = [], ""
    for cell in cells:
        if cell.kind != "code":
            continue
        code = "\n" * cell.line + cell.text  # so that errors name the line of the file
        if "test" not in cell.options:
            part = cell.options.get("solution", part)
            exec(compile(code, str(file), "exec"), space)
            continue
        functions = functions_of(cell)
        if len(functions) != 1 or "points" not in cell.options:
            raise SourceError(f"line {cell.line}: a test is one function, with points=")
        exec(compile(code, str(file), "exec"), space)
        function = space[functions[0]]
        wants = tuple(n for n in inspect.signature(function).parameters if n not in GIVEN)
        for name in wants:
            if name not in asked:
                raise SourceError(f"line {cell.line}: {name} is not among what is asked for")
        hidden = bool(cell.options.get("hidden", False))
        tests.append(
            Test(cell.options["test"], cell.options["points"], hidden, function, wants, part)
        )
    return tests
