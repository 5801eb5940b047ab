"""The chapters as a list: on the screen, and as the table of tutorials/README.md."""

from __future__ import annotations

from collections.abc import Sequence

from minigen.chapters.chapter import Chapter

COLUMNS = {
    "en": ("chapter", "you learn", "minutes", "read first"),
    "zh": ("章", "学到什么", "分钟", "先读"),
}


def as_text(chapters: Sequence[Chapter], language: str = "en") -> str:
    """A line for each chapter."""
    return "\n".join(
        f"{c.number}  {c.title(language)}: {_goal(c, language)}"
        f" ({c.said('minutes')} min{_first(c)})"
        for c in chapters
    )


def as_markdown(chapters: Sequence[Chapter], language: str = "en") -> str:
    """A table with a link to each chapter's file."""
    rows = [COLUMNS[language], ("---",) * len(COLUMNS[language])]
    for chapter in chapters:
        title = f"[{chapter.number} · {chapter.title(language)}]({chapter.file.name})"
        first = ", ".join(chapter.said("after") or ())
        rows.append((title, _goal(chapter, language), str(chapter.said("minutes")), first))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _goal(chapter: Chapter, language: str) -> str:
    return str(chapter.said("goal", language) or "")


def _first(chapter: Chapter) -> str:
    after = chapter.said("after")
    return f", after {', '.join(after)}" if after else ""
