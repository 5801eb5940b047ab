"""How quick a function is, as a ratio: the time of a reference over its own, taken by turns.

A time in seconds says as much about the machine as about the function. So both run on the same kind
of input, one after the other, several rounds, and the best of each counts. Every call gets new
numbers, drawn when it is made, and what comes back is checked: an answer that was kept, guessed or
begun before the clock is wrong. The first call of each, which may compile, is not counted.

`race` is what a test calls. Where a student runs that test, both functions run in the student's own
process; in the grader (`minigen.classroom.track`) each has one of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigen.classroom.partly import Partly
from minigen.classroom.stopwatch import Elapsed, wall

Function = Callable[..., Any]
ROUNDS = 5


@dataclass(frozen=True)
class Finish:
    """name: of the race; ratio: how many times as quick as the reference."""

    name: str
    ratio: float


def race(
    name: str,
    yours: Function,
    reference: Function,
    deal: Callable[[], tuple],
    check: Callable[..., None],
    *,
    none: float,
    full: float,
) -> None:
    """Run `yours` against `reference`, and print the ratio.

    deal() draws the inputs of one call; check(result, *inputs) raises AssertionError for a wrong
    result. A ratio of `none` or less is worth no points and one of `full` all of them; raises
    `Partly` for those below, on a scale on which equal factors are worth the same.

    >>> import itertools
    >>> def double(x): return 2 * x
    >>> def equal(y, x): assert y == 2 * x
    >>> race("double", double, double, lambda: (3,), equal, none=1e-3, full=1e-2)
    double: ... times as quick as double
    """
    ratio = measure(yours, reference, deal, check)
    print(told(name, ratio, reference))
    award(name, ratio, reference, none, full)


def measure(
    yours: Function,
    reference: Function,
    deal: Callable[[], tuple],
    check: Callable[..., None],
    *,
    nothing: Function | None = None,
    clock: Callable[[str], Elapsed] = lambda who: wall(),
    rounds: int = ROUNDS,
) -> float:
    """The best time of `reference` over that of `yours`.

    nothing: a function that is called as they are and does not compute; its best time, that of
    bringing numbers there and back, is taken off both. What is left of `yours` is not believed to
    be less than a quarter of that: so small a difference of two times says nothing. clock: starts
    the clock of "yours", of "reference" or of "nothing".
    """
    best = {"nothing": math.inf, "reference": math.inf, "yours": math.inf}
    runners = {"reference": reference, "yours": yours} | ({"nothing": nothing} if nothing else {})
    for number in range(rounds + 1):
        for who in sorted(runners, reverse=bool(number % 2)):  # nobody always runs first
            inputs = deal()
            elapsed = clock(who)
            result = runners[who](*inputs)
            took = elapsed()
            if who == "yours":
                check(result, *inputs)
            if number:
                best[who] = min(best[who], took)
    way = best["nothing"] if nothing else 0.0
    least = max(way / 4, 1e-9)
    return max(best["reference"] - way, least) / max(best["yours"] - way, least)


def told(name: str, ratio: float, reference: Function) -> str:
    """The result in words.

    >>> told("product", 0.012345, max)
    'product: 0.0123 times as quick as max'
    """
    return f"{name}: {ratio:.3g} times as quick as {reference.__name__}"


def award(name: str, ratio: float, reference: Function, none: float, full: float) -> None:
    """Raise `Partly` for less than all points: the logarithm of the ratio decides.

    >>> award("product", 2.0, max, none=1, full=4)
    Traceback (most recent call last):
        ...
    minigen.classroom.partly.Partly: product: 2 times as quick as max; points from 1 to 4 times
    >>> award("product", 4.0, max, none=1, full=4)
    """
    share = math.log(ratio / none) / math.log(full / none)
    if share < 1:
        scale = f"points from {none:g} to {full:g} times"
        raise Partly(max(share, 0.0), f"{told(name, ratio, reference)}; {scale}")
