"""A course of nbgrader, from `minigen classroom build --format nbgrader` to its table of grades, by
nbgrader itself: full points for the solution, none for the stub on any test, and for a wrong
solution what minigen's own grader gives, test by test."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from minigen.classroom import nbgrader
from minigen.classroom.assignment import Assignment
from tests.exports.submissions import ASSIGNMENTS, Codes, expected, planted, solutions, tool

GRADES = """
import json
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    print(json.dumps({
        a.name: {
            s.student.id: {g.name: [g.auto_score, g.max_score] for g in s.notebooks[0].grades}
            for s in a.submissions
        }
        for a in book.assignments
    }))
"""
LOUD = """\
    import sys, warnings
    print("a warning", file=sys.stderr)
    warnings.warn("and one of Python's")
"""


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def submit(course: Path, name: str, student: str, codes: Codes, task: Assignment) -> None:
    """The released notebook with these solutions in it."""
    notebook = read(course / "release" / name / f"{name}.ipynb")
    parts = iter(c.options["solution"] for c in task.cells if "solution" in c.options)
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = codes.get(next(parts), source(cell))
    path = course / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def tasks() -> dict[str, Assignment]:
    return {
        "a1": Assignment.load(ASSIGNMENTS / "a1_backward"),
        "a2": Assignment.load(ASSIGNMENTS / "a2_gradient_check"),
    }


@pytest.fixture(scope="module")
def submissions(tasks: dict[str, Assignment]) -> dict[str, dict[str, Codes]]:
    """By assignment and student: the solution, nothing, what loses a hidden test; and what gets a
    share of a test's points. Whoever solved it also writes to stderr, for which nbgrader by itself
    gives nothing."""
    solved, checked = solutions(tasks["a1"]), solutions(tasks["a2"])
    add = planted(tasks["a1"], "summed").text
    some = planted(tasks["a2"], "a millionth of x cubed").text
    head, body = solved["exp"].split("    # BEGIN SOLUTION")
    loud = solved | {"exp": head + LOUD + body}
    return {
        "a1": {"blank": {}, "solved": loud, "wrong": solved | {"add": add}},
        "a2": {"wrong": checked | {"check": some}},
    }


@pytest.fixture(scope="module")
def course(
    tmp_path_factory: pytest.TempPathFactory,
    tasks: dict[str, Assignment],
    submissions: dict[str, dict[str, Codes]],
) -> Path:
    """All graded."""
    folder = tmp_path_factory.mktemp("course")
    for name, task in tasks.items():
        nbgrader.build(task, folder, "en")
        tool("nbgrader", "generate_assignment", name, folder=folder)
        for student, codes in submissions[name].items():
            submit(folder, name, student, codes, task)
        tool("nbgrader", "autograde", name, folder=folder)
    tool("nbgrader", "export", folder=folder)
    return folder


def test_a_release_has_no_solution_and_no_hidden_test(
    course: Path, tasks: dict[str, Assignment]
) -> None:
    for name, task in tasks.items():
        cells = read(course / "release" / name / f"{name}.ipynb")["cells"]
        text = "\n".join(map(source, cells))
        for test in task.tests:
            assert (f"def {test.function.__name__}(" in text) is not test.hidden
        assert text.count("raise NotImplementedError") == len(solutions(task))
        assert "SOLUTION" not in text
        assert "HIDDEN" not in text
        for cell in task.cells:  # everything else is there: imports, signatures, helpers
            if cell.kind == "code" and not {"solution", "test"} & set(cell.options):
                assert cell.text in text
            if "solution" in cell.options:
                assert cell.text[: cell.text.index("    # BEGIN SOLUTION")] in text


def test_every_test_gives_what_minigen_gives(
    course: Path, tasks: dict[str, Assignment], submissions: dict[str, dict[str, Codes]]
) -> None:
    grades = json.loads(tool("python", "-c", GRADES, folder=course).splitlines()[-1])
    points = {t.function.__name__: t.points for t in tasks["a1"].tests}
    got = grades["a1"]
    assert {k: most for k, (_, most) in got["solved"].items()} == points
    assert {k: score for k, (score, _) in got["solved"].items()} == points
    assert {k: score for k, (score, _) in got["blank"].items()} == dict.fromkeys(points, 0)
    for name, task in tasks.items():
        got = {k: score for k, (score, _) in grades[name]["wrong"].items()}
        assert got == pytest.approx(expected(task, submissions[name]["wrong"]))
    lost = {k for k, (score, most) in grades["a1"]["wrong"].items() if score < most}
    assert lost == {"test_add_broadcast"}  # a hidden one
    score, most = grades["a2"]["wrong"]["test_hidden"]
    assert 0 < score < most  # a share


def test_a_student_is_told_what_is_wrong(course: Path) -> None:
    cells = read(course / "autograded" / "wrong" / "a1" / "a1.ipynb")["cells"]
    outputs = json.dumps([cell.get("outputs", []) for cell in cells])
    assert "summed" in outputs


def test_the_table_of_grades(
    course: Path, tasks: dict[str, Assignment], submissions: dict[str, dict[str, Codes]]
) -> None:
    with (course / "grades.csv").open(encoding="utf-8") as file:
        rows = {(row["assignment"], row["student_id"]): row for row in csv.DictReader(file)}
    points = tasks["a1"].points
    scores = {student: float(rows["a1", student]["score"]) for student in submissions["a1"]}
    assert scores == {"solved": points, "blank": 0, "wrong": points - 2}
    assert float(rows["a1", "solved"]["max_score"]) == points
    assert 0 < float(rows["a2", "wrong"]["score"]) < tasks["a2"].points
