"""Chapters as pages: one HTML file each with everything inside, to be read on any screen without a
network, and a page that lists them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape

from minigen.chapters.chapter import Chapter
from minigen.chapters.execution import Execution, Output, Shown
from minigen.chapters.markdown import as_html, code_html, headings
from minigen.chapters.reader import FOLDED, solution, stub
from minigen.chapters.template import PAGE
from minigen.classroom.source import Cell
from minigen.version import __version__

TAGS = {"en": "en", "zh": "zh-Hans"}
WORDS = {
    "chapters": {"en": "Chapters", "zh": "目录"},
    "tutorials": {"en": "Tutorials", "zh": "教程"},
    "after": {"en": "Read first: {}", "zh": "先读：{}"},
    "nothing": {"en": "nothing", "zh": "无"},
    "minutes": {"en": "Runs for about {} min on one thread", "zh": "单线程运行约 {} 分钟"},
    "checked": {"en": "checks the gradient above", "zh": "检验上面的梯度"},
    "yours": {"en": "for you to write", "zh": "请你来写"},
    "fast": {
        "en": "Made with --fast: trainings were cut short and show less than they reach.",
        "zh": "由 --fast 生成：训练只跑了几步，图和数字不代表训练的结果。",
    },
    "made": {"en": "Made by minigen {}.", "zh": "由 minigen {} 生成。"},
    "lead": {
        "en": "Chapters to read, run and change, in an order where each needs only those before.",
        "zh": "可以读、可以运行、可以改的章节。按此顺序，每一章只用到前面的内容。",
    },
}


def chapter_page(
    chapter: Chapter,
    execution: Execution,
    language: str = "both",
    *,
    neighbours: tuple[Chapter | None, Chapter | None] = (None, None),
    fast: bool = False,
) -> str:
    """The page, with what the execution gave under each cell.

    language: "en", "zh" or "both". neighbours: the chapters before and after, to be linked to.
    Raises FormulaError for a formula that cannot be shown, ImportError without latex2mathml.
    """
    told = _languages(language)
    parts, place = [], 0
    cells = chapter.cells
    while place < len(cells):
        cell, place = cells[place], place + 1
        if cell.kind == "code":
            output = execution.outputs.get(cell.line)
            parts.append(_code(cell, output, language, chapter.captions()))
            continue
        texts = [cell]
        if place < len(cells) and "of" in cells[place].options:
            texts.append(cells[place])
            place += 1
        parts.append(_texts(texts, told))
        if len(parts) == 1:
            parts.append(_head(chapter, told, fast))
    return _page(
        " · ".join(f"{chapter.number} {chapter.title(each)}" for each in told),
        language,
        _way(language, *neighbours),
        "\n".join(filter(None, parts)),
        "\n".join([_each("made", told, __version__), _way(language, *neighbours)]),
    )


def index_page(chapters: Sequence[Chapter], language: str = "both") -> str:
    """The page that lists the chapters: order, goals, minutes, what to read first."""
    told = _languages(language)
    rows = []
    for chapter in chapters:
        titles = "<br>".join(
            f'<a href="{chapter.name}.html" lang="{TAGS[each]}">{escape(chapter.title(each))}</a>'
            for each in told
        )
        goals = "<br>".join(
            f'<span lang="{TAGS[each]}">{escape(str(chapter.said("goal", each) or ""))}</span>'
            for each in told
        )
        first = " ".join(chapter.said("after") or ())
        rows.append(
            f"<tr><td>{chapter.number}</td><td>{titles}</td><td>{goals}</td>"
            f"<td>{chapter.said('minutes') or ''}</td><td>{first}</td></tr>"
        )
    names = {"en": ("", "chapter", "you learn", "minutes", "read first")}
    names["zh"] = ("", "章", "学到什么", "分钟", "先读")
    head = "".join(
        "<th>" + "<br>".join(names[each][i] for each in told if i) + "</th>" for i in range(5)
    )
    title = " · ".join(WORDS["tutorials"][each] for each in told)
    content = (
        f"<h1>{title}</h1>\n{_each('lead', told)}\n"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"
    )
    return _page(title, language, "", content, _each("made", told, __version__))


def _languages(language: str) -> list[str]:
    return ["en", "zh"] if language == "both" else [language]


def _page(title: str, language: str, before: str, content: str, after: str) -> str:
    return PAGE.substitute(
        language=TAGS.get(language, "en"),
        title=escape(title),
        kind=language,
        before=before,
        content=content,
        after=after,
    )


def _each(what: str, told: Sequence[str], value: object = "") -> str:
    """A line about the chapter, in each language."""
    return "\n".join(
        f'<p class="facts" lang="{TAGS[each]}">{escape(WORDS[what][each].format(value))}</p>'
        for each in told
    )


def _label(what: str, language: str) -> str:
    return escape(" · ".join(WORDS[what][each] for each in _languages(language)))


def _way(language: str, before: Chapter | None, after: Chapter | None) -> str:
    """Links to the list and to the neighbours."""
    first = _languages(language)[0]

    def link(chapter: Chapter | None, text: str) -> str:
        if chapter is None:
            return "<span></span>"
        title = f"{chapter.number} {chapter.title(first)}"
        return f'<a href="{chapter.name}.html">{text.format(escape(title))}</a>'

    middle = f'<a href="index.html">{_label("chapters", language)}</a>'
    return f'<div class="way">{link(before, "← {}")}{middle}{link(after, "{} →")}</div>'


def _head(chapter: Chapter, told: Sequence[str], fast: bool) -> str:
    """Under the title: how long it takes, what to read first, whether this is a fast run, and the
    sections."""
    first = ", ".join(chapter.said("after") or ())
    facts = []
    for each in told:
        needs = WORDS["after"][each].format(first or WORDS["nothing"][each])
        time = WORDS["minutes"][each].format(chapter.said("minutes"))
        facts.append(f'<p class="facts" lang="{TAGS[each]}">{escape(f"{time} · {needs}")}</p>')
    if fast:
        facts.append(_each("fast", told))
    contents = "\n".join(
        f'<ol lang="{TAGS[each]}">\n'
        + "\n".join(
            f'<li><a href="#{name}">{text}</a></li>'
            for cell in chapter.prose(each)
            for name, text in headings(cell.text, _prefix(cell))
        )
        + "\n</ol>"
        for each in told
    )
    return "\n".join([*facts, f"<nav>\n{contents}\n</nav>"])


def _prefix(cell: Cell) -> str:
    """Of the ids of a cell's headings."""
    return f"{cell.options.get('lang', 'en')}-{cell.line}-"


