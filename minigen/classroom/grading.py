"""Grading: every test of an assignment against a submission, in the grader's own process."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minigen.classroom.assignment import Assignment, Test
from minigen.classroom.confinement import Limits
from minigen.classroom.own_work import refused
from minigen.classroom.partly import Partly as Partly
from minigen.classroom.racing import Finish
from minigen.classroom.submission import Submission, SubmissionError, read_submission
from minigen.classroom.track import ALONE, Track, core
from minigen.testing import GradcheckError

MOST_SECONDS = 60.0  # for all tests of a submission
MOST_TOLD = 4000  # characters of a message


@dataclass(frozen=True)
class Outcome:
    """A test's result. message: for the student; "" if passed."""

    name: str
    points: float
    earned: float
    hidden: bool
    message: str
    expectation: str

    @property
    def passed(self) -> bool:
        return not self.message


@dataclass(frozen=True)
class Grade:
    """A submission's results. errors: what went wrong before any test; in_force: what the
    submission was kept from (`minigen.classroom.confinement`); finishes: of its races; seed: of the
    tests' inputs."""

    student: str
    outcomes: tuple[Outcome, ...]
    seconds: float
    errors: tuple[str, ...] = ()
    in_force: tuple[str, ...] = field(default=())
    finishes: tuple[Finish, ...] = ()
    seed: int = 0

    @property
    def earned(self) -> float:
        return sum(o.earned for o in self.outcomes)

    @property
    def points(self) -> float:
        return sum(o.points for o in self.outcomes)


def grade(
    assignment: Assignment,
    submission: Path | Sequence[str],
    *,
    student: str = "",
    seed: int = 0,
    limits: Limits | None = None,
    also_hidden: Sequence[Path] = (),
    timed: bool = True,
    parts: Container[str] | None = None,
) -> Grade:
    """Run every test. `submission` is a file or the cells of one; `seed` is that of the inputs.

    Nothing that a submission does raises here: a test of it fails, with the reason. One submission
    at a time is graded in an assignment with races; timed=False leaves out their clock. parts: run
    the tests of these only.
    """
    began = time.perf_counter()
    if isinstance(submission, Path):
        student = student or submission.stem
        try:
            cells = read_submission(submission)
        except SubmissionError as error:
            seconds = time.perf_counter() - began
            remark = printable(str(error))
            return Grade(student, nothing(assignment, remark), seconds, (remark,), seed=seed)
    else:
        cells = list(submission)
    hidden, limits = [assignment.folder, *also_hidden], limits or Limits()
    alone: AbstractContextManager = nullcontext()
    if assignment.has_races and timed:
        alone, limits = ALONE, replace(limits, core=core())
    with alone, Submission(cells, hidden, limits, assignment.imports) as code:
        began = time.perf_counter()  # now that it is this one's turn
        outcomes: list[Outcome] = []
        disallowed, track = _disallowed(assignment, cells), Track(assignment, code, timed)
        for number, test in enumerate(assignment.tests):
            if parts is not None and test.part not in parts:
                continue
            if message := disallowed.get(test.part, "") or _not_yet(test, assignment, outcomes):
                outcomes.append(_outcome(test, message))
            elif time.perf_counter() - began > MOST_SECONDS:
                message = f"not run: the tests before it took more than {MOST_SECONDS:g} seconds"
                outcomes.append(_outcome(test, message))
            elif test.spare:  # in a process that begins anew
                less = replace(limits, spare=test.spare)
                with Submission(cells, hidden, less, assignment.imports) as small:
                    outcomes.append(_run(test, small, track, [seed, number]))
            else:
                outcomes.append(_run(test, code, track, [seed, number]))
        errors, in_force = tuple(map(printable, code.errors)), tuple(code.in_force)
    seconds, finishes = time.perf_counter() - began, tuple(track.finishes)
    return Grade(student, tuple(outcomes), seconds, errors, in_force, finishes, seed)


def nothing(assignment: Assignment, message: str) -> tuple[Outcome, ...]:
    """No points on any test, with the reason."""
    return tuple(_outcome(test, message) for test in assignment.tests)


def _disallowed(assignment: Assignment, cells: Sequence[str]) -> dict[str, str]:
    """By part, what it uses that it may not."""
    return {
        part: next(filter(None, (refused(cells, name, words) for name in names)), "")
        for part, names in assignment.parts.items()
        if (words := assignment.without.get(part))
    }


def _not_yet(test: Test, assignment: Assignment, outcomes: Sequence[Outcome]) -> str:
    """Why a race is not run, if it is one: its part is not all right."""
    others = {each.name for each in assignment.tests if each.part == test.part}
    if test.is_race and not all(o.passed for o in outcomes if o.name in others):
        return "not timed yet: first right, then quick"
    return ""


def given(test: Callable[..., None], seed: Sequence[int]) -> dict[str, Any]:
    """Those of a test's arguments that the grader supplies, where it has them: seed and rng."""
    names = test.__code__.co_varnames[: test.__code__.co_argcount]
    made: dict[str, Any] = {}
    if "rng" in names:
        made["rng"] = np.random.default_rng(seed)
    if "seed" in names:
        made["seed"] = int(np.random.default_rng(seed).integers(2**31))
    return made


def _run(test: Test, code: Submission, track: Track, seed: list[int]) -> Outcome:
    """One test: the student's functions are calls into another process."""
    arguments = {name: code.function(name, test.seconds) for name in test.wants}
    arguments |= given(test.function, seed) | ({"race": track.race} if test.is_race else {})
    try:
        with np.errstate(all="ignore"):
            test.function(**arguments)
    except Partly as partly:
        return _outcome(test, str(partly), partly.share)
    except (SubmissionError, AssertionError, GradcheckError) as error:
        return _outcome(test, str(error) or f"not so: {test.expectation}")
    except Exception as error:  # the result was of a kind that the test could not even look at
        return _outcome(test, f"the result cannot be used ({type(error).__name__}: {error})")
    return _outcome(test, "")


def _outcome(test: Test, message: str, share: float | None = None) -> Outcome:
    message = printable(message[:MOST_TOLD])
    if share is None:
        share = float(not message)
    earned = test.points * min(max(share, 0.0), 1.0) if share == share else 0.0  # nan gives nothing
    return Outcome(test.name, test.points, earned, test.hidden, message, test.expectation)


def printable(text: str) -> str:
    """Text that any page, file or terminal can show, the rest of it as escapes: a message comes
    from a student's code, and could move the cursor or hold half a character.

    >>> printable("第一行\\nada: \\x1b[2K\\ud800")
    '第一行\\nada: \\\\x1b[2K\\\\ud800'
    """
    return "".join(c if c.isprintable() or c in "\n\u3000" else ascii(c)[1:-1] for c in text)
