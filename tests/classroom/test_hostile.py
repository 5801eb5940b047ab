"""More of what a submission may try: to be graded as somebody else, to fool or to fill the page
that the teacher reads, to reach the grader, the other submissions, or the next one. And what looks
like that and is honest work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import UNANSWERED

from minigen.classroom import reports, wire
from minigen.classroom.assignment import Assignment
from minigen.classroom.confinement import Limits
from minigen.classroom.grading import Grade, Partly, _outcome, _run, grade
from minigen.classroom.nursery import Nursery, _nurseries
from minigen.classroom.submission import Submission, SubmissionError, read_submission
from minigen.cli import main
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


def within(seconds: float, function: Callable[[], Any]) -> Any:
    """What it returns or raises; a failure, and not a test that hangs, if that takes longer."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, f"not done in {seconds:g} seconds"
    return found[0]


@pytest.mark.parametrize("name", UNANSWERED)
def test_no_points_for_what_is_no_answer(name: str, task: Assignment) -> None:
    limits = Limits(seconds=1.0, megabytes=1024)
    result = within(60, lambda: graded(task, UNANSWERED[name], limits))
    assert result.earned == 0
    assert all(o.message for o in result.outcomes)
    assert len(reports.as_json(result)) < 20_000
    assert graded(task, HONEST).earned == 3  # the next one is graded as if nothing had been


def test_calls_back_forever() -> None:
    """Each question is answered at once; all of them together take too long."""
    code = "def ask(f):\n    while True: f(1)\n"

    def call() -> None:
        with Submission([code], [], QUICK) as submission:
            submission.call("ask", lambda x: x)

    error = within(20, call)
    assert isinstance(error, SubmissionError)
    assert "took longer than 1 seconds" in str(error)


def test_slow_answers_have_a_limit_together() -> None:
    code = "import time\ndef double(x):\n    time.sleep(0.4)\n    return x\n"
    with Submission([code], [], Limits(seconds=1.0, total_seconds=1.0)) as submission:
        told = []
        for _ in range(20):
            try:
                submission.call("double", 1)
            except SubmissionError as error:
                told.append(str(error))
    assert 16 <= len(told) < 20
    assert told[-1] == "not run: what was run before it took 1 seconds"


@pytest.mark.parametrize(
    "text",
    [
        b'{"complex": [1%s, 0]}' % (b"0" * 400),
        b'{"array": ["<f8", [0, 1%s], false]}' % (b"0" * 30),
        b'{"array": ["f8,(2,)f8", [0], false]}',
        b'{"array": ["(1", [0], false]}',
        b'{"array": ["O", [0], false]}',
        b'{"array": [{"names": ["a"]}, [0], false]}',
        b'{"array": ["<f8", 5, false]}',
        b'{"array": ["<f8", [-1], false]}',
        b'{"dict": [[{"list": []}, 1]]}',
        b'{"list": 5}',
        b"[" * 10**5,
        b'"\xff"',
        b"1" * 5000,
    ],
)
def test_a_message_of_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(text, b"")


def test_a_text_that_would_fill_the_memory_is_not_read() -> None:
    """Each pair of brackets in it becomes a list: 30 times its length."""
    read, write = os.pipe()
    os.write(write, wire.LENGTHS.pack(200 * 2**20, 0))
    with pytest.raises(wire.WireError, match="MiB of text"):
        wire.receive(read, lambda: 1.0)
    os.close(read)
    os.close(write)


def test_errors_by_the_thousand_are_not_kept(task: Assignment) -> None:
    result = grade(task, ["1 / 0"] * 300 + [HONEST])
    assert result.earned == 3
    assert (len(result.errors), result.errors[-1]) == (11, "and 290 more")


def test_no_share_beyond_the_points(task: Assignment) -> None:
    for share, points in ((2.0, 2.0), (-1.0, 0.0), (float("nan"), 0.0), (0.5, 1.0)):
        assert _outcome(task.tests[0], str(Partly(share, "so")), share).earned == points


