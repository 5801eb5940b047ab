"""An assignment for otter-grader: the notebook from which `otter assign` makes a student's notebook
and the zip file that grades it.

    OUT/source/NAME/NAME.ipynb      with solutions and hidden tests; not to be handed out

A question, bounded by raw cells, is a test in the form of a function (`ok_format: false`; otter's
usual form compares what was printed with output stored in a notebook, and a text has none). Otter
runs it in a file of its own that knows the student's functions and nothing else, so what a test
needs of the given code stands inside it. It passes or fails, with all its points or none.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from minigen.classroom.assignment import SOLUTION, STUB, Assignment, functions_of
from minigen.classroom.release import in_language, notebook, notebook_cell, write_notebook
from minigen.classroom.source import Cell

CONFIG = """\
# ASSIGNMENT CONFIG
name: {name}
export_cell: false
strip_solutions_from_all_cells: true
tests:
  ok_format: false
"""
TEST = '''\
""" # BEGIN TEST CONFIG
points: {points}
hidden: {hidden}
""" # END TEST CONFIG
def {name}({wants}):
{docstring}
{given}
{body}
'''
SUPPLIED = {  # the arguments of a test that are not functions of the student
    "seed": "seed = 0",
    "rng": "from numpy.random import default_rng\nrng = default_rng(0)",
}

Piece = tuple[str, str]  # the kind of a cell, and its text


def build(assignment: Assignment, folder: Path, language: str = "both") -> list[Path]:
    """Write the notebook into `folder`; its path, in a list.

    Raises ValueError for a language that there is not.
    """
    path = folder / "source" / assignment.name / f"{assignment.name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    pieces = [("raw", CONFIG.format(name=assignment.name))]
    pieces += _questions(in_language(assignment.cells, language))
    cells = [
        notebook_cell(kind, text, f"{assignment.name}:otter:{place}", {})
        for place, (kind, text) in enumerate(pieces)
    ]
    write_notebook(path, notebook(cells))
    return [path]


def _questions(cells: Sequence[Cell]) -> Iterator[Piece]:
    """The cells, each test between raw ones that make it a question: so it has a score of its
    own."""
    given = [c.text for c in cells if c.kind == "code" and not {"solution", "test"} & {*c.options}]
    for cell in cells:
        if "test" in cell.options:
            name = functions_of(cell)[0].removeprefix("test_")
            yield "raw", f"# BEGIN QUESTION\nname: {name}\n"
            yield "raw", "# BEGIN TESTS"
            yield "code", _test(cell, "\n".join(given))
            yield "raw", "# END TESTS"
            yield "raw", "# END QUESTION"
        else:
            yield cell.kind, SOLUTION.sub(_with_stub, cell.text)


def _with_stub(found: re.Match[str]) -> str:
    """A solution, and after it what `otter assign` leaves in its place."""
    indent, solution = found["indent"], found[0]
    stub = ['""" # BEGIN PROMPT', *STUB.format(indent="").splitlines(), '"""; # END PROMPT']
    solution = solution.replace("# BEGIN SOLUTION", "# BEGIN SOLUTION NO PROMPT", 1)
    return solution + "\n" + textwrap.indent("\n".join(stub), indent)


def _test(cell: Cell, given: str) -> str:
    """A test that stands by itself: what it uses of the code in `given` goes into it."""
    (function,) = (n for n in ast.parse(cell.text).body if isinstance(n, ast.FunctionDef))
    lines, given_lines = cell.text.splitlines(), given.splitlines()
    documented = ast.get_docstring(function) is not None
    start, end = function.body[0].lineno - 1, function.end_lineno
    split = (function.body[0].end_lineno or 0) if documented else start
    arguments = [a.arg for a in function.args.args]
    inside = [SUPPLIED[name] for name in arguments if name in SUPPLIED]
    for statement in _needed(function, ast.parse(given).body):
        first = min(
            [statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))]
        )
        inside.append("\n".join(given_lines[first - 1 : statement.end_lineno]))
    return TEST.format(
        points=cell.options["points"],
        hidden=str(bool(cell.options.get("hidden"))).lower(),
        name=function.name,
        wants=", ".join(name for name in arguments if name not in SUPPLIED),
        docstring="\n".join(lines[start:split]),
        given=textwrap.indent("\n".join(inside), "    "),
        body="\n".join(lines[split:end]),
    )


def _needed(function: ast.FunctionDef, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Those that bind a name the function uses, and so on for what they use, in their order."""
    bound_by = {name: statement for statement in statements for name in _bound(statement)}
    found: set[int] = set()
    waiting: list[ast.stmt] = [function]
    while waiting:
        for node in ast.walk(waiting.pop()):
            statement = bound_by.get(node.id) if isinstance(node, ast.Name) else None
            if statement is not None and id(statement) not in found:
                found.add(id(statement))
                waiting.append(statement)
    return [s for s in statements if id(s) in found]


def _bound(statement: ast.stmt) -> list[str]:
    """The names that a statement binds where it stands."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    return [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
