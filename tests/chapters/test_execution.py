"""What is told of a chapter that runs, and of one that does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minigen.chapters.chapter import Chapter
from minigen.chapters.execution import ChapterError, Execution, Shown, execute

LESSON = "from minigen.chapters.lesson import claim, fast, show\n"


def run(tmp_path: Path, *cells: str, **options: object) -> Execution:
    file = tmp_path / "05_x.py"
    file.write_text("\n".join(f"# %%\n{cell}\n" for cell in cells), encoding="utf-8")
    return execute(Chapter.load(file), **options)  # type: ignore[arg-type]


def test_what_each_cell_printed_showed_and_claimed(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = run(
        tmp_path,
        LESSON + "import os, sys\nprint(os.environ['NUMBA_NUM_THREADS'], fast(), sys.argv)",
        "print('α')\nshow('<svg/>', 'a', 'One.')\nshow(b'\\x89PNG', 'b', 'Two.')\nprint(2, end='')",
        "claim('0.5', 0.5)\nclaim('1.0', 7, trained=True)",
        "import inspect\ndef f():\n    return __name__\nprint(inspect.getsource(f).strip(), f())",
        fast=True,
        watch=lambda *now: seen.append(now),
    )
    outputs = list(made.outputs.values())
    assert outputs[0].parts == (f"1 True {[str(tmp_path / '05_x.py'), '--fast']}\n",)
    pictures = (Shown("<svg/>", "a", "One."), Shown(b"\x89PNG", "b", "Two."))
    assert outputs[1].parts == ("α\n", *pictures, "2")
    assert outputs[1].text == "α\n2"
    assert outputs[2].claims == ("0.5", "1.0")
    assert outputs[3].text == "def f():\n    return __name__ __main__\n"
    assert (made.warnings, seen) == ("", [(1, 4), (2, 4), (3, 4), (4, 4)])
    assert 0 < made.seconds < 20


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("x = 1\n1 / 0", r"05_x.py, line 6, in the cell at line 4: ZeroDivisionError"),
        ("def f():\n    raise ValueError('so')\nf()", r"line 6, .* line 4: ValueError: so"),
        ("x = (", "line 5, .* line 4: SyntaxError"),
        ("import sys; sys.exit(3)", "line 5, .* line 4: SystemExit: 3"),
        ("import os; os._exit(0)", "the cell at line 4: the process died"),
        (LESSON + "claim('0.5', 0.6)", r"line 6, .*: .*ClaimError: the text says 0.5"),
    ],
)
def test_a_cell_that_fails_is_named_with_its_line(cell: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ChapterError) as failed:
        run(tmp_path, "x = 0", cell, "print('never')")
    assert re.search(told, str(failed.value))


def test_a_chapter_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ChapterError, match="no end within 2 s"):
        run(tmp_path, "while True:\n    pass", limit=2)


def test_what_goes_to_standard_error_is_kept(tmp_path: Path) -> None:
    made = run(
        tmp_path,
        "import warnings\nwarnings.warn('hm')",
        "import os\nos.write(1, b'past Python')",
    )
    assert "UserWarning: hm" in made.warnings
    assert "past Python" in made.warnings
    assert all(output.parts == () for output in made.outputs.values())
