"""Exercises: every answer worked out another way, and none that is held out among the others."""

from __future__ import annotations

import datetime
import re

import pytest

from minigen.data.tasks import (
    DATE_FORMS,
    SYMBOLS,
    TASKS,
    Exercise,
    addition,
    chain,
    date,
    exercises,
)

LENGTHS = {"reverse": (2, 9), "sort": (2, 9), "dates": (1, 1), "addition": (1, 5), "chain": (1, 9)}


@pytest.mark.parametrize("task", TASKS)
def test_nothing_that_is_held_out_is_trained_on(task: str) -> None:
    """Whatever the seeds: 12,000 to train with, 600 to test with."""
    training = {
        e.question
        for seed in range(4)
        for e in exercises(task, 3000, LENGTHS[task], held_out=False, seed=seed)
    }
    for seed in (0, 99):
        test = exercises(task, 300, LENGTHS[task], held_out=True, seed=seed)
        assert len(test) == 300
        assert not training & {e.question for e in test}


def test_a_day_that_is_held_out_was_not_seen_in_any_form() -> None:
    training = {e.answer for e in exercises("dates", 20_000, held_out=False, seed=0)}
    test = {e.answer for e in exercises("dates", 2000, held_out=True, seed=1)}
    assert not training & test
    day = datetime.date.fromisoformat(next(iter(test)))
    assert all(date(day, form).held_out for form in range(DATE_FORMS))


def test_one_in_ten_is_held_out() -> None:
    words = [Exercise(f"{i}", "") for i in range(20_000)]
    assert sum(w.held_out for w in words) == pytest.approx(2000, rel=0.07)


@pytest.mark.parametrize("task", TASKS)
def test_exercises_follow_from_the_seed(task: str) -> None:
    def draw(seed: int) -> list[Exercise]:
        return exercises(task, 50, LENGTHS[task], held_out=False, seed=seed)

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_words() -> None:
    for e in exercises("reverse", 200, (3, 7), held_out=False, seed=0):
        assert list(e.answer) == [e.question[-1 - i] for i in range(len(e.question))]
    drawn = exercises("sort", 200, (3, 7), held_out=False, seed=0)
    assert {len(e.question) for e in drawn} == {3, 4, 5, 6, 7}
    for e in drawn:
        assert all(a <= b for a, b in zip(e.answer, e.answer[1:]))
        assert {c: e.answer.count(c) for c in e.answer} == {
            c: e.question.count(c) for c in e.question
        }


FORMATS = ("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%A, %d %B %Y", "%d.%m.%Y", "%d of %B %Y")


def test_dates_are_read_by_the_standard_library() -> None:
    seen = set()
    for e in exercises("dates", 2000, held_out=False, seed=0):
        plain = re.sub(r"(\d)(st|nd|rd|th) of", r"\1 of", e.question)
        for number, form in enumerate(FORMATS):
            try:
                day = datetime.datetime.strptime(plain, form)
            except ValueError:
                continue
            assert day.strftime("%Y-%m-%d") == e.answer
            if "%A" in form:
                assert e.question.startswith(day.strftime("%A"))
            seen.add(number)
    assert seen == set(range(DATE_FORMS))


def test_sums_and_their_steps() -> None:
    """Every step is a sum of digits and the carry of the step before; they make up the answer."""
    for e in exercises("addition", 1000, (1, 6), held_out=False, seed=0):
        a, b = e.question.removesuffix("=").split("+")
        assert int(a) + int(b) == int(e.answer)
        *lines, answer = e.steps.split(";")
        assert answer == e.answer
        digits, carry = "", 0
        for place, line in enumerate(lines, 1):
            left, total = line.split("=")
            terms = [int(term) for term in left.split("+")]
            assert terms[:2] == [int(a[-place]), int(b[-place])]
            assert terms[2:] == [1] * carry
            assert sum(terms) == int(total)
            digits, carry = total[-1] + digits, int(total) // 10
        assert f"{carry or ''}{digits}" == answer


def test_numbers_of_different_lengths_are_added() -> None:
    assert addition(7, 195).steps == "7+5=12;0+9+1=10;0+1+1=2;202"


def test_chains_and_their_steps() -> None:
    """Each result is that of the first numbers, by Python, with brackets from the left."""
    for e in exercises("chain", 500, (1, 12), held_out=False, seed=0):
        terms = re.findall(r"[+*-]?\d", e.question)
        value, lines = terms[0], []
        for count in range(2, len(terms) + 1):
            result = str(eval("(" * count + ")".join(terms[:count]) + ")") % 10)
            lines.append(f"{value}{terms[count - 1]}={result}")
            value = result
        assert e.steps == ";".join(lines)
        assert e.answer == value
    assert chain([2, 6], "-").answer == "6"


@pytest.mark.parametrize("task", TASKS)
def test_all_characters_of_a_task_are_listed(task: str) -> None:
    drawn = exercises(task, 3000, LENGTHS[task], held_out=False, seed=0)
    used = set("".join(e.question + e.answer + e.steps for e in drawn))
    assert used == set(SYMBOLS[task])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("multiplication", 1, (1, 1)), "no task 'multiplication'"),
        (("sort", 1, (3, 2)), "in order"),
        (("sort", 1, (0, 2)), "in order"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exercises(*arguments, held_out=False, seed=0)


def test_too_few_that_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "one", lambda rng, length: Exercise("one", "1"))
    with pytest.raises(ValueError, match="too few that are held out"):
        exercises("one", 1, held_out=True, seed=0)
