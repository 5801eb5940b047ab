"""Grading: fair to the honest, deaf to the rest. Every hostile submission here loses its points,
gains none, and leaves the grader as it was."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hostile import HOSTILE

from minigen.classroom import reports
from minigen.classroom.assignment import Assignment
from minigen.classroom.confinement import Limits
from minigen.classroom.grading import Grade, grade
from minigen.classroom.proof import prove
from minigen.classroom.submission import Submission, SubmissionError
from tests.classroom.test_source import ASSIGNMENTS, SMALL

QUICK = Limits(seconds=1.0)
HONEST = "def double(x):\n    return 2 * x\n"


@pytest.fixture
def task(tmp_path: Path) -> Assignment:
    (tmp_path / "a0_small").mkdir()
    (tmp_path / "a0_small" / "a0.py").write_text(SMALL, encoding="utf-8")
    return Assignment.load(tmp_path / "a0_small")


def graded(task: Assignment, code: str, limits: Limits = QUICK) -> Grade:
    return grade(task, [code], student="somebody", limits=limits)


def test_the_honest_get_their_points(task: Assignment) -> None:
    result = graded(task, HONEST)
    assert (result.earned, result.points, result.errors) == (3, 3, ())
    half = graded(task, "def double(x):\n    return 2 * x if isinstance(x, int) else x\n")
    assert half.earned == 2
    assert half.outcomes[1].message == "not for arrays"


def test_messages_say_what_went_wrong(task: Assignment) -> None:
    cases = {
        "def double(x):\n    raise NotImplementedError\n": "not written yet",
        "def treble(x):\n    return 3 * x\n": "there is no function double",
        "def double(x):\n    return y\n": "NameError: name 'y' is not defined"
        " (line 2 of the cell of double)",
        "def double(x): return [x, object()]\n": "TypeError: a value of type object",
        "def double(x): return 7\n": "not so: two times",
        "def double(x):\n    return np.ones((4, 2)) @ np.ones((3, 2))\n": "ValueError: a matrix"
        " product of shapes that do not fit: 2 columns meet 3 rows (line 2 of the cell of double)",
        "def double(x) return x\n": "there is no double: SyntaxError: expected ':'"
        " (line 1 of the cell of double)",
        "y = 1\n1 / 0\ndef double(x): return 2 * x\n": "there is no double: ZeroDivisionError: "
        "division by zero (line 2 of the cell of double)",
        "def half(x): return\ndef double(x): return 1 / 0": "ZeroDivisionError: division by zero"
        " (line 2 of cell 1)",
    }
    for code, words in cases.items():
        assert graded(task, code).outcomes[0].message == words, code
    broken = graded(task, "def double(x: return x\n")
    assert broken.errors[0].startswith("SyntaxError")


def test_an_error_in_one_cell_does_not_stop_the_others(task: Assignment) -> None:
    result = grade(task, ["x = 1 / 0", HONEST], limits=QUICK)
    assert result.earned == 3
    assert result.errors == ("ZeroDivisionError: division by zero (line 1 of cell 1)",)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_hostile_gain_nothing(name: str, task: Assignment) -> None:
    code, words = HOSTILE[name]
    began = time.monotonic()
    limits = Limits(seconds=1.0 if "longer" in words else 10.0, megabytes=2048)
    result = graded(task, code, limits)
    assert time.monotonic() - began < 60
    second = result.outcomes[1]  # asks for arrays: no fixed answer is right
    assert second.earned == 0
    if words:
        assert result.earned == 0
        assert words in result.outcomes[0].message
    assert graded(task, HONEST).earned == 3  # the next one is graded as if nothing had been


def test_the_tests_files_cannot_be_read(task: Assignment) -> None:
    """Nor by going around Python's own open."""
    path = str(task.folder / "a0.py")
    plain = f"def double(x): return open({path!r}).read()\n"
    around = (
        "import ctypes\ndef double(x):\n    c = ctypes.CDLL(None)\n"
        f"    fd = c.open({path!r}.encode(), 0)\n    b = ctypes.create_string_buffer(9)\n"
        "    return int(c.read(fd, b, 8)) if fd >= 0 else -1\n"
    )
    unmount = (
        f"import ctypes\ndef double(x):\n    c = ctypes.CDLL(None)\n"
        f"    return int(c.umount2({str(task.folder)!r}.encode(), 2))\n"
    )
    with Submission([plain], [task.folder], QUICK) as code:
        with pytest.raises(SubmissionError, match=r"may not read|No such file"):
            code.call("double", 1)
        isolated = "no assignment files" in code.in_force
        filtered = "no new processes" in code.in_force
    if isolated:
        with Submission([around], [task.folder], QUICK) as code:
            assert code.call("double", 1) == -1
    if filtered:
        with Submission([unmount], [task.folder], QUICK) as code:
            assert code.call("double", 1) == -1


def test_nothing_of_the_grader_is_in_its_memory(task: Assignment) -> None:
    spy = (
        "import gc, sys\ndef double(x):\n"
        "    names = [getattr(f, '__name__', '') for f in gc.get_objects() if callable(f)]\n"
        "    return [n for n in names if n == 'test_arrays'] + "
        "[m for m in sys.modules if m.endswith(('assignment', 'grading'))]\n"
    )
    with Submission([spy], [], QUICK) as code:
        assert code.call("double", 1) == []


def test_no_secret_of_the_environment_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    with Submission(["import os\ndef double(x): return dict(os.environ)\n"], [], QUICK) as code:
        assert "TOKEN" not in code.call("double", 1)


