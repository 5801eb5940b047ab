"""`minigen classroom`: hand out assignments, grade what comes back, prove that it is fair."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import typer

from minigen.cli.explained import UsageError, explained, new_app

app = new_app(help="Assignments: build what students get, grade, report, and prove it fair.")

LONGEST_NAME = 80

Source = Annotated[
    Path, typer.Argument(metavar="ASSIGNMENT", help="Its folder, as tutorials/assignments/...")
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
    format: Annotated[str, typer.Option(help="For minigen, nbgrader or otter.")] = "minigen",
) -> None:
    """Write what students get, as .py and .ipynb: without solutions and hidden tests.

    [cyan]minigen classroom build tutorials/assignments/a1_backward --language zh[/cyan]

    With --format nbgrader or otter: what those tools make a release of, with solutions and hidden
    tests, so for teachers only.
    """
    from minigen.classroom import nbgrader, otter, release

    formats = {"minigen": release.build, "nbgrader": nbgrader.build, "otter": otter.build}
    if format not in formats:
        raise UsageError(f"--format is one of {', '.join(formats)}, not {format!r}")
    if language not in release.LANGUAGES:
        raise UsageError(f"--language is one of {', '.join(release.LANGUAGES)}, not {language!r}")
    for path in formats[format](_load(assignment), out, language):
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
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the inputs of the tests; drawn at random if not given."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Submissions at a time.")] = 2,
) -> None:
    """Run every test against every submission, each in a process of its own.

    A submission that fails, hangs, or ends its process loses the points of that test and nothing
    else. With --out, everybody's results are written as they come; minigen classroom report makes a
    table and a page of them. The inputs of the tests come from a seed, the same for all, which is
    told and kept with the results; the same seed gives the same inputs again. Where an assignment
    measures speed, one submission is graded at a time, whatever --jobs says: leave the machine
    alone meanwhile.
    """
    task = _load(assignment)
    files = _named(_files(submissions, task))
    if not files:
        raise UsageError("there is no submission: no .py or .ipynb file in what was named")
    if seed is None:
        seed = secrets.randbelow(2**31)
    print(f"--seed {seed}", flush=True)
    pool = ThreadPoolExecutor(jobs)
    waiting = [pool.submit(_grade, task, name, file, submissions, seed) for name, file in files]
    total = len(str(len(files)))
    for number, done in enumerate(as_completed(waiting), 1):
        result = done.result()
        if out is not None:
            _write(out / result.student, result, task.name)
        remark = f"  ({' '.join(result.errors[0].split())})" if result.errors else ""
        count = f"[{number:>{total}}/{len(files)}]" if len(files) > 1 else ""
        line = f"{result.student}: {result.earned:g} of {result.points:g}{remark}"
        print(" ".join(filter(None, [count, line])), flush=True)
        if len(files) == 1:
            _tell(result)


def _files(paths: Sequence[Path], task: Any) -> Iterator[tuple[str, Path]]:
    """Every submission with its student: a file's name, or its place below a folder. Left out is
    the file of a handout that was not written in, where its student wrote in the other."""
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                inside = file.relative_to(path)
                if (
                    file.suffix in (".py", ".ipynb")
                    and not _folder(file)
                    and not any(part.startswith((".", "__")) for part in inside.parts)
                ):
                    if _unwritten(file, task):
                        print(f"left out: {inside} is as it was handed out, its twin is not")
                        continue
                    beside = [f for f in _beside(file) if not _unwritten(f, task)]
                    alone = len(inside.parts) > 1 and len(beside) == 1
                    name = inside.parent if alone else inside.with_suffix("")
                    yield name.as_posix().replace("/", "-"), file
        elif path.exists():
            yield path.stem, path
        else:
            raise UsageError(f"there is no submission {path}")


def _unwritten(file: Path, task: Any) -> bool:
    """Whether it is a .py or .ipynb as it was handed out, beside the other that is not."""
    from minigen.classroom.release import as_handed_out

    twin = file.with_suffix({".py": ".ipynb", ".ipynb": ".py"}[file.suffix])
    return twin.is_file() and as_handed_out(task, file) and not as_handed_out(task, twin)


def _folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _beside(file: Path) -> list[Path]:
    return [f for f in file.parent.iterdir() if f.suffix in (".py", ".ipynb") and not _folder(f)]


def _named(files: Iterable[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """The same with a name for each, also of a folder, that no other has and no file of report."""
    taken = {"grades.csv", "class.html"}
    from minigen.classroom.grading import printable

    found = []
    for name, file in files:
        name = _short(printable(name)) or "nameless"
        more = (f"{name} ({number})" for number in itertools.count(2))
        names = itertools.chain([name, f"{name} ({_short(printable(file.name))})"], more)
        unique = next(n for n in names if n.casefold() not in taken)
        taken.add(unique.casefold())
        found.append((unique, file))
    return found


def _short(name: str) -> str:
    return name.replace("\n", "\\n").strip(" .")[:LONGEST_NAME]


def _grade(task: Any, student: str, file: Path, hidden: Sequence[Path], seed: int) -> Any:
    """The grade; whatever goes wrong in the grader itself is a remark on this student alone."""
    from minigen.classroom.grading import Grade, grade, nothing, printable

    try:
        return grade(task, file, student=student, seed=seed, also_hidden=hidden)
    except Exception as error:
        remark = printable(f"the grader failed: {type(error).__name__}: {error}")
        return Grade(student, nothing(task, remark), 0.0, (remark,), seed=seed)


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
def check(
    assignment: Source,
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs of the tests.")] = 0,
) -> None:
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
