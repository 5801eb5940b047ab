"""From Markdown, formulas and results to a page, and from a chapter to a notebook."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from minigen.chapters import listing
from minigen.chapters.chapter import Chapter
from minigen.chapters.execution import Execution
from minigen.chapters.prose import stated_numbers, unwrapped
from minigen.chapters.reader import notebook
from minigen.cli import main
from tests.chapters.reading import read_page

SMALL = Path(__file__).parent / "chapter" / "05_parabola.py"
Run = Callable[[Chapter], Execution]


@pytest.fixture
def page(executed: Run) -> Callable[..., str]:
    pytest.importorskip("latex2mathml")
    from minigen.chapters.pages import chapter_page

    small = Chapter.load(SMALL)
    return lambda language="both", **more: chapter_page(small, executed(small), language, **more)


def test_a_page_in_each_language(page: Callable[..., str]) -> None:
    english, chinese, both = read_page(page("en")), read_page(page("zh")), read_page(page())
    assert "How steep is a parabola?" in english.prose
    assert "抛物线有多陡" not in english.prose
    assert "抛物线有多陡" in chinese.prose
    assert "How steep" not in chinese.prose
    assert both.prose.index("How steep") < both.prose.index("抛物线有多陡")
    assert english.tags["math"] == chinese.tags["math"] == both.tags["math"] / 2 > 5
    for each in (english, chinese, both):
        assert (each.tags["details"], each.tags["img"], each.printed) == (1, 1, 2)
        assert (each.problems, each.outside) == ([], [])
    assert '<html lang="zh-Hans">' in page("zh")
    assert "这是五脏俱全的最小一章，供测试之用：一章该有的，它都有。" in page("zh")  # one line


def test_a_page_shows_code_results_and_a_folded_solution(page: Callable[..., str]) -> None:
    text = page("en")
    assert "slope at 1.5: [3.]" in text
    english, chinese = (
        '<span lang="en">A parabola and the line that touches it at 1.5.</span>',
        '<span lang="zh-Hans">抛物线，以及在 1.5 处与它相切的直线。</span>',
    )
    assert f"<figcaption>{english}</figcaption>" in text
    assert f"<figcaption>{chinese}</figcaption>" in page("zh")
    assert f"<figcaption>{english}<br>{chinese}</figcaption>" in page("both")
    assert "checks the gradient above" in text
    before, after = text.split("<details><summary>Solution</summary>")
    assert "NotImplementedError" in before
    assert '<span class="n">twice</span>' not in before
    assert '<span class="n">twice</span>' in after
    assert "SOLUTION" not in text
    assert "--fast" not in text
    assert "--fast" in page("en", fast=True)
    assert '<h2 id="en-19-1">The slope of a square</h2>' in text
    assert '<a href="#en-19-1">The slope of a square</a>' in text


def test_pages_are_linked_in_their_order(page: Callable[..., str]) -> None:
    from minigen.chapters.pages import index_page

    small = Chapter.load(SMALL)
    assert 'href="05_parabola.html"' in page("en", neighbours=(small, None))
    assert 'href="05_parabola.html"' not in page("en")
    index = index_page([small], "both")
    assert read_page(index).problems == read_page(index).outside == []
    for part in ("A parabola", "抛物线", "A slope, computed and checked", "求斜率，并检验它"):
        assert part in index


def test_what_would_load_something_is_seen() -> None:
    """The reader of pages that the tests go by can fail."""
    bad = '<script src="x"></script><a href="https://example.org">x</a><img src="//x/y.png"><p>'
    page = read_page(bad)
    assert page.outside == [
        "<script>", "href=https://example.org", "src=//x/y.png"
    ]  # fmt: skip
    assert page.problems == ["<p> is not closed"]
    assert read_page("<p><b></p></b>").problems


@pytest.mark.parametrize("language", ["en", "zh", "both"])
def test_a_notebook_has_a_stub_and_the_solution_below(language: str) -> None:
    cells = json.loads(notebook(Chapter.load(SMALL), language))["cells"]
    (place,) = [i for i, c in enumerate(cells) if "solution" in c["metadata"].get("minigen", {})]
    stub, folded = ("".join(c["source"]) for c in cells[place : place + 2])
    assert "raise NotImplementedError" in stub
    assert "twice" not in stub
    assert folded.startswith("<details>")
    assert "twice = once * x" in folded
    told = {c["metadata"].get("minigen", {}).get("lang") for c in cells}
    assert ("zh" in told) == (language != "en")


def test_chinese_lines_are_joined_where_nothing_but_their_length_broke_them() -> None:
    assert unwrapped("# 标题\n下一行\n还有") == "# 标题\n下一行还有"
    assert unwrapped("- 一\n- 二\n三") == "- 一\n- 二三"
    assert unwrapped("| 一 | 二 |\n| 三 | 四 |") == "| 一 | 二 |\n| 三 | 四 |"
    assert unwrapped("是\n`x`\n的，\n$y$") == "是\n`x`\n的，$y$"
    assert unwrapped("English\ntext, 中\n\n文") == "English\ntext, 中\n\n文"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("about 0.5, 1,234.5 or −2.5e-7; 3 layers", ["0.5", "1234.5", "-2.5e-7"]),
        ("93 % and 5%", ["93%", "5%"]),
        ("`0.5` and $0.5$ and arXiv 1706.03762, section 3.2, Python 3.11, 第 2.1 节", []),
        ("从 0.5 降到 0.25，占 12％", ["0.5", "0.25", "12%"]),
        ("2.5.1 is a release", []),
        ("0.5-0.7, 12×12, x0.5", ["0.5", "0.7"]),
    ],
)
def test_which_numbers_are_results(text: str, numbers: list[str]) -> None:
    assert [number for _, number in stated_numbers(text)] == numbers


def test_formulas() -> None:
    pytest.importorskip("latex2mathml")
    from minigen.chapters.markdown import as_html, formula_problems
    from minigen.chapters.mathml import FormulaError, mathml

    thin = '<mspace width="0.167em"></mspace>'
    assert f"<mi>x</mi>{thin}<mi>log</mi>{thin}<mi>x</mi>" in mathml(r"x \log x")
    assert "<mi>diag</mi><mo" in mathml(r"\operatorname{diag}(y)")
    assert "<munder><mi>min</mi>" in mathml(r"\min_G V", display=True)
    assert "<mo>∼</mo>" in mathml(r"x \sim p")
    assert '<mi mathvariant="normal">d</mi><mi>x</mi>' in mathml(r"\mathrm{d}x")
    assert "<mtable" in mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}")
    for wrong in (r"\nothing x", r"\frac{1}{", "a & b"):
        with pytest.raises(FormulaError, match=re.escape(repr(wrong))):
            mathml(wrong)
    made = as_html("So $a_1 * b$ and `$c$`:\n$$x\n= 2.$$\n\n| $y$ |\n|---|\n| 1 |")
    assert made.count("<math") == 3
    assert '<div class="formula"><math display="block">' in made
    assert "<em>" not in made
    assert "<h" not in made  # "= 2" underlines no heading
    assert "<code>$c$</code>" in made
    small = Chapter.load(SMALL)
    assert formula_problems(small) == []


def test_a_formula_that_cannot_be_shown_is_told_with_its_line(tmp_path: Path) -> None:
    pytest.importorskip("latex2mathml")
    from minigen.chapters.markdown import formula_problems

    file = tmp_path / SMALL.name
    file.write_text(SMALL.read_text(encoding="utf-8").replace(r"\sum_j", r"\summe_j"), "utf-8")
    found = formula_problems(Chapter.load(file))
    assert [re.sub(":.*", "", each) for each in found] == ["line 24", "line 37"]


def run_command(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as done:
        main(["tutorials", *arguments])
    return done.value.code


def test_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "out")
    assert run_command("build", str(SMALL), "--format", "ipynb", "--out", out) == 0
    assert (tmp_path / "out" / "05_parabola.ipynb").exists()
    assert run_command("build", str(SMALL), "--format", "pdf") == 2
    assert "--format is html, ipynb" in capsys.readouterr().err
    assert run_command("build", str(SMALL), "--language", "fr") == 2
    assert "--language is one of en, zh, both" in capsys.readouterr().err
    assert run_command("run", "nowhere") == 2
    assert "there is no chapter 'nowhere'; there are" in capsys.readouterr().err
    assert run_command("list") == 0
    assert "01  Tensors and reverse mode:" in capsys.readouterr().out
    monkeypatch.setattr("minigen.cli.building.find_spec", lambda name: None)
    assert importlib.util.find_spec("minigen")
    assert run_command("build", str(SMALL), "--out", out) == 2
    assert "pip install 'minigen[docs]'" in capsys.readouterr().err


def test_a_chapter_that_fails_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("latex2mathml")
    (tmp_path / "04_wrong.py").write_text("# %%\n1 / 0\n", encoding="utf-8")
    (tmp_path / "05_right.py").write_text("# %%\nprint(1)\n", encoding="utf-8")
    files = [str(tmp_path / name) for name in ("04_wrong.py", "05_right.py")]
    assert run_command("build", *files, "--format", "html", "--out", str(tmp_path / "out")) == 1
    assert "04_wrong.py, line 2, in the cell at line 1: ZeroDivision" in capsys.readouterr().err
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"05_right.html", "index.html"}


def test_the_list_for_the_readme() -> None:
    table = listing.as_markdown([Chapter.load(SMALL)], "zh")
    assert table.splitlines()[2:] == [
        "| [05 · 抛物线](05_parabola.py) | 求斜率，并检验它 | 0.1 |  |"
    ]
