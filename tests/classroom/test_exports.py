"""What is written for other graders, as far as it can be judged without them (`tests/exports` runs
them)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minigen.classroom import nbgrader, otter
from minigen.classroom.assignment import Assignment
from minigen.classroom.grading import grade
from minigen.classroom.marking import mark
from tests.classroom.test_source import ASSIGNMENTS, SMALL

BUILD = {"nbgrader": nbgrader.build, "otter": otter.build}


@pytest.fixture
def small(tmp_path: Path) -> Assignment:
    (tmp_path / "a0.py").write_text(SMALL, encoding="utf-8")
    return Assignment.load(tmp_path / "a0.py")


def cells(paths: list[Path]) -> list[dict]:
    return json.loads(paths[-1].read_text(encoding="utf-8"))["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
@pytest.mark.parametrize("folder", ASSIGNMENTS, ids=lambda path: path.name)
def test_building_twice_gives_the_same_bytes(build: Callable, folder: Path, tmp_path: Path) -> None:
    task = Assignment.load(folder)
    for a, b in zip(build(task, tmp_path / "a"), build(task, tmp_path / "b"), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_cells_as_nbgrader_knows_them(small: Assignment, tmp_path: Path) -> None:
    found = cells(nbgrader.build(small, tmp_path / "course", "en"))
    told = [c["metadata"].get("nbgrader", {}) for c in found]
    assert [t.get("grade_id") for t in told] == [
        None, "given_1", "double", "test_double", "test_arrays",
    ]  # fmt: skip
    assert [t.get("points") for t in told] == [None, None, None, 2, 1]
    assert [(t["grade"], t["solution"], t["locked"]) for t in told[1:]] == [
        (False, False, True), (False, True, False), (True, False, True), (True, False, True),
    ]  # fmt: skip
    assert all((t["schema_version"], t["task"]) == (3, False) for t in told[1:])
    assert len({c["id"] for c in found}) == len(found)
    hidden = source(found[4]).splitlines()
    assert hidden.index("### BEGIN HIDDEN TESTS") == 1
    assert hidden[-2:] == ["mark(test_arrays, points=1)", "### END HIDDEN TESTS"]


def test_what_nbgrader_handed_out_can_be_graded_here(small: Assignment, tmp_path: Path) -> None:
    path = nbgrader.build(small, tmp_path, "en")[-1]  # with the solution in it
    result = grade(small, path)
    assert (result.earned, result.errors) == (3, ())
    made = json.loads(path.read_text(encoding="utf-8"))
    made["cells"].append({"cell_type": "code", "source": "test_double(double)", "metadata": {}})
    path.write_text(json.dumps(made), encoding="utf-8")
    assert grade(small, path).errors == ()


def test_a_course_keeps_its_own_settings(small: Assignment, tmp_path: Path) -> None:
    config, _ = nbgrader.build(small, tmp_path)
    config.write_text("mine", encoding="utf-8")
    assert len(nbgrader.build(small, tmp_path)) == 1
    assert config.read_text(encoding="utf-8") == "mine"


def test_a_question_of_otter_stands_by_itself(small: Assignment, tmp_path: Path) -> None:
    given = "import numpy as np\n"
    more = "def twice(x):\n    return scale() * x\n\ndef scale():\n    return 2\n\nunused = 0\n"
    text = SMALL.replace(given, given + more).replace("double(3) == 6", "double(3) == twice(3)")
    (tmp_path / "a0.py").write_text(text, encoding="utf-8")
    found = cells(otter.build(Assignment.load(tmp_path / "a0.py"), tmp_path, "en"))
    raw = [source(c).split("\n")[0] for c in found if c["cell_type"] == "raw"]
    question = ["# BEGIN QUESTION", "# BEGIN TESTS", "# END TESTS", "# END QUESTION"]
    assert raw == ["# ASSIGNMENT CONFIG", *question, *question]
    public, hidden = (source(c) for c in found if "TEST CONFIG" in source(c))
    assert "points: 2\nhidden: false" in public
    assert "points: 1\nhidden: true" in hidden
    space: dict = {}  # otter knows nothing else
    exec(public, space)
    space["test_double"](lambda x: x + x)
    with pytest.raises(AssertionError):
        space["test_double"](lambda x: x)
    assert "unused" not in public
    exec(hidden, space)
    with pytest.raises(AssertionError, match="not for arrays"):
        space["test_arrays"](lambda x: x)


def test_marking_says_what_minigens_grader_says(capfd: pytest.CaptureFixture) -> None:
    def test_loud(f: Callable, seed: int, rng: object) -> None:
        """as it should be"""
        f()
        assert isinstance(seed, int)
        assert rng is not None

    def missing() -> None:
        raise NotImplementedError

    def loud() -> None:
        print("a warning", file=sys.stderr)

    def leaves() -> None:
        raise SystemExit(0)

    def wrong() -> None:
        raise AssertionError

    names = test_loud.__globals__
    for function, points, words in (
        (loud, 2.0, "a warning"),
        (missing, 0.0, "not written yet"),
        (leaves, 0.0, "SystemExit: 0"),
        (wrong, 0.0, "not so: as it should be"),
        (None, 0.0, "there is no function f"),
    ):
        names["f"] = function
        assert mark(test_loud, points=2) == points
        captured = capfd.readouterr()
        assert words in captured.out
        assert captured.err == ""  # a word there, and nbgrader gives nothing
    del names["f"]
