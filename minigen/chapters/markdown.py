"""Markdown with formulas as HTML with MathML (`minigen.chapters.mathml`).

Markdown is read, and code coloured, by packages that come with rich.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from minigen.chapters.chapter import Chapter
from minigen.chapters.mathml import FormulaError, mathml
from minigen.chapters.prose import formulas, unwrapped

# A browser breaks a line after any formula, also before the comma that follows it.
AND_ITS_MARK = re.compile(
    r'<math display="inline">(?:(?!</math>).)*</math>[,.;:!?)，。：；、？！）]+'
)


def as_html(text: str, prefix: str = "") -> str:
    """HTML of Markdown; headings get the ids `prefix` and a number, in their order.

    Raises FormulaError for a formula that is not understood, ImportError without latex2mathml.

    >>> as_html("Half of *this*.")
    '<p>Half of <em>this</em>.</p>\\n'
    """
    made = str(_reader().render(unwrapped(text), {"prefix": prefix}))
    return AND_ITS_MARK.sub(r'<span class="unbroken">\g<0></span>', made)


def headings(text: str, prefix: str = "") -> list[tuple[str, str]]:
    """The id and the HTML of each section's heading.

    >>> headings("# Title\\n\\n## A section", "en-")
    [('en-2', 'A section')]
    """
    tokens = _reader().parse(unwrapped(text), {})
    opened = [i for i, token in enumerate(tokens) if token.type == "heading_open"]
    return [
        (f"{prefix}{number}", _inline(tokens[i + 1]))
        for number, i in enumerate(opened, 1)
        if tokens[i].tag == "h2"
    ]


def _inline(token: Token) -> str:
    reader = _reader()
    return str(reader.renderer.render([token], reader.options, {}))


def formula_problems(chapter: Chapter) -> list[str]:
    """Each formula of the chapter that cannot be shown: "line 12: ..."."""
    found = []
    for cell in chapter.cells:
        for offset, latex, display in formulas(cell.text) if cell.kind == "markdown" else ():
            try:
                mathml(latex, display)
            except FormulaError as error:
                found.append(f"line {cell.line + 1 + offset}: {error}")
    return found


def code_html(code: str) -> str:
    """Python with a <span class=...> for each keyword, text, number and comment."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return str(highlight(code, PythonLexer(), HtmlFormatter(nowrap=True))).rstrip("\n")


@cache
def _reader() -> MarkdownIt:
    """CommonMark with tables and formulas, without HTML."""
    reader = MarkdownIt("commonmark", {"html": False, "highlight": _fence}).enable("table")
    reader.inline.ruler.before("escape", "formula", _inline_formula)
    interrupts = ["paragraph", "reference", "blockquote", "list"]
    reader.block.ruler.before("fence", "formula", _formula_block, {"alt": interrupts})
    reader.add_render_rule("formula", _formula_html)
    reader.add_render_rule("heading_open", _heading_html)
    return reader


def _inline_formula(state: StateInline, silent: bool) -> bool:
    """$...$, and $$...$$ within a line of text."""
    text, start = state.src, state.pos
    if text[start] != "$":
        return False
    sign = "$$" if text.startswith("$$", start) else "$"
    end = text.find(sign, start + len(sign))
    if end <= start + len(sign):
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content, token.markup = text[start + len(sign) : end], sign
    state.pos = end + len(sign)
    return True


def _formula_block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """$$...$$ that begins a line and ends one."""
    lines = []
    for line in range(first, last):
        lines.append(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
        text = "\n".join(lines).strip()
        if not text.startswith("$$"):
            return False
        if len(text) > 4 and text.endswith("$$"):
            if not silent:
                token = state.push("formula", "math", 0)
                token.content, token.markup, token.block = text[2:-2], "$$", True
                state.line = line + 1
            return "$$" not in text[2:-2]
    return False


def _formula_html(
    self: Any, tokens: Sequence[Token], place: int, options: Any, env: Mapping[str, Any]
) -> str:
    token = tokens[place]
    made = mathml(token.content, display=token.markup == "$$")
    return f'<div class="formula">{made}</div>\n' if token.block else made


def _heading_html(
    self: Any, tokens: Sequence[Token], place: int, options: Any, env: Mapping[str, Any]
) -> str:
    number = sum(token.type == "heading_open" for token in tokens[: place + 1])
    tag = tokens[place].tag
    return f'<{tag} id="{env["prefix"]}{number}">' if env.get("prefix") else f"<{tag}>"


def _fence(code: str, language: str, attributes: str) -> str:
    inside = code_html(code) if language in ("", "python") else escape(code)
    return f"<pre><code>{inside}</code></pre>"
