"""`minigen tutorials`: list the chapters, run them, check them, and make pages and notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from minigen.cli.explained import UsageError, explained, new_app

app = new_app(help="The chapters: list, run and check them, make pages and notebooks of them.")

Name = Annotated[
    str, typer.Argument(metavar="CHAPTER", help="Its number, its name, or its file.")
]  # fmt: skip
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="CHAPTER...", help="Numbers, names or files.", show_default="all"),
]
Fast = Annotated[bool, typer.Option("--fast", help="Seconds, not minutes: to see that it works.")]


def _load(names: list[str] | None) -> list[Any]:
    """The chapters of these names, or all."""
    from minigen.chapters.chapter import Chapter, chapter_files, find, tutorials
    from minigen.classroom.source import SourceError

    try:
        only_files = bool(names) and all(name.endswith(".py") for name in names or ())
        files = [] if only_files else chapter_files(tutorials())
        return (
            [Chapter.load(find(n, files)) for n in names] if names else [*map(Chapter.load, files)]
        )
    except SourceError as error:
        raise UsageError(str(error)) from error


@explained(app.command, name="list")
def list_chapters(
    language: Annotated[str, typer.Option(help="Of titles and goals: en or zh.")] = "en",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the table of tutorials/README.md.")
    ] = False,
) -> None:
    """The chapters in their order: what one learns, how many minutes a run takes, what to read
    first."""
    from minigen.chapters.listing import as_markdown, as_text

    if language not in ("en", "zh"):
        raise UsageError(f"--language is en or zh, not {language!r}")
    print((as_markdown if markdown else as_text)(_load(None), language))


@explained(app.command)
def run(name: Name, fast: Fast = False) -> None:
    """Run a chapter as the script that it is, with one thread; its pictures go into a folder
    _build beside it.

    Ends with exit code 1 if the chapter fails.

    [cyan]minigen tutorials run 01[/cyan]
    """
    from minigen.chapters.execution import ONE_THREAD

    (chapter,) = _load([name])
    command = [sys.executable, str(chapter.file)] + ["--fast"] * fast
    begin, used = time.perf_counter(), _processor_time()
    code = subprocess.run(command, check=False, env={**os.environ, **ONE_THREAD}).returncode
    seconds, used = time.perf_counter() - begin, _processor_time() - used
    minutes = chapter.said("minutes")
    planned = f", planned: {minutes:g} min" if isinstance(minutes, int | float) and not fast else ""
    end = "" if code == 0 else f", ended with code {code}"
    print(f"{chapter.name}: {seconds:.1f} s, {used:.1f} s of one processor{planned}{end}")
    if code:
        raise typer.Exit(1)


def _processor_time() -> float:
    """Seconds that the processes started here have used."""
    used = os.times()
    return used.children_user + used.children_system


@explained(app.command)
def build(
    names: Names = None,
    language: Annotated[str, typer.Option(help="Of the text: en, zh, or both.")] = "both",
    format: Annotated[
        str, typer.Option(help="html, ipynb, or html,ipynb.", show_default="html,ipynb")
    ] = "html,ipynb",
    fast: Fast = False,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for the files.", show_default="tutorials/_build/LANGUAGE"),
    ] = None,
) -> None:
    """Make a page and a notebook of each chapter.

    The page is one HTML file with the results of running the chapter, to be read without a network;
    index.html lists all pages in the folder. The notebook has no results: it is for running, with
    exercises to be solved and their solutions folded away.

    [cyan]minigen tutorials build 01 02 --language zh --out pages[/cyan]
    """
    from minigen.classroom.release import LANGUAGES
    from minigen.cli.building import build_chapters

    formats = format.split(",")
    if language not in LANGUAGES:
        raise UsageError(f"--language is one of {', '.join(LANGUAGES)}, not {language!r}")
    if not set(formats) <= {"html", "ipynb"}:
        raise UsageError(f"--format is html, ipynb or html,ipynb, not {format!r}")
    if not build_chapters(_load(names), formats, language, out, fast):
        raise typer.Exit(1)


@explained(app.command)
def check(names: Names = None) -> None:
    """Say which rules a chapter breaks, by line: gradients without a check, numbers that nobody
    claims, stale translations, formulas that cannot be shown.

    Ends with exit code 1 if there are any.
    """
    from minigen.chapters.markdown import formula_problems
    from minigen.chapters.rules import broken_rules

    wrong = 0
    for chapter in _load(names):
        broken = broken_rules(chapter)
        try:
            broken += formula_problems(chapter)
        except ImportError:
            print("formulas are not looked at without latex2mathml: pip install 'minigen[docs]'")
        wrong += len(broken)
        print(f"{chapter.name}: {len(broken) or 'no'} broken rule{'s' * (len(broken) != 1)}")
        for sentence in broken:
            print(f"  {sentence}")
    if wrong:
        raise typer.Exit(1)
