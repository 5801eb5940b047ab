"""Exercises with one right answer: questions and answers as text, made from a seed.

| task       | question         | answer                    | written out                  |
|------------|------------------|---------------------------|------------------------------|
| `reverse`  | `kestrel`        | `lertsek`                 |                              |
| `sort`     | `kestrel`        | `eeklrst`                 |                              |
| `dates`    | `3 March 1994`   | `1994-03-03`              |                              |
| `addition` | `47+85=`         | `132`                     | `7+5=12;4+8+1=13;132`        |
| `chain`    | `3+9*4-6=`       | `2`                       | `3+9=2;2*4=8;8-6=2`          |

**Held out.**  Whether a question may be trained on follows from its text alone, by a checksum: one
in ten may not.  However many are drawn, with whatever seeds, what is tested with was never trained
on.  For dates the day decides, so that no other way to write it was seen either.
"""

from __future__ import annotations

import datetime
import operator
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)

Draw = np.random.Generator


@dataclass(frozen=True)
class Exercise:
    """A question and its answer; `steps` leads to the answer and ends with it."""

    question: str
    answer: str
    steps: str = ""
    identity: str = ""  # what is the same in other ways to ask; the question if there are none

    @property
    def held_out(self) -> bool:
        """Whether it is for tests only.

        >>> [word for word in ("five", "six", "seven", "eight") if reverse(word).held_out]
        ['seven']
        """
        return zlib.crc32((self.identity or self.question).encode()) % 10 == 0


def reverse(word: str) -> Exercise:
    """A word and the same from its end.

    >>> reverse("kestrel").answer
    'lertsek'
    """
    return Exercise(word, word[::-1])


def sort(word: str) -> Exercise:
    """A word and its letters in the order of the alphabet.

    >>> sort("kestrel").answer
    'eeklrst'
    """
    return Exercise(word, "".join(sorted(word)))


def date(day: datetime.date, form: int) -> Exercise:
    """A day, in one of the `DATE_FORMS` ways to write it, and as ISO 8601 does.

    >>> day = datetime.date(1994, 3, 3)
    >>> for form in range(DATE_FORMS):
    ...     print(date(day, form).question)
    3 March 1994
    March 3, 1994
    3 Mar 1994
    Thursday, 3 March 1994
    3.3.1994
    3rd of March 1994
    >>> date(day, 0).answer
    '1994-03-03'
    """
    month, number, year = MONTHS[day.month - 1], day.day, day.year
    forms = (
        f"{number} {month} {year}",
        f"{month} {number}, {year}",
        f"{number} {month[:3]} {year}",
        f"{WEEKDAYS[day.weekday()]}, {number} {month} {year}",
        f"{number}.{day.month}.{year}",
        f"{ordinal(number)} of {month} {year}",
    )
    iso = day.isoformat()
    return Exercise(forms[form], iso, identity=iso)


DATE_FORMS = 6


def ordinal(number: int) -> str:
    """A number in English.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 31)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '31st']
    """
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def addition(a: int, b: int) -> Exercise:
    """A sum, and digit by digit from the right with its carries: M. Nye et al., "Show Your Work:
    Scratchpads for Intermediate Computation with Language Models", 2021 (arXiv:2112.00114),
    section 3, in fewer characters.

    >>> addition(47, 85).steps
    '7+5=12;4+8+1=13;132'
    """
    question, steps, carry = f"{a}+{b}=", [], 0
    width = max(len(str(a)), len(str(b)))
    for x, y in zip(reversed(f"{a:0{width}}"), reversed(f"{b:0{width}}")):
        total = int(x) + int(y) + carry
        steps.append(f"{x}+{y}{'+1' if carry else ''}={total};")
        carry = total // 10
    return Exercise(question, str(a + b), "".join(steps) + str(a + b))


OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}


