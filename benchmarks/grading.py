"""How long does grading take, and is everybody graded?  `python benchmarks/grading.py`

100 submissions of A1: the solution, the blank stub, every planted wrong solution, and all that
tries to end, block or deceive the grader (hostile.py); then, until there are 100, again the
solution, the stub and the planted ones.  They are graded one after another, each timed from its
file to its results; recorded is the median over those that do not run into a time limit, of the
wall clock.  None may be lost: each has a result for each test.

    --submissions 100
    --fast               a few, to see that it works
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from pathlib import Path
from typing import Any

import harness
import hostile

ASSIGNMENT = Path(__file__).parents[1] / "tutorials" / "assignments" / "a1_backward"


def written(folder: Path, count: int) -> list[tuple[str, Path]]:
    """Submissions in turn, as files, with what each is."""
    from minigen.classroom.assignment import Assignment
    from minigen.classroom.proof import wrong_solutions

    task = Assignment.load(ASSIGNMENT)
    solution = "\n\n".join(task.solution())
    blank = "\n\n".join(task.stub(c) for c in task.cells if "solution" in c.options)
    kinds = {"solution": solution, "blank": blank}
    kinds |= {
        f"wrong {cell.options['breaks']} {cell.line}": f"{solution}\n\n{cell.text}"
        for cell in wrong_solutions(task)
    }
    turns = itertools.chain(kinds.items(), attacks(solution), itertools.cycle(kinds.items()))
    found = []
    for number, (kind, code) in enumerate(itertools.islice(turns, count)):
        file = folder / f"{number:03}.py"
        file.write_text(code, encoding="utf-8")
        found.append((kind, file))
    return found


def attacks(solution: str) -> list[tuple[str, str]]:
    """The solution with one of its functions taken over by hostile code."""
    codes = {name: code for name, (code, _) in hostile.HOSTILE.items()} | hostile.UNANSWERED
    return [
        (name, f"{solution}\n\n{code.replace('def double(x)', 'def exp_backward(x, *rest)')}")
        for name, code in codes.items()
    ]


def run(count: int) -> dict[str, Any]:
    from minigen.classroom.assignment import Assignment
    from minigen.classroom.grading import grade

    task = Assignment.load(ASSIGNMENT)
    seconds: dict[str, list[float]] = {"within limits": [], "stopped by a limit": []}
    lost, solved = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for kind, file in written(Path(folder), count):
            result = grade(task, file)
            told = " ".join([*result.errors, *(o.message for o in result.outcomes)])
            stopped = "took longer" in told
            seconds["stopped by a limit" if stopped else "within limits"].append(result.seconds)
            lost += len(result.outcomes) != len(task.tests)
            if kind == "solution":
                solved.append(result.earned == result.points)
            print(f"{kind:28} {result.earned:5g} points  {result.seconds:6.2f} s", flush=True)
    return {
        "submissions": count,
        "lost": lost,
        "solutions with all points": f"{sum(solved)} of {len(solved)}",
        "tests": len(task.tests),
        "median seconds": statistics.median(seconds["within limits"]),
        "slowest seconds": max(seconds["within limits"]),
        "stopped by a limit": len(seconds["stopped by a limit"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--submissions", type=int, default=100)
    parser.add_argument("--fast", action="store_true", help="a few, to see that it works")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    harness.pin(1)
    content = run(3 if options.fast else options.submissions)
    harness.record("grading", content, options.out)
    print(content)


if __name__ == "__main__":
    main()
