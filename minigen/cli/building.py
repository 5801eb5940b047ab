"""`minigen tutorials build`: pages and notebooks of chapters into a folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from minigen.chapters.chapter import Chapter, chapter_files
from minigen.chapters.execution import ChapterError, Execution, execute
from minigen.chapters.pages import chapter_page, index_page
from minigen.chapters.reader import notebook
from minigen.cli.explained import UsageError


def build_chapters(
    chapters: Sequence[Chapter],
    formats: Sequence[str],
    language: str,
    out: Path | None,
    fast: bool,
) -> bool:
    """Write NAME.html, NAME.ipynb and index.html; whether every chapter ran."""
    if not chapters:
        raise UsageError("there is no chapter to build")
    folder = chapters[0].file.parent
    out = folder / "_build" / language if out is None else out
    out.mkdir(parents=True, exist_ok=True)
    if "ipynb" in formats:
        for chapter in chapters:
            _write(out / f"{chapter.name}.ipynb", notebook(chapter, language))
    if "html" not in formats:
        return True
    _need_latex2mathml()
    executions = {c.name: made for c in chapters if (made := _execute(c, fast)) is not None}
    known = {f.stem: Chapter.load(f) for f in chapter_files(folder)}
    known |= {c.name: c for c in chapters}
    there = [
        chapter
        for name, chapter in sorted(known.items())
        if name in executions or (out / f"{name}.html").exists()
    ]
    beside = dict(zip([c.name for c in there], zip([None, *there], [*there[1:], None])))
    for chapter in chapters:
        if (made := executions.get(chapter.name)) is not None:
            page = chapter_page(chapter, made, language, neighbours=beside[chapter.name], fast=fast)
            _write(out / f"{chapter.name}.html", page)
    _write(out / "index.html", index_page(there, language))
    return len(executions) == len(chapters)


def _need_latex2mathml() -> None:
    if find_spec("latex2mathml") is None:
        raise UsageError(
            "pages need latex2mathml for their formulas: pip install 'minigen[docs]', or ask for "
            "notebooks only, --format ipynb"
        )


def _execute(chapter: Chapter, fast: bool) -> Execution | None:
    """Its execution; None, and the reason on standard error, if it fails."""
    with Console(stderr=True).status(f"{chapter.name} begins") as status:
        try:
            made = execute(
                chapter,
                fast=fast,
                watch=lambda done, of: status.update(f"{chapter.name}: cell {done} of {of}"),
            )
        except ChapterError as error:
            print(f"minigen: {error}", file=sys.stderr)
            return None
    if made.warnings:
        print(f"minigen: {chapter.name} said: {made.warnings.strip()}", file=sys.stderr)
    print(f"{chapter.name}: ran for {made.seconds:.1f} s")
    return made


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
    print(path)