def chain(numbers: list[int], signs: str) -> Exercise:
    """Digits joined by + - *, worked out from left to right, of each result only the last digit
    (on a clock with ten hours: modulo 10).  Written out, each step is an equation.

    Small relatives of it are the arithmetic tasks of G. Feng et al., "Towards Revealing the Mystery
    behind Chain of Thought", 2023 (arXiv:2305.15408), section 3, who show why no Transformer of
    fixed depth can answer long ones at once.

    >>> exercise = chain([3, 9, 4, 6], "+*-")
    >>> exercise.question, exercise.steps, exercise.answer
    ('3+9*4-6=', '3+9=2;2*4=8;8-6=2', '2')
    """
    question, value, steps = str(numbers[0]), numbers[0], []
    for sign, number in zip(signs, numbers[1:], strict=True):
        question += f"{sign}{number}"
        before, value = value, OPERATIONS[sign](value, number) % 10
        steps.append(f"{before}{sign}{number}={value}")
    return Exercise(question + "=", str(value), ";".join(steps))


# ----------------------------------------------------------------------------- at random


def _word(rng: Draw, length: int) -> str:
    return "".join(string.ascii_lowercase[i] for i in rng.integers(0, 26, length).tolist())


def _reverse(rng: Draw, length: int) -> Exercise:
    return reverse(_word(rng, length))


def _sort(rng: Draw, length: int) -> Exercise:
    return sort(_word(rng, length))


def _date(rng: Draw, length: int) -> Exercise:
    days = (LAST_DAY - FIRST_DAY).days + 1
    day = FIRST_DAY + datetime.timedelta(int(rng.integers(days)))
    return date(day, int(rng.integers(DATE_FORMS)))


def _addition(rng: Draw, length: int) -> Exercise:
    """Two numbers of `length` digits."""
    lowest = 10 ** (length - 1) if length > 1 else 0
    a, b = rng.integers(lowest, 10**length, 2)
    return addition(int(a), int(b))


def _chain(rng: Draw, length: int) -> Exercise:
    """`length` operations."""
    numbers = rng.integers(0, 10, length + 1).tolist()
    return chain(numbers, "".join("+-*"[i] for i in rng.integers(0, 3, length).tolist()))


TASKS: dict[str, Callable[[Draw, int], Exercise]] = {
    "reverse": _reverse,
    "sort": _sort,
    "dates": _date,
    "addition": _addition,
    "chain": _chain,
}


# All characters of a task's questions, answers and steps.
SYMBOLS: dict[str, str] = {
    "reverse": string.ascii_lowercase,
    "sort": string.ascii_lowercase,
    "dates": "".join([*MONTHS, *WEEKDAYS, string.digits, " .,-", "st nd rd th of"]),
    "addition": string.digits + "+=;",
    "chain": string.digits + "+-*=;",
}


def exercises(
    task: str, count: int, lengths: tuple[int, int] = (1, 1), *, held_out: bool, seed: int
) -> list[Exercise]:
    """`count` exercises, the same for the same seed; all held out, or all for training.

    lengths: the shortest and the longest, drawn evenly: letters of a word, digits of a number,
    operations of a chain.
    Raises ValueError for a task that there is not, or lengths out of order.

    >>> [e.question for e in exercises("addition", 3, (1, 3), held_out=False, seed=0)]
    ['673+560=', '0+1=', '684+921=']
    """
    if task not in TASKS:
        raise ValueError(f"there is no task {task!r}; choose one of {', '.join(TASKS)}")
    shortest, longest = lengths
    if not 1 <= shortest <= longest:
        raise ValueError(f"lengths must be 1 or more and in order, got {shortest} and {longest}")
    rng, draw = np.random.default_rng([seed, int(held_out)]), TASKS[task]
    found: list[Exercise] = []
    for _ in range(100 * count):
        if len(found) == count:
            return found
        exercise = draw(rng, int(rng.integers(shortest, longest + 1)))
        if exercise.held_out == held_out:
            found.append(exercise)
    raise ValueError(
        f"{task} of lengths {shortest} to {longest}: too few that are "
        f"{'held out' if held_out else 'for training'}"
    )
