"""`minigen classroom`: from a folder of submissions to a table of grades."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from minigen.classroom.assignment import Assignment
from minigen.classroom.release import build
from minigen.cli import main
from tests.classroom.test_source import SMALL


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An assignment, and four students: one right, one blank, one broken, one with a notebook."""
    monkeypatch.chdir(tmp_path)
    task = tmp_path / "a0_small"
    task.mkdir()
    (task / "a0.py").write_text(SMALL, encoding="utf-8")
    came = tmp_path / "came"
    came.mkdir()
    solved = SMALL.replace("secret = 2\n    return secret * x", "return x + x")
    (came / "ada.py").write_text(solved, encoding="utf-8")
    script, notebook = build(Assignment.load(task), tmp_path / "handout")
    (came / "blank.py").write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    (came / "chris").mkdir()
    written = notebook.read_text(encoding="utf-8").replace("raise NotImplementedError", "return 6")
    (came / "chris" / "a0.ipynb").write_text(written, encoding="utf-8")
    (came / "dora.py").write_bytes(b"\xff\xfe not text")
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["classroom", *args])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_class_is_graded_and_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "grade", "a0_small", "came", "--out", "grades")
    assert (code, err) == (0, "")
    told, *lines = out.splitlines()
    lines = sorted(line.split("] ")[1] for line in lines)
    results = (folder / "grades" / "chris" / "results.json").read_text(encoding="utf-8")
    assert lines[:3] == ["ada: 3 of 3", "blank: 0 of 3", "chris: 2 of 3"], results
    assert lines[3].startswith("dora: 0 of 3  (it cannot be read")
    made = json.loads((folder / "grades" / "chris" / "results.json").read_text(encoding="utf-8"))
    assert made["score"] == 2
    assert told == f"--seed {made['extra_data']['seed']}"
    page = (folder / "grades" / "chris" / "feedback.html").read_text(encoding="utf-8")
    assert "not handed out" in page
    code, out, _ = call(capsys, "report", "grades", "--title", "Autumn")
    assert code == 0
    table = (folder / "grades" / "grades.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(table.splitlines()))
    assert [row[:3] for row in rows] == [
        ["student", "earned", "points"], ["ada", "3", "3"], ["blank", "0", "3"],
        ["chris", "2", "3"], ["dora", "0", "3"],
    ]  # fmt: skip
    assert "<h1>Autumn</h1>" in (folder / "grades" / "class.html").read_text(encoding="utf-8")


def test_of_a_handouts_two_files_the_one_that_was_written_in_is_graded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for student in ("emma", "finn", "gwen"):
        build(Assignment.load(folder / "a0_small"), folder / "both" / student, "zh")
    solved = "return x + x"
    for file in ("emma/a0.py", "finn/a0.ipynb"):
        path = folder / "both" / file
        text = path.read_text(encoding="utf-8").replace("raise NotImplementedError", solved)
        path.write_text(text, encoding="utf-8")
    code, out, err = call(capsys, "grade", "a0_small", "both", "--seed", "1")
    assert (code, err) == (0, "")
    lines = sorted(line.split("] ")[-1] for line in out.splitlines())
    assert lines == [
        "--seed 1",
        "emma: 3 of 3",
        "finn: 3 of 3",
        "gwen-a0 (a0.py): 0 of 3",  # both are blank: nothing says which is meant
        "gwen-a0: 0 of 3",
        "left out: emma/a0.ipynb is as it was handed out, its twin is not",
        "left out: finn/a0.py is as it was handed out, its twin is not",
    ]


def test_one_submission_is_told_everything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "grade", "a0_small", "came/blank.py", "--seed", "7")
    assert code == 0
    assert out.splitlines() == [
        "--seed 7",
        "blank: 0 of 3",
        "  double: 0 of 2",
        "      not written yet",
        "  double, arrays: 0 of 1",
        "      not written yet",
    ]


def test_inputs_are_others_each_time_and_the_same_for_a_seed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that was right for one seed's input gains nothing for another's."""
    (folder / "came" / "eve.py").write_text(
        "import numpy as np\ndef double(x):\n    raise ValueError(float(np.sum(x)))\n"
    )
    seen = []
    for seed in ([], [], ["--seed", "7"], ["--seed", "7"]):
        _, out, _ = call(capsys, "grade", "a0_small", "came/eve.py", *seed)
        seen.append(out.splitlines()[-1])
    assert len(set(seen)) == 3
    assert seen[2] == seen[3]


def test_build_and_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "build", "a0_small", "--out", "out", "--language", "zh")
    assert (code, out) == (0, "out/a0.py\nout/a0.ipynb\n")
    for tool in ("nbgrader", "otter"):
        code, out, _ = call(capsys, "build", "a0_small", "--out", tool, "--format", tool)
        assert (code, out.splitlines()[-1]) == (0, f"{tool}/source/a0/a0.ipynb")
    wrong = folder / "a0_small" / "wrong.py"
    wrong.write_text('# %% breaks="double" says="two times"\ndef double(x): return x\n')
    code, out, _ = call(capsys, "check", "a0_small")
    assert code == 0
    assert out.count("proved: ") == 4
    wrong.write_text('# %% breaks="double" says="two times"\ndef double(x): return 2 * x\n')
    code, out, _ = call(capsys, "check", "a0_small")
    assert code == 1
    assert "NOT so: a wrong solution is told so" in out
    assert "nobody notices" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["build", "nothing"], "there is no assignment"),
        (["build", "a0_small", "--language", "fr"], "en, zh, both"),
        (["build", "a0_small", "--format", "pdf"], "minigen, nbgrader, otter"),
        (["grade", "a0_small", "handout/none"], "there is no submission"),
        (["grade", "a0_small", "empty"], "there is no submission"),
        (["report", "came"], "no results in came"),
        (["check", "a0_small"], "plant wrong solutions"),
    ],
)
def test_what_cannot_be_done(
    args: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir()
    code, _, err = call(capsys, *args)
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1