def _texts(cells: Sequence[Cell], told: Sequence[str]) -> str:
    """A text and its translation, as far as they are told."""
    made = []
    for cell in cells:
        language = cell.options.get("lang", "en")
        if language in told:
            html = as_html(cell.text, _prefix(cell))
            made.append(f'<div class="text" lang="{TAGS[language]}">\n{html}</div>')
    return f'<div class="pair">\n{chr(10).join(made)}\n</div>' if len(made) > 1 else "".join(made)


def _code(cell: Cell, output: Output | None, language: str, captions: Mapping[str, str]) -> str:
    """A cell of code, and what it gave; a solution as its stub, with the solution folded away.

    captions: of pictures, in Chinese, by their names.
    """
    note, code, folded = "", cell.text, ""
    if "check" in cell.options:
        note = f'<div class="note good">{_label("checked", language)}</div>'
    if "solution" in cell.options:
        note = f'<div class="note">{_label("yours", language)}</div>'
        code = stub(cell)
        inside = f"<pre><code>{code_html(solution(cell))}</code></pre>"
        folded = f"<details><summary>{FOLDED[language]}</summary>{inside}</details>"
    parts = output.parts if output else ()
    printed = [_printed(part) for part in parts if isinstance(part, str) and part.strip()]
    figures = [_figure(part, language, captions) for part in parts if isinstance(part, Shown)]
    closer = re.sub(r"\n{3,}", "\n\n", code)
    shown = f"{note}<pre><code>{code_html(closer)}</code></pre>{''.join(printed)}"
    return "\n".join(filter(None, [f'<div class="cell">{shown}</div>', folded, *figures]))


def _printed(text: str) -> str:
    return f'<pre class="printed"><samp>{escape(text.strip(chr(10)))}</samp></pre>'


def _figure(picture: Shown, language: str, captions: Mapping[str, str]) -> str:
    kind, content = "png", picture.content
    if isinstance(content, str):
        kind, content = "svg+xml", content.encode()
    data = base64.b64encode(content).decode("ascii")
    told = {"en": picture.caption, "zh": captions.get(picture.name)}
    if language != "both" and told[language]:
        told = {language: told[language]}
    lines = [
        f'<span lang="{TAGS[each]}">{escape(text)}</span>' for each, text in told.items() if text
    ]
    alt = escape(next(text for text in told.values() if text))
    image = f'<img src="data:image/{kind};base64,{data}" alt="{alt}">'
    return f"<figure>{image}<figcaption>{'<br>'.join(lines)}</figcaption></figure>"
