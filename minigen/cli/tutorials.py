"""`minigen tutorials`: list the chapters, run them, check them, and make pages and notebooks."""

from __future__ import annotations

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
    from minigen.classroom.chapter import Chapter, chapter_files, find, tutorials
    from minigen.classroom.source import SourceError

    try:
        only_files = bool(names) and all(name.endswith(".py") for name in names or ())
        files = [] if only_files else chapter_files(tutorials())
        return (
            [Chapter.load(find(n, files)) for n in names] if names else [*map(Chapter.load, files)]
        )
    except SourceError as error:
        raise UsageError(str(error)) from error


@explained(app.command)
def check(names: Names = None) -> None:
    """Say which rules a chapter breaks, by line: gradients without a check, numbers that nobody
    claims, stale translations and the like.

    Ends with exit code 1 if there are any.
    """
    from minigen.classroom.rules import broken_rules

    wrong = 0
    for chapter in _load(names):
        broken = broken_rules(chapter)
        wrong += len(broken)
        print(f"{chapter.name}: {len(broken) or 'no'} broken rule{'s' * (len(broken) != 1)}")
        for sentence in broken:
            print(f"  {sentence}")
    if wrong:
        raise typer.Exit(1)
