"""A page of HTML, read as a browser reads it, as far as tests ask."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "hr"}
LOADS = {"src", "srcset", "href", "data", "poster", "action"}
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "form", "base"}
NO_PROSE = {"code", "pre", "samp", "math", "style", "title"}


@dataclass
class Page:
    """tags: how many of each; prose: the text but code, output and formulas; printed: outputs;
    outside: whatever would be loaded or leads away; problems: tags that do not fit."""

    tags: Counter = field(default_factory=Counter)
    prose: str = ""
    printed: int = 0
    languages: set[str] = field(default_factory=set)
    outside: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.page.tags[tag] += "nav" not in self.open  # which repeats the headings
        self.page.printed += tag == "samp"
        if tag not in VOID:
            self.open.append(tag)
        if tag in FORBIDDEN:
            self.page.outside.append(f"<{tag}>")
        for name, value in attributes:
            if name.startswith("on") or (name in LOADS and not _inside(value or "")):
                self.page.outside.append(f"{name}={(value or '')[:60]}")
            if name == "lang" and value:
                self.page.languages.add(value)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.page.problems.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if not NO_PROSE & set(self.open):
            self.page.prose += data
        if "style" in self.open and ("url(" in data or "@import" in data):
            self.page.outside.append("a style sheet that loads")


def _inside(address: str) -> bool:
    """Whether it is part of this page, or a page in the same folder."""
    return address.startswith(("data:", "#")) or (":" not in address and "/" not in address)


def read_page(text: str) -> Page:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.page.problems += [f"<{tag}> is not closed" for tag in reader.open]
    return reader.page
