"""`minigen sample RUN --prompt ... --show attention`: answers, and how they came about."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigen.cli import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    tiny = ["--fast", "--steps", 4, "--set", "layers=1", "--set", "width=16"]
    for model in ("dates", "arithmetic"):
        few = ["--set", "examples=200", "--set", "test_examples=10"]
        assert run("train", model, *tiny, *few, "--out", folder / model) == 0
    context = ["--set", "context=16", "--set", "characters=20000"]
    assert run("train", "gpt", *tiny, *context, "--out", folder / "gpt") == 0
    return folder


def test_an_answer(runs: Path, capsys: pytest.CaptureFixture) -> None:
    capsys.readouterr()
    assert run("sample", runs / "dates", "--prompt", "3 March 1994") == 0
    out = capsys.readouterr().out
    assert out.startswith("3 March 1994 -> ")
    assert out.count("\n") == 1
    assert run("sample", runs / "arithmetic", "--prompt", "3+4=") == 0
    assert capsys.readouterr().out.startswith("3+4=")
    assert run("sample", runs / "dates", "--prompt", "3 März") == 2
    assert "'ä'" in capsys.readouterr().err


def test_a_run_keeps_questions_and_answers(runs: Path) -> None:
    lines = (runs / "dates/samples/step-000004.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 10
    assert all(" -> " in line for line in lines)
    assert (runs / "arithmetic/samples/lengths.png").exists()


@pytest.mark.parametrize(
    ("model", "prompt", "name"),
    [("dates", "3 March 1994", "3-March-1994"), ("arithmetic", "3+4*2=", "3-4-2"),
     ("gpt", "HAMLET. To be or not to be", "HAMLET--To-be-or-not-to")],
)  # fmt: skip
def test_pictures(
    runs: Path, model: str, prompt: str, name: str, capsys: pytest.CaptureFixture
) -> None:
    capsys.readouterr()
    how = ["--show", "attention", "--show", "probabilities", "-n", 6]
    assert run("sample", runs / model, "--prompt", prompt, *how) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, what in zip(lines[-2:], ("attention", "probabilities"), strict=True):
        assert Path(line) == runs / model / "samples" / f"last-{what}-{name}.png"
        assert Path(line).read_bytes()[1:4] == b"PNG"
    assert "".join(lines[:-2]).startswith(prompt)
