"""`minigen classroom`: hand out assignments, grade what comes back, prove that it is fair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import typer

from minigen.cli.explained import UsageError, explained, new_app

app = new_app(help="Assignments: build what students get, grade, report, and prove it fair.")

Source = Annotated[
    Path, typer.Argument(metavar="ASSIGNMENT", help="Its folder, as tutorials/assignments/...")
]
Seed = Annotated[
    int, typer.Option(min=0, help="Of the inputs of the tests; a new one for each term, say.")
]


def _load(path: Path) -> Any:
    from minigen.classroom.assignment import Assignment
    from minigen.classroom.source import SourceError

    try:
        return Assignment.load(path)
    except SourceError as error:
        raise UsageError(str(error)) from error


@explained(app.command)
def build(
    assignment: Source,
    out: Annotated[Path, typer.Option(help="A folder for the files.")] = Path("handout"),
    language: Annotated[str, typer.Option(help="Of the text: en, zh, or both.")] = "both",
) -> None:
    """Write what students get, as .py and .ipynb: without solutions and hidden tests.

    [cyan]minigen classroom build tutorials/assignments/a1_backward --language zh[/cyan]
    """
    from minigen.classroom.release import LANGUAGES, build

    if language not in LANGUAGES:
        raise UsageError(f"--language is one of {', '.join(LANGUAGES)}, not {language!r}")
    for path in build(_load(assignment), out, language):
        print(path)


@explained(app.command)
def grade(
    assignment: Source,
    submissions: Annotated[
        list[Path],
        typer.Argument(help="Files, .py or .ipynb, or folders of them, one for each student."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for results.json and feedback.html of each student."),
    ] = None,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Submissions at a time.")] = 2,
) -> None:
    """Run every test against every submission, each in a process of its own.

    A submission that fails, hangs, or ends its process loses the points of that test and nothing
    else. With --out, everybody's results are written as they come; minigen classroom report makes a
    table and a page of them. Where an assignment measures speed, one submission is graded at a
    time, whatever --jobs says: leave the machine alone meanwhile.
    """
    task = _load(assignment)
    files = list(_files(submissions))
    if not files:
        raise UsageError("there is no submission: no .py or .ipynb file in what was named")
    pool = ThreadPoolExecutor(jobs)
    roots = [path for path in submissions if path.is_dir()]
    waiting = {
        pool.submit(_grade, task, name, file, roots, seed): name for name, file in files
    }  # a name is a student
    total = len(str(len(files)))
    for number, done in enumerate(as_completed(waiting), 1):
        result = done.result()
        if out is not None:
            _write(out / result.student, result, task.name)
        remark = f"  ({result.errors[0]})" if result.errors else ""
        count = f"[{number:>{total}}/{len(files)}]" if len(files) > 1 else ""
        line = f"{result.student}: {result.earned:g} of {result.points:g}{remark}"
        print(" ".join(filter(None, [count, line])), flush=True)
        if len(files) == 1:
            _tell(result)


def _files(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Every submission with its student: a file's name, or its place below a folder."""
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                inside = file.relative_to(path)
                if file.suffix in (".py", ".ipynb") and not any(
                    part.startswith((".", "__")) for part in inside.parts
                ):
                    alone = len(inside.parts) > 1 and len(_beside(file)) == 1
                    name = inside.parent if alone else inside.with_suffix("")
                    yield name.as_posix().replace("/", "-"), file
        elif path.is_file():
            yield path.stem, path
        else:
            raise UsageError(f"there is no submission {path}")


def _beside(file: Path) -> list[Path]:
    return [f for f in file.parent.iterdir() if f.suffix in (".py", ".ipynb")]


def _grade(task: Any, student: str, file: Path, roots: list[Path], seed: int) -> Any:
    """The grade; whatever goes wrong in the grader itself is a remark on this student alone."""
    from minigen.classroom.grading import Grade, grade, nothing

    try:
        return grade(task, file, student=student, seed=seed, also_hidden=roots or [file.parent])
    except Exception as error:
        remark = f"the grader failed: {type(error).__name__}: {error}"
        return Grade(student, nothing(task, remark), 0.0, (remark,))


def _write(folder: Path, result: Any, title: str) -> None:
    from minigen.classroom import reports

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(reports.as_json(result), encoding="utf-8")
    page = reports.feedback(result, title, with_hidden=False)
    (folder / "feedback.html").write_text(page, encoding="utf-8")


def _tell(result: Any) -> None:
    for o in result.outcomes:
        mark = "right" if o.passed else f"{o.earned:g} of {o.points:g}"
        print(f"  {o.name}: {mark}")
        for line in o.message.splitlines():
            print(f"      {line}")


@explained(app.command)
def report(
    results: Annotated[Path, typer.Argument(help="The folder that grade --out wrote.")],
    title: Annotated[str, typer.Option(help="Of the page.")] = "Grades",
) -> None:
    """A table, grades.csv, and a page, class.html, of all results in a folder; where an assignment
    measures speed, with a ranking."""
    from minigen.classroom import reports

    found = []
    for file in sorted(results.glob("*/results.json")):
        try:
            found.append(reports.from_json(file.read_text(encoding="utf-8"), file.parent.name))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{file} is not what grade wrote ({error})") from error
    if not found:
        raise UsageError(f"there are no results in {results}: grade with --out first")
    for name, content in {
        "grades.csv": reports.as_csv(found),
        "class.html": reports.class_page(found, title),
    }.items():
        (results / name).write_text(content, encoding="utf-8")
        print(results / name)


@explained(app.command)
def check(assignment: Source, seed: Seed = 0) -> None:
    """Prove an assignment fair: the solution gets all points, the blank stub none on any test,
    every wrong solution planted in wrong.py fails with the words it should be told.

    Ends with exit code 1 if anything is not so.
    """
    from minigen.classroom.proof import prove
    from minigen.classroom.source import SourceError

    wrong = 0
    try:
        for claim in prove(_load(assignment), seed):
            print(f"{'NOT so' if claim.problem else 'proved'}: {claim.title}")
            if claim.problem:
                wrong += 1
                print(f"    {claim.problem}")
    except SourceError as error:
        raise UsageError(str(error)) from error
    if wrong:
        raise typer.Exit(1)