class TestThePageOfTheTeacher:
    """A class of which one member tries to change what is read of the others."""

    @pytest.fixture
    def came(self, task: Assignment, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(task.folder.parent)
        folder = Path("came")
        folder.mkdir()
        (folder / "ada.py").write_text(HONEST, encoding="utf-8")
        return folder

    def graded(self, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], dict[str, float]]:
        """What is printed, and the points in every results.json; the class page is made too."""
        for command in (["grade", "a0_small", "came", "--out", "grades"], ["report", "grades"]):
            with pytest.raises(SystemExit) as ended:
                main(["classroom", *command])
            assert not ended.value.code
        lines = capsys.readouterr().out.splitlines()
        files = Path("grades").glob("*/results.json")
        scores = {f.parent.name: json.loads(f.read_text(encoding="utf-8"))["score"] for f in files}
        return lines, scores

    def test_words_that_no_page_can_hold(
        self, came: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Half a character cannot be written to a file; others move the cursor of a terminal."""
        evil = "\\ud800\\x1b[2K\\rada: 0 of 3\\nada: 0 of 3\\u202e"
        code = f"raise ValueError('{evil}')\n"
        (came / "eve.py").write_text(f"def double(x): {code}\n\n# %%\n{code}", encoding="utf-8")
        lines, scores = self.graded(capsys)
        assert scores == {"ada": 3, "eve": 0}
        assert [line for line in lines if "ada: 0" in line] == [
            line for line in lines if "] eve: 0 of 3  (" in line
        ]
        assert not any(sign in "".join(lines) for sign in "\x1b\r\u202e")

    def test_names_that_are_taken(self, came: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("grades.csv.py", "class.html.py", "ada.ipynb", "ada/a0.py", "学生 一.py",
                     "a\nada: 0 of 3.py", "n" * 200 + ".py", "-.py"):  # fmt: skip
            path = came / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("def double(x): return 6\n", encoding="utf-8")
        if sys.platform == "linux":
            Path(os.fsdecode(os.fsencode(came) + b"/\xff.py")).write_text("", encoding="utf-8")
        count = len([p for p in came.rglob("*") if p.is_file()])
        lines, scores = self.graded(capsys)
        assert len(scores) == count
        assert (scores["ada"], scores["ada (ada.py)"], scores["ada (ada.ipynb)"]) == (2, 3, 0)
        assert "学生 一" in scores
        assert len([line for line in lines if line.startswith("[")]) == count

    def test_links_and_pipes_are_no_submissions(
        self, came: Path, task: Assignment, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (came / "eve.py").symlink_to(task.folder / "a0.py")  # the solution
        (came / "eve2.py").symlink_to(came / "eve2.py")
        (came / "eve3").symlink_to(task.folder)
        os.mkfifo(came / "eve4.py")
        (came / "eve5.py").mkdir()
        lines, scores = within(60, lambda: self.graded(capsys))
        assert scores == {"ada": 3, "eve": 0, "eve2": 0, "eve4": 0}
        assert sum("not a file" in line for line in lines) == 3


def test_a_module_beside_the_submissions_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grading where a submission is called numpy.py must not run it, unconfined, as NumPy."""
    for name in ("numpy", "json", "minigen", "resource"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'was here')!r}, 'w')\n", encoding="utf-8"
        )
    monkeypatch.chdir(tmp_path)
    fresh = Nursery()
    read, write = os.pipe()
    os.kill(fresh.fork(read, write, write), signal.SIGKILL)  # it is there
    fresh.close()
    os.close(read)
    os.close(write)
    assert not (tmp_path / "was here").exists()


def test_grading_goes_on_when_the_process_that_starts_submissions_has_ended(
    task: Assignment,
) -> None:
    assert graded(task, HONEST).earned == 3
    for each in _nurseries.values():
        each._process.kill()
        each._process.wait()
    assert graded(task, HONEST).earned == 3


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_process_escapes_its_end() -> None:
    """Neither by a session of its own, nor by no longer dying with its parent."""
    code = (
        "import ctypes, os\ndef double(x):\n    c = ctypes.CDLL(None)\n"
        "    return [c.setsid(), c.setpgid(0, 0), c.prctl(1, 0, 0, 0, 0)]\n"
    )
    with Submission([code], [], QUICK) as submission:
        told = submission.call("double", 1)
        if "no new processes" in submission.in_force:
            assert told == [-1, -1, -1]
        process = submission._process
        children = Path(f"/proc/{process}/task/{process}/children")
        processes = [process, *map(int, children.read_text().split() if children.exists() else [])]
    for _ in range(100):
        if not any(Path(f"/proc/{each}").exists() for each in processes):
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


