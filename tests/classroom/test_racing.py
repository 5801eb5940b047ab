"""Races: what is measured, with a clock of our own; and that nothing but being quick helps.

No test here depends on how quick this machine is: ratios are of a hundred and more, or made up.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigen.classroom import reports
from minigen.classroom.assignment import Assignment
from minigen.classroom.confinement import Limits
from minigen.classroom.grading import Grade, grade
from minigen.classroom.partly import Partly
from minigen.classroom.proof import prove
from minigen.classroom.racing import Finish, award, measure, race
from minigen.classroom.stopwatch import wall
from minigen.classroom.submission import Submission, SubmissionError

# --------------------------------------------------------------------------- what is measured


class Clock:
    """Time passes only when somebody says so."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def __call__(self, who: str) -> Callable[[], float]:
        began = self.now
        return lambda: self.now - began

    def takes(self, name: str, *seconds: float) -> Callable[[float], float]:
        """A function that doubles, and takes so long at its first, second ... and later calls."""
        left = list(seconds)

        def double(x: float) -> float:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return 2 * x

        return double


def numbers() -> tuple[float]:
    return (float(np.random.default_rng().standard_normal()),)


def is_double(y: float, x: float) -> None:
    assert y == 2 * x, "not twice"


def twice(x: float) -> float:
    return 2 * x


def test_best_against_best_without_the_first_call() -> None:
    clock = Clock()
    yours = clock.takes("yours", 0.1, 9, 2, 7, 8, 8)  # not even if it was the quickest
    reference = clock.takes("reference", 50, 6, 6, 6, 4, 5)
    assert measure(yours, reference, numbers, is_double, clock=clock) == 4 / 2
    assert clock.calls.count("yours") == clock.calls.count("reference") == 6
    assert clock.calls[:4] == ["reference", "yours", "yours", "reference"]  # by turns


def test_the_way_there_and_back_is_taken_off_both() -> None:
    clock = Clock()
    made = [clock.takes("", seconds) for seconds in (3.0, 9.0, 1.0)]
    ratio = measure(*made[:2], numbers, is_double, nothing=made[2], clock=clock)
    assert ratio == (9 - 1) / (3 - 1)
    quick = clock.takes("", 1.0)  # as quick as doing nothing
    assert measure(quick, made[1], numbers, is_double, nothing=made[2], clock=clock) == 8 / 0.25


def test_every_call_gets_numbers_of_its_own_and_is_checked() -> None:
    kept: list[float] = []

    def keeps(x: float) -> float:
        kept.append(2 * x)
        return kept[0]

    with pytest.raises(AssertionError, match="not twice"):
        measure(keeps, lambda x: 2 * x, numbers, is_double)
    assert len(set(kept)) == 2


@pytest.mark.parametrize(("ratio", "share"), [(0.5, 0), (1, 0), (2, 0.5), (4, 1), (9, 1)])
def test_equal_factors_are_worth_the_same(ratio: float, share: float) -> None:
    if share == 1:
        award("double", ratio, max, none=1, full=4)
    else:
        with pytest.raises(Partly, match=f"double: {ratio} times as quick as max") as told:
            award("double", ratio, max, none=1, full=4)
        assert told.value.share == pytest.approx(share)


def test_a_student_runs_it_at_home(capsys: pytest.CaptureFixture) -> None:
    race("double", twice, twice, numbers, is_double, none=1e-9, full=1e-8)
    assert capsys.readouterr().out.startswith("double: ")


