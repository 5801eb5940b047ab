"""The report: one HTML file with everything inside, to be read on any screen without a network.

It is made of `Section`s of plain values, so it can show anything; what a run of minigen puts into
it is decided in `minigen.cli.report`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from minigen.viz.page import PAGE


@dataclass(frozen=True)
class Picture:
    """PNG bytes and a caption. dark: the same for a dark page; pixels: keep their edges sharp."""

    png: bytes
    caption: str
    dark: bytes | None = None
    pixels: bool = False


@dataclass(frozen=True)
class Row:
    """A line of the table of metrics: what was measured, beside what it is to be compared with."""

    metric: str
    value: str
    reference: str
    note: str
    good: bool | None = None  # better than the reference? None: it is no contest


@dataclass(frozen=True)
class Grid:
    """A table of columns with names; each row begins with what it is about."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    title: str
    lead: str
    rows: Sequence[Row] = ()
    grid: Grid | None = None
    pictures: Sequence[Picture] = ()
    text: str = ""  # shown as typed, with its line breaks
    text_caption: str = ""
    facts: Mapping[str, str] | None = None


def write_report(
    path: str | Path,
    *,
    title: str,
    lead: str,
    sections: Sequence[Section],
    facts: Mapping[str, str],
) -> None:
    """Write the page; the file appears whole or not at all.

    facts: short values by label, shown at the end: versions, machine, times.
    """
    path = Path(path)
    page = PAGE.substitute(
        title=escape(title),
        lead=escape(lead),
        contents=_contents(sections),
        sections="\n".join(_section(s) for s in sections),
        facts=_facts(facts),
    )
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)


def _contents(sections: Sequence[Section]) -> str:
    """Links to the sections, if there are several."""
    if len(sections) < 2:
        return ""
    links = (f'<a href="#{_anchor(s.title)}">{escape(s.title)}</a>' for s in sections)
    return "<nav>\n" + "\n".join(links) + "\n</nav>"


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>", f"<p>{escape(section.lead)}</p>"]
    if section.rows:
        parts.append(_table(section.rows))
    if section.grid:
        parts.append(_grid(section.grid))
    parts += [_figure(picture) for picture in section.pictures]
    if section.text:
        caption = f"<figcaption>{escape(section.text_caption)}</figcaption>"
        parts.append(f"<figure><pre>{escape(section.text)}</pre>{caption}</figure>")
    if section.facts:
        parts.append(_facts(section.facts))
    body = "\n".join(parts)
    return f'<section id="{_anchor(section.title)}">\n{body}\n</section>'


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        mark = {True: "good", False: "bad", None: ""}[row.good]
        lines.append(
            f'<tr><th scope="row">{escape(row.metric)}<small>{escape(row.note)}</small></th>'
            f'<td class="value {mark}">{escape(row.value)}</td>'
            f"<td>{escape(row.reference)}</td></tr>"
        )
    head = "<tr><th>metric</th><th>measured</th><th>to compare</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def _grid(grid: Grid) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *grid.columns))
    body = "".join(
        f'<tr><th scope="row">{escape(title)}</th>'
        + "".join(f'<td class="value">{escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for title, *cells in grid.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(picture: Picture) -> str:
    kind = ' class="pixels"' if picture.pixels else ""
    image = f'<img{kind} src="{_data(picture.png)}" alt="{escape(picture.caption)}">'
    if picture.dark is not None:
        media = "(prefers-color-scheme: dark)"
        image = f'<picture><source media="{media}" srcset="{_data(picture.dark)}">{image}</picture>'
    return f"<figure>{image}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f"<dl>{items}</dl>"


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _anchor(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")
