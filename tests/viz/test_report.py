"""The report: well-formed, complete, and with everything inside."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

import pytest

from minigen.viz import Picture, Row, Section, write_report

VOID = {"meta", "img", "source", "br", "link"}
SECTION = Section(
    title="A <b>bold</b> title",
    lead="x & y",
    rows=[
        Row("loss", "1.25 nats", "1.30 (PyTorch)", "lower is better", good=True),
        Row("distance", "9.1", "8.0 (floor)", "", good=None),
    ],
    pictures=[Picture(b"light", "curve", dark=b"night"), Picture(b"grid", "samples", pixels=True)],
    text='<script>alert("x")</script>\n  two spaces',
    text_caption="written",
    facts={"steps": "20"},
)


class Page(HTMLParser):
    """Checks that tags are balanced and collects what the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.references += [v for k, v in attributes if k in ("src", "srcset", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def page(tmp_path: Path) -> Page:
    path = tmp_path / "report.html"
    write_report(path, title="T", lead="L", sections=[SECTION], facts={"NumPy": "2 <3>"})
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    return Page(path.read_text(encoding="utf-8"))


def test_everything_is_on_the_page(page: Page) -> None:
    for text in (
        "A <b>bold</b> title", "x & y", "1.25 nats", "1.30 (PyTorch)", "lower is better", "9.1",
        '<script>alert("x")</script>\n  two spaces', "written", "20", "2 <3>",
    ):  # fmt: skip
        assert text in page.words
    assert "script" not in page.tags


def test_nothing_is_outside_the_page(page: Page) -> None:
    pictures = [r for r in page.references if not r.startswith("#")]
    assert [base64.b64decode(p.partition(",")[2]) for p in pictures] == [
        b"night",
        b"light",
        b"grid",
    ]
    assert all(p.startswith("data:image/png;base64,") for p in pictures)


def test_the_style_sheet_needs_no_network(page: Page) -> None:
    assert "url(" not in page.words
    assert "@import" not in page.words
    assert "prefers-color-scheme: dark" in page.words
