"""Cells, assignments and what students get of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minigen.classroom.assignment import Assignment
from minigen.classroom.release import build
from minigen.classroom.source import Cell, SourceError, parse, render
from minigen.classroom.translation import fingerprint, stale

ASSIGNMENTS = sorted(Path("tutorials/assignments").glob("a*_*"))
SMALL = '''# %% [markdown] id="intro"
# # Double
#
# Write it.

# %% [markdown] lang="zh" of="intro" en="{hash}"
# # 加倍

# %%
import numpy as np

# %% solution="double"
def double(x):
    """Twice x."""
    # BEGIN SOLUTION
    secret = 2
    return secret * x
    # END SOLUTION

# %% test="double" points=2
def test_double(double):
    """two times"""
    assert double(3) == 6

# %% test="double, arrays" points=1 hidden=true
def test_arrays(double, rng):
    """of arrays too"""
    x = rng.standard_normal(3)
    assert (double(x) == 2 * x).all(), "not for arrays"
'''.replace("{hash}", fingerprint("# Double\n\nWrite it."))


@pytest.fixture
def small(tmp_path: Path) -> Assignment:
    (tmp_path / "a0_small").mkdir()
    (tmp_path / "a0_small" / "a0.py").write_text(SMALL, encoding="utf-8")
    return Assignment.load(tmp_path / "a0_small")


def test_an_assignment_knows_what_it_asks(small: Assignment) -> None:
    assert (small.name, small.points, small.asked) == ("a0", 3, ("double",))
    assert [(t.name, t.points, t.hidden, t.wants, t.part) for t in small.tests] == [
        ("double", 2, False, ("double",), "double"),
        ("double, arrays", 1, True, ("double",), "double"),
    ]
    assert small.tests[0].expectation == "two times"


def test_a_release_has_no_solution_and_no_hidden_test(small: Assignment, tmp_path: Path) -> None:
    script, notebook = build(small, tmp_path / "out")
    text = script.read_text(encoding="utf-8")
    for gone in ("secret", "SOLUTION\n    secret", "of arrays too", "hidden"):
        assert gone not in text
        assert gone not in notebook.read_text(encoding="utf-8")
    for kept in ('"""Twice x."""', "raise NotImplementedError", "def test_double", "加倍"):
        assert kept in text
    space: dict = {}
    exec(compile(text, str(script), "exec"), space)  # it runs as it is
    with pytest.raises(NotImplementedError):
        space["double"](1)
    made = json.loads(notebook.read_text(encoding="utf-8"))
    assert [c["cell_type"] for c in made["cells"]] == ["markdown", "markdown", *["code"] * 3]
    assert len({c["id"] for c in made["cells"]}) == 5


def test_a_release_in_one_language(small: Assignment, tmp_path: Path) -> None:
    zh = build(small, tmp_path / "zh", "zh")[0].read_text(encoding="utf-8")
    en = build(small, tmp_path / "en", "en")[0].read_text(encoding="utf-8")
    assert ("加倍" in zh, "Write it" in zh) == (True, False)
    assert ("加倍" in en, "Write it" in en) == (False, True)
    with pytest.raises(ValueError, match="en, zh, both"):
        build(small, tmp_path / "fr", "fr")


@pytest.mark.parametrize("folder", ASSIGNMENTS, ids=lambda path: path.name)
def test_building_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    once = build(Assignment.load(folder), tmp_path / "once")
    again = build(Assignment.load(folder), tmp_path / "again")
    for a, b in zip(once, again):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("folder", ASSIGNMENTS, ids=lambda path: path.name)
def test_no_line_of_a_solution_is_handed_out(folder: Path, tmp_path: Path) -> None:
    task = Assignment.load(folder)
    out = build(task, tmp_path)[0].read_text(encoding="utf-8").splitlines()
    handed = {line.strip() for line in out}
    for cell in task.cells:
        if "solution" in cell.options:
            lines = cell.text.splitlines()
            begin = [i for i, line in enumerate(lines) if "BEGIN SOLUTION" in line]
            end = [i for i, line in enumerate(lines) if "END SOLUTION" in line]
            for first, last in zip(begin, end, strict=True):
                hidden = {line.strip() for line in lines[first + 1 : last]}
                assert not {line for line in handed & hidden if len(line) > 12}


def test_cells_survive_being_written_and_read() -> None:
    cells = parse(SMALL)
    again = parse(render(cells))
    assert [(c.kind, c.text, c.options) for c in again] == [
        (c.kind, c.text, c.options) for c in cells
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# %% [markdown]\nx = 1\n", "line 2"),
        ("# %% points=\n", "line 1: points is no JSON"),
        ("\n# %% hello\n", "line 2: expected name=value"),
    ],
)
def test_text_that_is_no_file_of_cells(text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        parse(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("# BEGIN SOLUTION", "# BEGIN"), "line 12: a solution without"),
        ((' points=2', ""), "line 20: a test is one function"),
        (("def test_double(double)", "def test_double(duble)"), "line 20: duble is not among"),
        ((' solution="double"', ""), "asks for nothing"),
    ],
)  # fmt: skip
def test_a_source_that_breaks_the_rules(
    change: tuple[str, str], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "a0.py"
    file.write_text(SMALL.replace(*change), encoding="utf-8")
    with pytest.raises(SourceError, match=words):
        Assignment.load(file)


def test_a_translation_grows_stale_when_its_text_changes() -> None:
    assert stale(parse(SMALL)) == []
    assert stale(parse(SMALL.replace("# Write it.", "#   Write\n# it."))) == []  # line breaks only
    assert stale(parse(SMALL.replace("Write it.", "Write it now.")))[0].startswith("intro (en=")
    alone = [Cell("markdown", "你好", {"lang": "zh", "of": "gone", "en": "0"})]
    assert stale(alone) == ["gone, which is not there"]
