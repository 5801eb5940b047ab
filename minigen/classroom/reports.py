"""Grades as Gradescope's results.json, as a table for a spreadsheet, and as pages to read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from html import escape
from typing import Any

from minigen.classroom.grading import Grade, Outcome
from minigen.classroom.racing import Finish
from minigen.version import __version__
from minigen.viz.page import PAGE


def gradescope(result: Grade) -> dict[str, Any]:
    """What Gradescope's autograder reads: https://gradescope-autograders.readthedocs.io/en/latest.

    Hidden tests show after grades are published. The leaderboard has the races' ratios, of which
    the largest is best.
    """
    tests = [
        {
            "name": o.name,
            "number": str(number),
            "score": o.earned,
            "max_score": o.points,
            "status": "passed" if o.passed else "failed",
            "output": o.message or "right",
            "output_format": "text",
            "visibility": "after_published" if o.hidden else "visible",
        }
        for number, o in enumerate(result.outcomes, 1)
    ]
    board = [{"name": f.name, "value": f.ratio, "order": "desc"} for f in result.finishes]
    return {
        "score": result.earned,
        "execution_time": round(result.seconds, 3),
        "output": "\n".join(result.errors),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "leaderboard": board,
        "extra_data": {
            "expectations": [o.expectation for o in result.outcomes],
            "errors": list(result.errors),
            "seed": result.seed,
        },
    }


def as_json(result: Grade) -> str:
    """`gradescope` as text."""
    return json.dumps(gradescope(result), indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, student: str) -> Grade:
    """The grade that `as_json` wrote. Raises ValueError, KeyError or TypeError for other text."""
    made = json.loads(text)
    outcomes = tuple(
        Outcome(
            t["name"],
            t["max_score"],
            t["score"],
            t["visibility"] != "visible",
            "" if t["status"] == "passed" else t["output"],
            expectation,
        )
        for t, expectation in zip(made["tests"], made["extra_data"]["expectations"], strict=True)
    )
    more, seconds = made["extra_data"], made["execution_time"]
    finishes = tuple(Finish(entry["name"], entry["value"]) for entry in made["leaderboard"])
    errors, seed = tuple(more["errors"]), int(more.get("seed", 0))
    return Grade(student, outcomes, seconds, errors, finishes=finishes, seed=seed)


def as_csv(results: Sequence[Grade]) -> str:
    """A line for each student: name, total, the points of each test, the ratio of each race."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    tests = results[0].outcomes if results else ()
    races = _races(results)
    speeds = [f"{name} (times the reference)" for name in races]
    writer.writerow(["student", "earned", "points", *(o.name for o in tests), *speeds, "remarks"])
    for each in results:
        earned = [f"{o.earned:g}" for o in each.outcomes]
        remarks = "; ".join(each.errors)
        ratios = {f.name: f"{f.ratio:g}" for f in each.finishes}
        ran = [ratios.get(name, "") for name in races]
        row = [each.student, f"{each.earned:g}", f"{each.points:g}", *earned, *ran, remarks]
        writer.writerow([_harmless(cell) for cell in row])
    return buffer.getvalue()


def _harmless(cell: str) -> str:
    """Spreadsheets run cells that begin so as formulas; a file's name may be chosen to."""
    return "'" + cell if cell[:1] in tuple("=+-@\t\r") else cell


def feedback(result: Grade, title: str, with_hidden: bool = True) -> str:
    """A page for one student. Hidden tests are told by their result, not by what they asked,
    unless `with_hidden`."""
    lead = f"{result.student}: {result.earned:g} of {result.points:g} points."
    told = [f"{f.name}: {f.ratio:g} times as quick as the reference." for f in result.finishes]
    remarks = "".join(_remark(each) for each in (*told, *result.errors))
    return _page(title, lead, _table(result, with_hidden), remarks)


def class_page(results: Sequence[Grade], title: str) -> str:
    """A page for the teacher: the share that passed each test, then everybody."""
    if not results:
        raise ValueError("class_page: there are no grades to report")
    mean = sum(r.earned for r in results) / len(results)
    lead = f"{len(results)} submissions, {mean:.1f} of {results[0].points:g} points on average."
    rows = "".join(
        f'<tr><th scope="row">{escape(o.name)}<small>{escape(o.expectation)}</small></th>'
        f'<td class="value">{sum(r.outcomes[i].passed for r in results)}</td></tr>'
        for i, o in enumerate(results[0].outcomes)
    )
    head = f"<tr><th>test</th><th>passed by, of {len(results)}</th></tr>"
    overview = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    ordered = sorted(results, key=lambda r: (-r.earned, r.student))
    details = "".join(
        f"<details><summary>{escape(r.student)}: {r.earned:g}</summary>"
        f"{''.join(map(_remark, r.errors))}{_table(r, True)}</details>"
        for r in ordered
    )
    races = "".join(_ranking(name, results) for name in _races(results))
    return _page(title, lead, overview, races, "<h2>Everybody</h2>", details)


def _races(results: Sequence[Grade]) -> list[str]:
    """The names of all races that anybody has finished, in order."""
    return list(dict.fromkeys(f.name for each in results for f in each.finishes))


def _ranking(race: str, results: Sequence[Grade]) -> str:
    """Everybody who finished a race, the quickest first; equal ratios share a place."""
    ran = [(f.ratio, r.student) for r in results for f in r.finishes if f.name == race]
    rows = "".join(
        f'<tr><td class="value">{1 + sum(other > ratio for other, _ in ran)}</td>'
        f'<th scope="row">{escape(student)}</th><td class="value">{ratio:g}</td></tr>'
        for ratio, student in sorted(ran, key=lambda each: (-each[0], each[1]))
    )
    head = "<tr><th>place</th><th>student</th><th>times as quick as the reference</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    return f"<h2>{escape(race)}</h2>{table}"


def _table(result: Grade, with_hidden: bool) -> str:
    rows = "".join(_row(o, with_hidden) for o in result.outcomes)
    head = "<tr><th>test</th><th>points</th><th>what was found</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _row(outcome: Outcome, with_hidden: bool) -> str:
    told = outcome.message or "right"
    if outcome.hidden and not with_hidden and not outcome.passed and not _missing(told):
        told = (
            "not right; this test was not handed out: write one yourself, of what is asked here, "
            "and run it"
        )
    mark = "good" if outcome.passed else "bad"
    return (
        f'<tr><th scope="row">{escape(outcome.name)}<small>{escape(outcome.expectation)}</small>'
        f'</th><td class="value {mark}">{outcome.earned:g} / {outcome.points:g}</td>'
        f"<td>{escape(told).replace(chr(10), '<br>')}</td></tr>"
    )


def _missing(message: str) -> bool:
    """Whether it says that there was nothing to test, and so nothing about the test."""
    return message == "not written yet" or message.startswith("there is no ")


def _remark(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _page(title: str, lead: str, *parts: str) -> str:
    return PAGE.substitute(
        title=escape(title),
        lead=escape(lead),
        contents="",
        sections="\n".join(parts),
        facts=f"<p>By minigen {__version__}, <code>minigen classroom</code>.</p>",
    )
