"""Every rule of a chapter sees the fault that it is there for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minigen.chapters import rules
from minigen.chapters.chapter import Chapter, find
from minigen.chapters.rules import broken_rules, claims
from minigen.classroom.source import SourceError
from minigen.cli import main

SMALL = Path(__file__).parent / "chapter" / "05_parabola.py"
ALL_CHINESE = """\
## 一张图
#
# 以此斜率画出的直线恰好与抛物线相切。在切点附近，两者之差就是距离的平方。"""


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chapter for tests has all that a chapter has, but less of it."""
    monkeypatch.setattr(rules, "WORDS", (50, 150))
    monkeypatch.setattr(rules, "CODE_CELLS", (5, 5))


def with_change(tmp_path: Path, old: str, new: str) -> Chapter:
    text = SMALL.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / SMALL.name
    file.write_text(text.replace(old, new), encoding="utf-8")
    return Chapter.load(file)


def test_a_good_chapter_breaks_no_rule() -> None:
    assert broken_rules(Chapter.load(SMALL)) == []


@pytest.mark.parametrize(
    ("old", "new", "at", "told"),
    [
        ('check="square"', 'chek="square"', 'chek="', "a code cell has no option chek="),
        ('check="square"', "", 'id="slope"', 'the gradient "square" is not checked'),
        ('grad="square"', "", 'check="square"', 'check="square": no text just before derives'),
        (
            "assert_gradients((square,",
            "print((square,",
            "check=",
            "uses nothing of minigen.testing",
        ),
        ('claim("3.00"', 'square(x).sum().backward(); claim("3.00"', "check=", "is blind"),
        ('print("slope', 'print(fast(), "slope', "check=", r"asks for fast\(\)"),
        ('solution="cube"', "", "exercise=", 'the exercise "cube" has no solution'),
        ('exercise="cube"', "", "solution=", 'solution="cube": no text just before asks'),
        ('exercise="cube"', "", 'of="end"', "there is no exercise"),
        ("    three = 3.0\n", "", "solution=", 'solution="cube" has 4 lines; it has 5 to 15'),
        ("    three = 3.0\n", "    three = 3.0\n" * 12, "solution=", "has 16 lines"),
        ("x * x * x, cube_backward", "x, print", "solution=", "does not check the function"),
        ('claim("3.00"', 'claim("3.01"', "is **3.00**", "nobody claims 3.00;"),
        ("slope touches", "slope 97 % touches", "97 %", "nobody claims 97%;"),
        ("斜率是 **3.00**", "斜率是 **3.10**", "3.10", "nobody claims 3.10;"),
        ("It is not about", "It is about", 'id="title"', r"stale or missing: title \(en="),
        ('of="slope"', 'of="picture"', 'of="picture"', "does not stand right after"),
        ("抛物线有多陡？", "抛物线有多陡?", "多陡?", r"a half-width '\?' in Chinese"),
        (ALL_CHINESE, "Nothing.", 'of="picture"', "translation without a Chinese"),
        ("# # 05 · A", "# # 06 · A", 'id="title"', 'text in en begins with "# 05 · TITLE"'),
        ("# ## A picture", "# # A picture", "# # A picture", "sections have ##"),
        ("## What you may now use", "## Afterwards", 'of="end"', "there is no section"),
        (' goal="A slope, computed and checked"', "", 'id="title"', "in en has no goal"),
        (' goal="求斜率，并检验它"', "", 'id="title"', "in zh has no goal"),
        (" minutes=0.1", "", 'id="title"', "has no minutes="),
        (" after=[]", ' after=["1"]', 'id="title"', "has no after="),
        ("# |", "# ", 'of="end"', "there is no table of shapes"),
        ("show(figure", "print(figure", 'of="end"', "there is no picture"),
        (' captions={"tangent"', ' captions={"gone"', "from matplotlib", "has no Chinese caption"),
        (' captions={"tangent"', ' captions={"gone"', 'of="picture"', "but no such picture"),
        ("A straight line", "See https://example.org", 'id="picture"', "a link to the network"),
        ("A straight line", "A <b>line</b>", 'id="picture"', "HTML in the text"),
        ("$y_i = x_i^3$, without", "$y_i = x_i^3, without", 'id="cube_asked"', r"a \$ without"),
        ('print("right")', "%time print()", "%time", "a magic of IPython"),
    ],
)
def test_a_broken_rule_is_told_with_its_line(
    old: str, new: str, at: str, told: str, tmp_path: Path
) -> None:
    chapter = with_change(tmp_path, old, new)
    lines = chapter.file.read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines, 1) if at in line)
    if "from" in at:  # in a cell without options
        number -= 1
    found = broken_rules(chapter)
    assert any(re.match(f"line {number}: .*{told}", sentence) for sentence in found), found


def test_a_chapter_is_not_too_short_and_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "WORDS", (500, 600))
    monkeypatch.setattr(rules, "CODE_CELLS", (6, 16))
    assert [re.sub(r"\d+", "N", s) for s in broken_rules(Chapter.load(SMALL))] == [
        "line N: N code cells; a chapter has N to N",
        "line N: N English words; a chapter has N to N",
    ]


def test_what_is_looked_up_in_may_be_longer(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rules, "WORDS", (20, 30))
    monkeypatch.setattr(rules, "CODE_CELLS", (1, 2))
    assert len(broken_rules(Chapter.load(SMALL))) == 2
    assert broken_rules(with_change(tmp_path, "minutes=", 'length="reference" minutes=')) == []
    (told,) = (
        s
        for s in broken_rules(with_change(tmp_path, "minutes=", 'length="long" minutes='))
        if "length" in s
    )
    assert told == "line 1: the title's length is 'long'; it can be \"reference\""


def test_a_missing_language_is_told(tmp_path: Path) -> None:
    file = tmp_path / "05_x.py"
    file.write_text("# %%\nx = 1\n", encoding="utf-8")
    found = broken_rules(Chapter.load(file))
    assert "line 1: there is no text in zh" in found
    assert "line 1: there is no text in en" in found


def test_claims_are_found_where_functions_make_them(tmp_path: Path) -> None:
    code = (
        "def told(text, value):\n    claim(text, value)\n\ntold('3.00', 3)\n"
        "for text in ['4.5', '5.5 %']:\n    claim(text, 1)\n"
    )
    chapter = with_change(tmp_path, 'claim("3.00", slope[0])', code)
    assert {"3.00", "4.5", "5.5%"} <= claims(chapter)


def test_a_chapter_is_found_by_number_name_or_file() -> None:
    files = [Path("01_tensors.py"), Path("11_gan.py")]
    for name in ("1", "01", "tensors", "01_tensors"):
        assert find(name, files) == files[0]
    assert find("elsewhere/x.py", files) == Path("elsewhere/x.py")
    with pytest.raises(SourceError, match="no chapter '12'; there are 01_tensors, 11_gan"):
        find("12", files)
    with pytest.raises(SourceError, match="there is no chapter"):
        Chapter.load("nowhere/05_x.py")


def test_the_command_says_what_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["tutorials", "check", str(SMALL)])
    assert done.value.code == 0
    assert capsys.readouterr().out == "05_parabola: no broken rules\n"
    bad = with_change(tmp_path, " minutes=0.1", "").file
    with pytest.raises(SystemExit) as done:
        main(["tutorials", "check", str(bad)])
    assert done.value.code == 1
    assert "1 broken rule\n  line 1: the title has no minutes=" in capsys.readouterr().out