LONG = """import time
def work(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds: pass
def sleep(seconds): time.sleep(seconds)
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="it is Linux that counts")
def test_nobody_is_too_late_because_others_were_busy() -> None:
    """Beside two processes on the same core, which it has for a third of the time."""
    core = max(os.sched_getaffinity(0))
    hog = f"import os; os.sched_setaffinity(0, {{{core}}}); print(flush=True)\nwhile True: pass"
    hogs = [  # in sessions of their own, as a submission is: the system may share among sessions
        subprocess.Popen(
            [sys.executable, "-c", hog], stdout=subprocess.PIPE, start_new_session=True
        )
        for _ in range(2)
    ]
    try:
        for each in hogs:
            assert each.stdout is not None
            each.stdout.readline()  # it has begun
        with Submission([LONG], [], Limits(seconds=1.0, core=core)) as code:
            code.call("work", 0.0)
            took = 0.0
            for _ in range(5):
                began = time.perf_counter()
                code.call("work", 0.5)
                took = max(took, time.perf_counter() - began)
                if took > 1.0:
                    break
            assert took > 1.0, "they were not in its way"
            for name, most in (("sleep", 2.0), ("work", 5.0)):
                began = time.perf_counter()
                with pytest.raises(SubmissionError, match=f"{name} took longer than 1 seconds"):
                    code.call(name, 10)
                assert time.perf_counter() - began < most
    finally:
        for each in hogs:
            each.kill()
            each.communicate()


def test_it_cannot_touch_other_submissions(task: Assignment, tmp_path: Path) -> None:
    came = tmp_path / "came"
    came.mkdir()
    other = came / "other.py"
    other.write_text(HONEST, encoding="utf-8")
    os.chmod(came, 0o777)
    code = (
        f"import ctypes, os, shutil\ndef double(x):\n    tried = []\n    path = {str(other)!r}\n"
        "    for act in (os.remove, lambda p: os.rename(p, p + 'x'), lambda p: os.truncate(p, 0),\n"
        "                lambda p: os.symlink('/etc/passwd', p + '.py'),\n"
        "                lambda p: shutil.rmtree(os.path.dirname(p)),\n"
        "                lambda p: os.mkdir(os.path.dirname(p) + '/new'),\n"
        "                lambda p: open(p, 'w')):\n"
        "        try: act(path)\n        except OSError: tried.append(1)\n"
        "    return len(tried)\n"
    )
    with Submission([code], [came], QUICK) as submission:
        assert submission.call("double", 1) == 7
    assert [p.name for p in came.iterdir()] == ["other.py"]
    assert other.read_text(encoding="utf-8") == HONEST


def test_nothing_stays_for_the_next_submission() -> None:
    """Where the system allows it, what is written is gone with the process; and little else than
    temporary files can be written at all."""
    leave = (
        "import os, tempfile\ndef double(x):\n"
        "    with open(os.path.join(tempfile.gettempdir(), 'minigen-note'), 'w') as f:\n"
        "        f.write('6')\n    return os.path.exists(f.name)\n"
        "def home(x): open(os.path.join(x, 'minigen-note'), 'w')\n"
    )
    find = (
        "import os, tempfile\ndef double(x):\n"
        "    return os.path.exists(os.path.join(tempfile.gettempdir(), 'minigen-note'))\n"
    )
    with Submission([leave], [], QUICK) as submission:
        assert submission.call("double", 1) is True  # an honest use of a temporary file
        if "no files that stay" in submission.in_force:
            for folder in ("/var/tmp", "/tmp", os.getcwd()):
                with pytest.raises(SubmissionError, match="Error: "):
                    submission.call("home", folder)
        alone = "no files that stay" in submission.in_force
    with Submission([find], [], QUICK) as submission:
        assert submission.call("double", 1) is not alone
    Path(tempfile.gettempdir(), "minigen-note").unlink(missing_ok=True)


NOTEBOOKS = {
    "no JSON": "{",
    "cells is a number": '{"cells": 5}',
    "a cell is a number": '{"cells": [5]}',
    "source is a number": '{"cells": [{"cell_type": "code", "source": 5}]}',
    "source holds numbers": '{"cells": [{"cell_type": "code", "source": [5]}]}',
    "metadata is a list": '{"cells": [{"cell_type": "code", "source": "", "metadata": []}]}',
    "nests without end": '{"cells": ' + "[" * 10**5,
    "an endless number": '{"cells": ' + "1" * 10**5 + "}",
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_no_notebook(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(NOTEBOOKS[name], encoding="utf-8")
    with pytest.raises(SubmissionError, match="not a notebook"):
        read_submission(path)


def test_half_a_character_in_a_notebook(task: Assignment, tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": s} for s in ("x = '\ud800'", HONEST)]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    result = grade(task, tmp_path / "a.ipynb", limits=QUICK)
    assert (result.earned, len(result.errors)) == (3, 1)


CONSTANTS = (
    "None", "True", "False", "0", "1.0", "''", "[]", "()", "{}", "(None,)", "([], [])",
    "float('nan')", "np.zeros(0)", "np.zeros((0, 3))", "np.full((3, 4), np.nan)",
    "(np.zeros(0),)", "(np.full((3, 4), np.nan),)", "(float('inf'),) * 2", "[[]] * 3",
)  # fmt: skip


@pytest.mark.parametrize("folder", ASSIGNMENTS, ids=lambda path: path.name)
def test_no_constant_answers_any_test(folder: Path) -> None:
    """Where an honest answer is one of them, an assignment gives points for nothing. What comes out
    of a submission is such a value, so here is no need of one."""
    task = Assignment.load(folder)

    class Constant:
        def __init__(self, text: str) -> None:
            self.text = text

        def function(self, name: str, seconds: float | None) -> Callable:
            return lambda *_: eval(self.text, {"np": np})

    for text in CONSTANTS:
        for number, test in enumerate(task.tests):
            if not test.is_race and not set(test.wants) - set(task.asked):
                outcome = _run(test, Constant(text), None, [3, number])  # type: ignore[arg-type]
                assert outcome.earned == 0, f"{text} for {test.name}"


class TestHonestWork:
    """What went wrong for those who meant no harm."""

    def test_classes_with_annotations(self, task: Assignment) -> None:
        code = (
            "from dataclasses import dataclass\nimport typing\n\n@dataclass\nclass Two:\n"
            "    value: int = 2\n    name: 'typing.Any' = None\n\n"
            "def double(x: float) -> float:\n    return Two().value * x\n"
            "assert double.__annotations__['x'] is float\n"
        )
        result = graded(task, code)
        assert (result.earned, result.errors) == (3, ())

    def test_a_file_from_an_editor_that_marks_utf_8(self, task: Assignment, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text(HONEST, encoding="utf-8-sig")
        assert grade(task, tmp_path / "a.py", limits=QUICK).earned == 3

    def test_code_above_the_first_mark(self, task: Assignment, tmp_path: Path) -> None:
        text = "import math as m\n\n# %%\ndef double(x):\n    return 2 * x * m.cos(0)\n"
        (tmp_path / "a.py").write_text(text, encoding="utf-8")
        assert grade(task, tmp_path / "a.py", limits=QUICK).earned == 3

    @pytest.mark.parametrize("form", [".py", ".ipynb"])
    def test_a_test_that_is_called_where_it_was_handed_out(
        self, form: str, task: Assignment, tmp_path: Path
    ) -> None:
        from minigen.classroom.release import build

        paths = {p.suffix: p for p in build(task, tmp_path / "out", "en")}
        text = paths[form].read_text(encoding="utf-8")
        text = text.replace("raise NotImplementedError", "return 2 * x")
        if form == ".py":
            text += "\n# %%\ntest_double(double)\n"
        else:
            made = json.loads(text)
            made["cells"].append({"cell_type": "code", "source": "test_double(double)"})
            text = json.dumps(made)
        (tmp_path / f"a{form}").write_text(text, encoding="utf-8")
        result = grade(task, tmp_path / f"a{form}", limits=QUICK)
        assert (result.earned, result.errors) == (3, ())

    def test_the_environment_in_the_folder_of_the_submission(
        self, task: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file named by itself hides itself, not all that lies beside it."""
        (tmp_path / "helper").mkdir()
        (tmp_path / "helper" / "kept.txt").write_text("2", encoding="utf-8")
        path = tmp_path / "ada.py"
        path.write_text(
            f"import os\ndef double(x): return int(open({str(tmp_path / 'helper/kept.txt')!r})"
            f".read()) * x\n"
            f"def secret(x): return open({str(path)!r}).read()\n",
            encoding="utf-8",
        )
        monkeypatch.chdir(tmp_path)
        os.chmod(tmp_path, 0o755)
        cells = read_submission(path)
        with Submission(cells, [path], QUICK) as submission:
            assert submission.call("double", 3) == 6
            if "no network" in submission.in_force:  # namespaces: it is covered, not only guarded
                assert "no assignment files" in submission.in_force
            try:
                assert submission.call("secret", 1) == ""
            except SubmissionError as error:
                assert "Error" in str(error)  # noqa: PT017