WORK = """
import threading, time
x = np.linspace(0, 1, 1_000_000)
def work(seconds):
    began = time.thread_time()
    while time.thread_time() < began + seconds: np.sin(x)  # others may run meanwhile
def helper(seconds):
    ready.wait()
    work(seconds)
def prepare(seconds):
    global others, ready
    ready = threading.Event()
    others = [threading.Thread(target=helper, args=(0.3 / 8,)) for _ in range(8)]
    for other in others: other.start()
def together(seconds):
    ready.set()
    while any(other.is_alive() for other in others): np.sin(x)  # ready to run all the time
def sleep(seconds): time.sleep(seconds)
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="it is Linux that counts")
@pytest.mark.parametrize("function", ["work", "together", "sleep"])
def test_the_time_of_a_process_is_what_it_took_and_not_what_others_did(function: str) -> None:
    """Beside threads of the grader's that are busy on the same core. Work that is divided among
    threads, which wait for each other, is no less."""
    core, busy = max(os.sched_getaffinity(0)), threading.Event()

    def disturb() -> None:
        os.sched_setaffinity(0, {core})
        while not busy.is_set():
            sum(range(1000))

    with Submission([WORK], [], Limits(core=core)) as code:
        code.call("prepare", 0.3)
        others = [threading.Thread(target=disturb) for _ in range(3)]
        for other in others:
            other.start()
        on_the_wall, elapsed = wall(), code.stopwatch()
        code.call(function, 0.3)
        took, whole = elapsed(), on_the_wall()
        busy.set()
        for other in others:
            other.join()
    assert took > 0.29
    if function == "work":
        assert took < 0.45 or took < 0.8 * whole


# ------------------------------------------------------------------------------ in the grader

SOURCE = '''# %%
import time

import numpy as np


def loop_double(x):
    return np.array([2 * each for each in x])


def deal():
    return (np.random.default_rng().standard_normal(200_000),)


def is_double(y, x):
    assert np.array_equal(y, 2 * x), "the result that was timed is wrong"


# %% solution="double"
def double(x):
    # BEGIN SOLUTION
    return 2 * x
    # END SOLUTION

# %% test="double" points=1
def test_double(double):
    """two times"""
    assert list(double(np.array([1.0, 3.0]))) == [2, 6]

# %% test="double, memory" points=1 spare=64
def test_memory(double):
    """with little memory"""
    assert len(double(np.zeros(100_000))) == 100_000

# %% test="double, speed" points=4 seconds=9
def test_speed(double, race):
    """beside a loop"""
    race("double", double, loop_double, deal, is_double, none=1.0, full=3.0)
'''
WRONG = """# %% breaks="double" slow=true says="points from 1 to 3 times"
def double(x):
    time.sleep(0.3)
    return 2 * x
"""


@pytest.fixture
def task(tmp_path: Path) -> Assignment:
    (tmp_path / "a0_race").mkdir()
    (tmp_path / "a0_race" / "a0.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "a0_race" / "wrong.py").write_text(WRONG, encoding="utf-8")
    return Assignment.load(tmp_path / "a0_race")


def graded(task: Assignment, *cells: str, **how: Any) -> Grade:
    return grade(task, [*task.solution(), *cells], student="somebody", **how)


def test_the_quick_win(task: Assignment) -> None:
    assert (task.has_races, task.tests[2].seconds, task.tests[1].spare) == (True, 9, 64)
    result = graded(task)
    assert result.earned == 6
    (finish,) = result.finishes
    assert finish.name == "double"
    assert finish.ratio > 3


SLOW = {
    "sleeps": "def double(x):\n    time.sleep(0.3)\n    return 2 * x\n",
    "stops its clock": (
        "now = time.time()\nfor name in ('time', 'perf_counter', 'monotonic'):\n"
        "    setattr(time, name, lambda: now)\n"
        "def double(x):\n    time.sleep(0.3)\n    return 2 * x\n"
    ),
    "slows down the reference that it can see": (
        "def loop_double(x):\n    time.sleep(5)\n    return 2 * x\n"
        "def nothing_computed(shape, dtype, *x):\n    time.sleep(5)\n    return x[0]\n"
        "def double(x):\n    time.sleep(0.3)\n    return 2 * x\n"
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_the_slow_lose(name: str, task: Assignment) -> None:
    result = graded(task, SLOW[name])
    assert [o.earned for o in result.outcomes] == [1, 1, 0]
    assert "times as quick as loop_double; points from 1 to 3 times" in result.outcomes[2].message
    assert result.finishes[0].ratio < 1


FALSE = {
    "keeps its first large result": (
        "kept = []\ndef double(x):\n    if len(x) > 100_000:\n        kept.append(2 * x)\n"
        "        return kept[0]\n    return 2 * x\n"
    ),
    "guesses": "def double(x):\n    return 2 * x if len(x) <= 100_000 else np.zeros_like(x)\n",
    "writes only the beginning": (
        "def double(x):\n    out = np.zeros_like(x)\n    out[:100_000] = 2 * x[:100_000]\n"
        "    return out\n"
    ),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_false_result_is_no_result(name: str, task: Assignment) -> None:
    result = graded(task, FALSE[name])
    assert [o.earned for o in result.outcomes] == [1, 1, 0]
    assert result.outcomes[2].message == "the result that was timed is wrong"
    assert result.finishes == ()


def test_first_right_then_quick(task: Assignment) -> None:
    result = graded(task, "def double(x):\n    return 2 * x if len(x) > 2 else x\n")
    assert result.outcomes[2].message == "not timed yet: first right, then quick"
    assert result.finishes == ()


def test_without_the_clock_only_the_results_count(task: Assignment) -> None:
    result = graded(task, SLOW["sleeps"], timed=False)
    assert (result.earned, result.finishes) == (6, ())
    assert graded(task, FALSE["guesses"], timed=False).outcomes[2].earned == 0


def test_a_slow_solution_is_told_so_where_the_clock_is_used(task: Assignment) -> None:
    with_clock, without = (list(prove(task, timed=timed)) for timed in (True, False))
    assert len(with_clock) == len(without) + 1
    assert [c.problem for c in with_clock + without if c.problem] == []
    (task.folder / "wrong.py").write_text(WRONG.replace("sleep(0.3)", "sleep(0)"), "utf-8")
    assert [c.problem for c in prove(task) if c.problem] == ["nobody notices"]


# ------------------------------------------------------------- what a submission cannot do

BUSY = """
import threading, time
gaps, run = [0.0], []
def work():
    last = time.monotonic()
    while True:
        now = time.monotonic()
        gaps.append(now - last)
        last = now
        time.sleep(0.005)