def test_no_process_outlives_its_submission(tmp_path: Path) -> None:
    with Submission(["import os\ndef double(x): return os.getpgid(0)\n"], [], QUICK) as code:
        code.call("double", 1)
        process = code._process
        assert process is not None
        os.kill(process, 0)
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


def test_functions_can_be_handed_to_a_submission() -> None:
    code = "def twice(f, x):\n    return f(f(x))\n"
    with Submission([code], [], QUICK) as submission:
        assert submission.call("twice", lambda x: x + np.arange(3.0), np.ones(3)).tolist() == [
            1.0, 3.0, 5.0,
        ]  # fmt: skip
        with pytest.raises(SubmissionError, match="RuntimeError: ValueError: no"):
            submission.call("twice", lambda x: (_ for _ in ()).throw(ValueError("no")), 1)


def test_what_is_printed_is_kept_apart_and_bounded() -> None:
    code = "def double(x):\n    print('hello ' * 10**6)\n    return x\n"
    with Submission([code], [], QUICK) as submission:
        with pytest.raises(SubmissionError, match="OSError"):  # the file for it is full
            submission.call("double", 1)
        assert submission.printed().startswith("hello hello")
        assert len(submission.printed()) <= 2000


@pytest.mark.parametrize("folder", ASSIGNMENTS, ids=lambda path: path.name)
def test_every_assignment_is_fair(folder: Path) -> None:
    claims = list(prove(Assignment.load(folder), 7, Limits(seconds=2.0), timed=False))
    assert len(claims) >= 7
    assert [f"{c.title}: {c.problem}" for c in claims if c.problem] == []


def test_a_slope_that_is_the_only_one_may_stand_alone() -> None:
    """As A1 says; its own solution returns tuples."""
    task = Assignment.load("tutorials/assignments/a1_backward")
    tuples = re.compile(r"^    return \((.+),\)$", re.MULTILINE)
    cells = [tuples.sub(r"    return \1", cell) for cell in task.solution()]
    assert sum(cell != own for cell, own in zip(cells, task.solution())) == 6
    result = grade(task, cells)
    assert [(o.name, o.message) for o in result.outcomes if not o.passed] == []


def test_an_unfair_assignment_is_found_out(task: Assignment) -> None:
    wrong = task.folder / "wrong.py"
    for code, problem in {
        "# %% breaks=\"double\" says=\"two times\"\ndef double(x): return 3 * x\n": "",
        "# %% breaks=\"double\" says=\"arrays\"\ndef double(x): return x + x\n": "nobody notices",
        "# %% breaks=\"double\" says=\"spam\"\ndef double(x): return x\n": "it is not told 'spam'",
        "# %% breaks=\"double\" only_hidden=true says=\"arrays\"\ndef double(x): return x\n":
            "a test that was handed out notices too",
    }.items():  # fmt: skip
        wrong.write_text(code, encoding="utf-8")
        (claim,) = [c for c in prove(task, limits=QUICK) if c.title.startswith("a wrong")]
        assert claim.problem.startswith(problem)
        assert bool(claim.problem) == bool(problem)


def test_gradescope_csv_and_pages(task: Assignment) -> None:
    half = graded(task, "def double(x):\n    return 2 * x if isinstance(x, int) else x\n")
    made = reports.gradescope(half)
    assert (made["score"], made["tests"][0]["status"]) == (2, "passed")
    assert made["tests"][1] == {
        "name": "double, arrays", "number": "2", "score": 0, "max_score": 1, "status": "failed",
        "output": "not for arrays", "output_format": "text", "visibility": "after_published",
    }  # fmt: skip
    again = reports.from_json(reports.as_json(half), "somebody")
    assert (again.outcomes, again.errors) == (half.outcomes, half.errors)
    assert reports.as_csv([half]).splitlines()[1] == "somebody,2,3,2,0,"
    page = reports.feedback(half, "a0", with_hidden=False)
    assert "not for arrays" not in page
    assert "not handed out" in page
    for code, words in {
        "": "there is no function",
        "raise NotImplementedError": "not written",
    }.items():
        blank = graded(task, f"def double(x):\n    {code}\n" if code else "")
        assert blank.outcomes[1].message in reports.feedback(blank, "a0", with_hidden=False)
        assert words in blank.outcomes[1].message
    whole = reports.class_page([half, graded(task, HONEST)], "a0")
    assert "2 submissions, 2.5 of 3 points" in whole
    assert "not for arrays" in whole


def test_a_students_name_is_no_formula_and_no_markup(task: Assignment) -> None:
    evil = grade(task, [HONEST], student="=cmd|' /C calc'!A0<script>", limits=QUICK)
    assert reports.as_csv([evil]).splitlines()[1].startswith("'=cmd")
    assert "<script>" not in reports.class_page([evil], "a0")


def test_results_are_json_that_anybody_reads(task: Assignment) -> None:
    made = json.loads(reports.as_json(graded(task, "def double(x): return float('nan')\n")))
    assert made["score"] == 0


def test_a_check_that_goes_by_the_order_of_questions_gets_nowhere() -> None:
    """It calls the first gradient of each function right and all later ones wrong."""
    cheat = (
        "import numpy as np\nseen = set()\ndef check_gradient(forward, backward, inputs):\n"
        "    key = np.asarray(forward(*inputs)).tobytes()\n"
        "    new = key not in seen\n    seen.add(key)\n    return new\n"
    )
    task = Assignment.load("tutorials/assignments/a2_gradient_check")
    results = [grade(task, [cheat]) for _ in range(3)]
    assert sum(r.earned for r in results) < sum(r.points for r in results) / 2
