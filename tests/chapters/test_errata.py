"""The chapter of errata: each wrong form is told apart from the right one, in CI too."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minigen.chapters import lesson
from minigen.chapters.lesson import ClaimError
from minigen.classroom.source import Cell, parse

FILE = Path(__file__).parents[2] / "tutorials" / "23_errata.py"
CELLS = parse(FILE.read_text(encoding="utf-8"))
HEADING = re.compile(r"## (E\d+) · ")
NUMBERS = [f"E{n}" for n in range(1, 33)]
EXERCISES = [f"bug{n}" for n in range(1, 7)]


def text(language: str) -> list[Cell]:
    return [c for c in CELLS if c.kind == "markdown" and c.options.get("lang", "en") == language]


def code_after(cell: Cell, count: int = 1) -> Cell:
    """The code that follows a cell of text, or what comes later still."""
    return [c for c in CELLS if c.kind == "code" and c.line > cell.line][count - 1]


ERRATA = {found[1]: code_after(c) for c in text("en") if (found := HEADING.match(c.text))}
CHECKS = {c.options["exercise"]: code_after(c, 2) for c in text("en") if "exercise" in c.options}


def run(cell: Cell, names: dict[str, Any], instead: str = "") -> None:
    """Run a cell; `instead` is put in after the last of its functions `wrong` and `right`."""
    tree = ast.parse(cell.text)
    if instead:
        last = max(tree.body.index(function) for function in pair(tree))
        tree.body[last + 1 : last + 1] = ast.parse(instead).body
    exec(compile(tree, f"{FILE.name}, cell at line {cell.line}", "exec"), names)


def pair(tree: ast.Module) -> list[ast.FunctionDef]:
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in ("wrong", "right")
    ]


@pytest.fixture(scope="module")
def reading() -> dict[str, Any]:
    """One run of the chapter, in which all that is asked below was tried on the way."""
    names: dict[str, Any] = {"__name__": "chapter"}
    claimed: dict[int, set[str]] = defaultdict(set)  # by the line of the cell
    survived: list[str] = []
    passed: list[str] = []
    true_claim = lesson.claim

    def claim(says: str, value: float, **options: Any) -> None:
        true_claim(says, value, **options)
        claimed[cell.line].add(says)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGEN_FAST", "1")
        patch.setattr(lesson, "claim", claim)
        lesson.view_with(lambda picture, name, caption: None)
        try:
            for cell in [c for c in CELLS if c.kind == "code"]:
                for name in [n for n, erratum in ERRATA.items() if erratum is cell]:
                    survived += _survivors(name, cell, names)
                for name in [n for n, check in CHECKS.items() if check is cell]:
                    passed += _passing(name, cell, names)
                run(cell, names)
        finally:
            lesson.view_with(None)
    by_name = {name: claimed[cell.line] for name, cell in ERRATA.items()}
    return {"survived": survived, "passed": passed, "claimed": by_name}


def _survivors(name: str, cell: Cell, names: dict[str, Any]) -> Iterator[str]:
    """Both forms made the same, either way: the claims of the cell must not hold any more."""
    for instead in ("wrong = right", "right = wrong"):
        try:
            run(cell, dict(names), instead)
        except ClaimError:
            continue
        yield f"{name}, {instead}"


def _passing(name: str, cell: Cell, names: dict[str, Any]) -> Iterator[str]:
    """The snippet with its bug, and nothing at all, handed in as the mended function."""
    number = name.removeprefix("bug")
    for what, answer in (("snippet", names[f"snippet_{number}"]), ("nothing", lambda *_: None)):
        try:
            run(cell, {**names, f"mended_{number}": answer})
        except Exception:  # whatever it is, it does not pass
            continue
        yield f"{name}, {what}"


def test_there_are_all_errata_and_exercises() -> None:
    assert list(ERRATA) == NUMBERS
    assert list(CHECKS) == EXERCISES


@pytest.mark.parametrize("name", NUMBERS)
def test_each_has_a_wrong_and_a_right_form_of_the_same_arguments(name: str) -> None:
    wrong, right = sorted(pair(ast.parse(ERRATA[name].text)), key=lambda f: f.name, reverse=True)
    assert (wrong.name, right.name) == ("wrong", "right")
    assert [a.arg for a in wrong.args.args] == [a.arg for a in right.args.args]


def test_the_wrong_form_is_told_apart_from_the_right_one(reading: dict[str, Any]) -> None:
    assert reading["survived"] == []


def test_no_snippet_passes_for_its_mended_form(reading: dict[str, Any]) -> None:
    assert reading["passed"] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_says_what_the_cells_find(reading: dict[str, Any], language: str) -> None:
    rows = [re.split(r" *\| *", line)[1:-1] for line in text(language)[0].text.split("\n")]
    rows = [row for row in rows if row and row[0].startswith("E")]
    assert [row[0] for row in rows] == NUMBERS
    for name, _, _, wrong, right in rows:
        assert wrong != right
        assert {wrong, right} <= reading["claimed"][name], name
