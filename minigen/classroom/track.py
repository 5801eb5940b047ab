"""Races in the grader: a submission against the reference, each in a process of its own.

What a student's code could do to look quick, and why it does not:

    give a time              the clock is the grader's, around the whole call, there and back; the
                             kernel says how long it had to wait for a core (`stopwatch`)
    keep or guess results    every call has new numbers, and its result is checked
    slow down the reference  that runs elsewhere, from the assignment's text, while the submission
                             is stopped; it cannot reach other processes (`seccomp`)
    compute on more cores    all of these processes are held on one and the same, and may not leave
    disturb by other work    one submission races at a time (`ALONE`)

Linux has all of this. Elsewhere there is no holding on one core, and where namespaces or the filter
of system calls are refused, a submission that means harm could slow down the reference. What is
left everywhere: whatever it saves in handling messages, at most as much as an empty call takes,
which is measured and taken off. A surprising place in the table is read by a human.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import Any

from minigen.classroom.assignment import Assignment
from minigen.classroom.confinement import Limits
from minigen.classroom.racing import Finish, award, measure
from minigen.classroom.submission import Submission

ALONE = threading.Lock()  # whoever is graded in an assignment with races holds it
PATIENCE = 60.0  # seconds for one call of the reference, which is compiled in the first
ENOUGH = 1e6  # seconds for all its calls, of all submissions

# Called as a kernel is, with the shape and dtype of its result first; computes nothing.
NOTHING = """
def nothing_computed(shape, dtype, *inputs):
    return np.zeros(shape, dtype)
"""

_references: dict[tuple[str, ...], Submission] = {}


def core() -> int | None:
    """The one that races are run on; None where the system cannot hold a process on one."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def reference_of(assignment: Assignment) -> Submission:
    """The process that runs what the assignment gives to students, one for all submissions."""
    cells = (*assignment.given(), NOTHING)
    if cells not in _references:
        limits = Limits(seconds=PATIENCE, total_seconds=ENOUGH, core=core())
        _references[cells] = Submission(cells, (), limits, assignment.imports)
        atexit.register(_references[cells].stop)
    return _references[cells]


class Track:
    """`race` as a test in the grader is given it (`minigen.classroom.racing.race`).

    finishes: what came of the races that were run to the end. timed=False: results are checked and
    nothing is timed, and whoever is right has won.
    """

    def __init__(self, assignment: Assignment, code: Submission, timed: bool = True) -> None:
        self.assignment, self.code, self.timed = assignment, code, timed
        self.finishes: list[Finish] = []

    def race(
        self,
        name: str,
        yours: Callable[..., Any],
        reference: Callable[..., Any],
        deal: Callable[[], tuple],
        check: Callable[..., None],
        *,
        none: float,
        full: float,
    ) -> None:
        inputs = deal()
        result = yours(*inputs)
        check(result, *inputs)
        if not self.timed:
            return
        other = reference_of(self.assignment)
        known, nothing = other.function(reference.__name__), other.function("nothing_computed")

        def stopped(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*inputs: Any) -> Any:
                with self.code.stopped():
                    return function(*inputs)

            return call

        ratio = measure(
            yours,
            stopped(known),
            deal,
            check,
            nothing=stopped(lambda *inputs: nothing(result.shape, result.dtype.str, *inputs)),
            clock=lambda who: (self.code if who == "yours" else other).stopwatch(),
        )
        self.finishes.append(Finish(name, float(f"{ratio:.3g}")))
        award(name, ratio, reference, none, full)
