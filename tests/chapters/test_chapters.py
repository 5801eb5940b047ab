"""Every chapter obeys the rules, runs, says the truth, and becomes a page and a notebook.

What a fault does is in test_rules.py, test_execution.py and test_pages.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minigen.chapters.chapter import Chapter, chapter_files
from minigen.chapters.execution import Execution
from minigen.chapters.listing import as_markdown
from minigen.chapters.prose import CHINESE, formulas, stated_numbers
from minigen.chapters.prose import same_number as same
from minigen.chapters.reader import notebook, reader_cells
from minigen.chapters.rules import broken_rules
from minigen.classroom.source import parse
from tests.chapters.executions import LIMIT
from tests.chapters.reading import read_page

ROOT = Path(__file__).parents[2]
FILES = chapter_files(ROOT / "tutorials")
LINES = 20  # that a cell may print

Run = Callable[[Chapter], Execution]
each_chapter = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
each_language = pytest.mark.parametrize("language", ["en", "zh", "both"])


def test_the_chapters_are_there() -> None:
    numbers = [file.name[:2] for file in FILES]
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) >= {"01", "02", "03", "04", "09", "11", "16", "18", "23"}
    for file in FILES:  # each needs only those before it
        assert set(Chapter.load(file).said("after")) <= {n for n in numbers if n < file.name[:2]}


@each_chapter
def test_a_chapter_obeys_the_rules(file: Path) -> None:
    assert broken_rules(Chapter.load(file)) == []


@each_chapter
def test_a_chapter_runs_fast_and_quietly(file: Path, executed: Run) -> None:
    chapter = Chapter.load(file)
    made = executed(chapter)
    assert made.warnings == ""
    assert made.seconds < LIMIT
    assert set(made.outputs) == {cell.line for cell in chapter.code()}  # checks among them
    for line, output in made.outputs.items():
        assert output.text.count("\n") <= LINES, f"line {line} prints too much"


@each_chapter
def test_every_number_is_claimed_by_code_that_ran(file: Path, executed: Run) -> None:
    chapter = Chapter.load(file)
    made = executed(chapter)
    claimed = {same(text) for output in made.outputs.values() for text in output.claims}
    for cell in chapter.cells:
        if cell.kind == "markdown":
            for offset, number in stated_numbers(cell.text):
                assert number in claimed, f"line {cell.line + 1 + offset}: {number}"


@each_language
@each_chapter
def test_a_page_is_whole_and_needs_no_network(file: Path, language: str, executed: Run) -> None:
    pytest.importorskip("latex2mathml")
    from minigen.chapters.pages import chapter_page

    chapter = Chapter.load(file)
    made = executed(chapter)
    text = chapter_page(chapter, made, language, fast=True)
    assert text == chapter_page(chapter, made, language, fast=True)
    page = read_page(text)
    assert page.problems == []
    assert page.outside == []  # nothing is loaded, no link leaves the folder
    told = [c for c in chapter.cells if c.kind == "markdown"]
    told = [c for c in told if language in ("both", c.options.get("lang", "en"))]
    assert page.tags["math"] == sum(len(list(formulas(c.text))) for c in told)
    assert not re.search(r"[$`]|\*\*|\\[a-zA-Z]", page.prose)
    shown = sum(len(o.parts) for o in made.outputs.values()) - page.printed
    assert page.tags["img"] == shown > 0
    assert page.tags["details"] == sum("solution" in c.options for c in chapter.cells)
    assert bool(CHINESE.search(page.prose)) == (language != "en")
    assert page.languages >= ({"en", "zh-Hans"} if language == "both" else set())


@each_chapter
def test_a_notebook_has_no_output_and_no_solution_in_its_code(file: Path) -> None:
    chapter = Chapter.load(file)
    text = notebook(chapter, "both")
    assert text == notebook(Chapter.load(file), "both")
    cells = json.loads(text)["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert "BEGIN SOLUTION" not in "".join(cell["source"])
    for cell in reader_cells(chapter):
        if "solution" in cell.options:
            assert "raise NotImplementedError" in cell.text


@each_chapter
def test_jupytext_gives_the_cells_back(file: Path) -> None:
    jupytext = pytest.importorskip("jupytext")
    text = file.read_text(encoding="utf-8")
    there = jupytext.writes(jupytext.reads(text, fmt="py:percent"), fmt="ipynb")
    back = jupytext.writes(jupytext.reads(there, fmt="ipynb"), fmt="py:percent")
    for cell, again in zip(parse(text), parse(back), strict=True):
        assert (again.kind, again.text, again.options) == (cell.kind, cell.text, cell.options)


def test_a_notebook_runs_with_the_solutions_that_it_folds_away(tmp_path: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    made = nbformat.reads(notebook(Chapter.load(FILES[0]), "en"), as_version=4)
    nbformat.validate(made)
    for stub, folded in zip(made.cells, made.cells[1:]):
        if "solution" in stub.metadata.get("minigen", {}):
            stub.source = re.search(r"```python\n(.*?)\n```", folded.source, re.S)[1]
    made.cells[0:0] = [nbformat.v4.new_code_cell("import os; os.environ['MINIGEN_FAST'] = '1'")]
    nbclient.NotebookClient(made, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [each for cell in made.cells if cell.cell_type == "code" for each in cell.outputs]
    assert any("image/png" in each.get("data", {}) for each in outputs)
    assert not any(each.get("name") == "stderr" for each in outputs)


def test_a_chapter_runs_as_a_script(tmp_path: Path, executed: Run) -> None:
    executed(Chapter.load(FILES[0]))  # so that kernels are compiled, which is said otherwise
    file = tmp_path / FILES[0].name
    file.write_bytes(FILES[0].read_bytes())
    command = "from minigen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "tutorials", "run", str(file), "--fast"],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        rf"\n{file.stem}: \d+\.\d s, \d+\.\d s of one processor$", done.stdout.rstrip()
    )
    assert list((tmp_path / "_build" / file.stem).iterdir())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_list_in_the_readme_is_true(language: str) -> None:
    table = as_markdown([Chapter.load(file) for file in FILES], language)
    page = (ROOT / "tutorials/README.md").read_text(encoding="utf-8")
    assert table in page, f"it should be:\n{table}"