def start():
    threading.Thread(target=work, daemon=True).start()
def longest():
    enough = len(gaps) + 3
    while len(gaps) < enough:
        time.sleep(0.005)
    return max(gaps)
"""


def test_nothing_of_it_runs_while_it_is_stopped() -> None:
    """A thread of its own could keep the core busy while the reference is timed."""
    with Submission([BUSY], [], Limits()) as code:
        code.call("start")
        code.call("longest")
        with code.stopped():
            time.sleep(0.8)
        assert code.call("longest") > 0.6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux holds it on a core")
def test_it_stays_on_its_core_and_in_its_group() -> None:
    (core, *others) = sorted(os.sched_getaffinity(0), reverse=True)
    code = (
        "import os, signal\ndef where(): return sorted(os.sched_getaffinity(0))\n"
        f"def leave(): os.sched_setaffinity(0, {set(others or [core])})\n"
        "def hide(): os.setsid()\ndef regroup(): os.setpgid(0, 0)\n"
        "def hit(): os.kill(os.getppid() or 1, signal.SIGCONT)\n"
        "def hurry(): os.nice(1)\n"
        "def signals_itself(): signal.raise_signal(signal.SIGCONT); return True\n"
    )
    with Submission([code], [], Limits(core=core)) as submission:
        assert submission.call("where") == [core]
        if "no new processes" not in submission.in_force:
            return  # there is no filter of system calls here
        for name in ("leave", "hide", "regroup", "hit", "hurry"):
            with pytest.raises(SubmissionError, match="PermissionError"):
                submission.call(name)
        assert submission.call("signals_itself") is True
        assert submission.call("where") == [core]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="it counts from /proc")
def test_memory_beyond_what_it_begins_with() -> None:
    code = "import numpy as np\ndef take(n): return float(np.ones(n << 17).sum())\n"
    with Submission([code], [], Limits(spare=64)) as submission:
        assert submission.call("take", 16) == 16 << 17
        with pytest.raises(SubmissionError, match="Unable to allocate"):
            submission.call("take", 128)


# ------------------------------------------------------------------------------- the ranking


def test_ratios_come_back_from_the_results_and_are_ranked(task: Assignment) -> None:
    result = graded(task, timed=False)
    made = [
        Grade(name, result.outcomes, 1.0, finishes=finishes)
        for name, finishes in {
            "slow": (Finish("double", 0.5),), "absent": (), "<quick>": (Finish("double", 9.0),),
            "equal": (Finish("double", 9.0),),
        }.items()
    ]  # fmt: skip
    board = json.loads(reports.as_json(made[0]))["leaderboard"]
    assert board == [{"name": "double", "value": 0.5, "order": "desc"}]
    again = reports.from_json(reports.as_json(made[2]), "<quick>")
    assert again.finishes == made[2].finishes
    table = reports.as_csv(made).splitlines()
    assert table[0].endswith("double (times the reference),remarks")
    assert [line.split(",")[-2] for line in table[1:]] == ["0.5", "", "9", "9"]
    page = reports.class_page(made, "A0")
    ranking = page[page.index("<h2>double</h2>") : page.index("<h2>Everybody</h2>")]
    places = [ranking.index(f">{n}</th>") for n in ("&lt;quick&gt;", "equal", "slow")]
    assert places == sorted(places)
    assert [ranking.count(f'<td class="value">{n}</td>') for n in (1, 2, 3)] == [2, 0, 1]
    assert "absent" not in ranking
    assert "double: 9 times as quick as the reference" in reports.feedback(made[2], "A0")
