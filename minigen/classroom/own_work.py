"""What a part of a submission may not use, read off its text: `without="@ dot*"`.

A matrix product written as `a @ b` is right and quick, and shows nothing. What is looked at is the
function and all that it leads to: other functions of the submission, and what its names stand for.
Names under which anything can be reached unseen (`getattr`, `eval`) are refused with the others.

This reads the text for honest students. Whoever wants to hide a call from it can; the marker who
reads the code will not be fooled, and nor will the leaderboard.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from minigen.classroom.source import title

HIDING = ("getattr", "eval", "exec", "globals", "vars", "__import__", "__dict__", "importlib",
          "ctypes")  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """At the top of a cell. binds: names that it gives a meaning; uses: those it needs one of, each
    with its line, and as ".name" the attributes and imported modules, and "@"."""

    cell: str
    binds: frozenset[str]
    uses: tuple[tuple[str, int], ...]


def refused(cells: Sequence[str], function: str, without: Sequence[str]) -> str:
    """What `function` uses of `without`, in words for the student; "" if nothing.

    >>> refused(["import numpy as np\\nproduct = np.dot", "def f(a, b): return product(a, b)"],
    ...         "f", ["dot"])
    'f uses dot (line 2 of cell 1), which is not allowed here'
    """
    for used, place in _leads_to(cells, function):
        word = used.removeprefix(".")
        if used != function and any(fnmatchcase(word, each) for each in (*without, *HIDING)):
            return f"{function} uses {word} ({place}), which is not allowed here"
    return ""


def needs(cells: Sequence[str], function: str) -> set[str]:
    """The names of everything that `function` leads to.

    >>> sorted(needs(["def f(x): return g(x)", "def g(x): return len(x)", "h = f"], "f"))
    ['g', 'len']
    """
    return {used for used, _ in _leads_to(cells, function) if not used.startswith(".")}


def bound(code: str) -> set[str]:
    """The names that a cell gives a meaning."""
    return {name for statement in _statements([code]) for name in statement.binds}


def _leads_to(cells: Sequence[str], function: str) -> Iterator[tuple[str, str]]:
    """What the function uses, and what that uses, and so on; each with its place."""
    statements = list(_statements(cells))
    waiting, seen = [function], {function}
    while waiting:
        name = waiting.pop()
        for statement in statements:
            for used, line in statement.uses if name in statement.binds else ():
                yield used, f"line {line} of {statement.cell}"
                if used not in seen:
                    seen.add(used)
                    waiting.append(used)


def _statements(cells: Sequence[str]) -> Iterator[Statement]:
    for number, code in enumerate(cells, 1):
        try:
            body = ast.parse(code).body
        except (SyntaxError, ValueError):  # it is not run either
            continue
        for node in body:
            stored, uses = set(_stored(node)), list(_uses(node))
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                own = stored - set(_global(node))  # local names stand for nothing outside
                uses = [each for each in uses if each[0] not in own or each[0] == node.name]
                stored = {node.name, *_global(node)}
            yield Statement(title(code, number), frozenset(stored), tuple(uses))


def _stored(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            yield each.name
        elif isinstance(each, ast.arg):
            yield each.arg
        elif isinstance(each, ast.alias):
            yield each.asname or each.name.split(".")[0]
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id


def _global(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Global):
            yield from each.names


def _uses(node: ast.AST) -> Iterator[tuple[str, int]]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            yield each.id, each.lineno
        elif isinstance(each, ast.Attribute):
            yield f".{each.attr}", each.lineno
        elif isinstance(each, ast.BinOp | ast.AugAssign) and isinstance(each.op, ast.MatMult):
            yield ".@", each.lineno
        elif isinstance(each, ast.Import | ast.ImportFrom):
            module = each.module or "" if isinstance(each, ast.ImportFrom) else ""
            for name in (module, *(alias.name for alias in each.names)):
                yield from ((f".{part}", each.lineno) for part in name.split("."))
