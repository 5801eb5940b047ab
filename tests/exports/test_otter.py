"""An assignment for otter-grader, from `minigen classroom build --format otter` to results, by
`otter assign` and `otter run`: full points for the solution, none for the stub on any test, and a
wrong solution loses the test that minigen's own grader takes from it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from minigen.classroom import otter
from minigen.classroom.assignment import Assignment
from tests.exports.submissions import ASSIGNMENTS, Codes, expected, planted, solutions, tool


@pytest.fixture(scope="module")
def task() -> Assignment:
    return Assignment.load(ASSIGNMENTS / "a1_backward")


@pytest.fixture(scope="module")
def assigned(task: Assignment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `otter assign` makes. It would run the solution too; here it is run below."""
    folder = tmp_path_factory.mktemp("otter")
    (notebook,) = otter.build(task, folder, "en")
    tool("otter", "assign", "--no-run-tests", notebook.name, "made", folder=notebook.parent)
    return notebook.parent / "made"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def run(assigned: Path, folder: Path, codes: Codes, task: Assignment) -> dict[str, list[float]]:
    """Points and most points by question, of the student's notebook with these solutions in it."""
    notebook = read(assigned / "student" / "a1.ipynb")
    stubs = {task.stub(c): c.options["solution"] for c in task.cells if "solution" in c.options}
    found = set()
    for cell in notebook["cells"]:
        if part := stubs.get(source(cell)):
            found.add(part)
            cell["source"] = codes.get(part, source(cell))
    assert found == set(stubs.values())  # the stubs are minigen's own, to the letter
    folder.mkdir()
    (folder / "a1.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (zipped,) = (assigned / "autograder").glob("*.zip")
    tool("otter", "run", "-a", str(zipped), "-o", ".", "--no-logo", "a1.ipynb", folder=folder)
    tests = read(folder / "results.json")["tests"]
    return {t["name"]: [t["score"], t["max_score"]] for t in tests if "score" in t}


def test_a_students_notebook_has_no_solution_and_no_hidden_test(
    assigned: Path, task: Assignment
) -> None:
    text = (assigned / "student" / "a1.ipynb").read_text(encoding="utf-8")
    for test in task.tests:
        assert (f"def {test.function.__name__}(" in text) is not test.hidden
    assert "SOLUTION" not in text
    assert "PROMPT" not in text
    assert text.count("raise NotImplementedError") == len(solutions(task))


def test_every_test_gives_what_minigen_gives(
    assigned: Path, task: Assignment, tmp_path: Path
) -> None:
    wrong = solutions(task) | {"add": planted(task, "summed").text}
    submitted: dict[str, Codes] = {"blank": {}, "solved": solutions(task), "wrong": wrong}
    with ThreadPoolExecutor(3) as pool:
        results = dict(
            zip(
                submitted,
                pool.map(lambda s: run(assigned, tmp_path / s, submitted[s], task), submitted),
            )
        )
    points = {t.function.__name__.removeprefix("test_"): t.points for t in task.tests}
    assert results["solved"] == {name: [most, most] for name, most in points.items()}
    assert results["blank"] == {name: [0, most] for name, most in points.items()}
    own = {k.removeprefix("test_"): v for k, v in expected(task, wrong).items()}
    assert {name: score for name, (score, _) in results["wrong"].items()} == own
    assert {k for k, (score, most) in results["wrong"].items() if score < most} == {"add_broadcast"}
