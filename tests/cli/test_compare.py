"""`minigen compare`: runs side by side."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from minigen.cli import main
from minigen.training import Run
from minigen.training.recipes import default_settings

LOGS = {
    "a": (
        {"lr": 1e-3},
        [
            {"step": 10, "seconds": 1.0, "loss": 30.0},
            {"step": 20, "seconds": 2.0, "loss": 20.0},
            {"step": 20, "seconds": 3.0, "metrics": {"test_loss": 25.0, "frechet": 9.0}},
        ],
    ),
    "b": (
        {"lr": 2e-3, "own": {"latent": 2}},
        [
            {"step": 10, "seconds": 2.0, "loss": 28.0},
            {"step": 20, "seconds": 4.0, "loss": 21.0},
            {"step": 20, "seconds": 5.0, "metrics": {"test_loss": 26.0, "frechet": 8.0}},
        ],
    ),
}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for name, (changes, records) in LOGS.items():
        run = Run.create(tmp_path / name, default_settings("vae", fast=True, **changes))
        for record in records:
            run.log(record)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *args])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def cells(out: str, row: str) -> list[str]:
    line = next(line for line in out.splitlines() if row in line)
    return [cell.strip() for cell in line.split("│")][2:-1]


def test_settings_results_and_curves(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "a", "b")
    assert (code, err) == (0, "")
    assert cells(out, "│ lr ") == ["0.001", "0.002"]
    assert cells(out, "│ latent") == ["20", "2"]
    assert "hidden" not in out  # equal in both
    assert cells(out, "negative ELBO") == ["25.0 *", "26.0"]
    assert cells(out, "Fréchet") == ["9.0", "8.0 *"]
    assert cells(out, "ms a step") == ["150.0", "250.0"]
    page = Path("comparison.html").read_text(encoding="utf-8")
    assert '<th scope="row">latent</th><td class="value">20</td><td class="value">2</td>' in page
    pictures = re.findall(r"base64,([A-Za-z0-9+/=]+)", page)
    assert len(pictures) == 2  # the loss, light and dark; a metric of one evaluation is no curve
    assert all(base64.b64decode(each).startswith(b"\x89PNG") for each in pictures)
    assert call(capsys, "a", "b")[1].endswith("comparison-2.html\n")  # nothing is overwritten


def test_a_metric_whose_larger_values_are_better(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from minigen.training.recipes import RECIPES

    figures = tuple(dataclasses.replace(f, higher=True) for f in RECIPES["vae"].figures)
    monkeypatch.setitem(RECIPES, "vae", dataclasses.replace(RECIPES["vae"], figures=figures))
    assert cells(call(capsys, "a", "b")[1], "negative ELBO") == ["25.0", "26.0 *"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a"], "2 to 6"),
        (["a", "./a"], "named twice"),
        (["a", "nowhere"], "no run folder nowhere"),
        (["a", "empty"], "empty has measured nothing"),
        (["a", "b", "--out", "taken.html"], "taken.html exists"),
    ],
)
def test_what_cannot_be_compared(
    args: list[str], words: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run.create(runs / "empty", default_settings("vae", fast=True))
    Path("taken.html").write_text("mine", encoding="utf-8")
    code, out, err = call(capsys, *args)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not Path("comparison.html").exists()
    assert Path("taken.html").read_text(encoding="utf-8") == "mine"


def test_runs_of_one_name_are_told_apart(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "deep").mkdir()
    Run.create(runs / "deep" / "a", default_settings("gan", fast=True)).log(
        {"step": 5, "seconds": 1.0, "metrics": {"frechet": 7.0}}
    )
    code, out, _ = call(capsys, "a", "deep/a")
    assert code == 0
    assert f"{runs.name}/a" in out
    assert "deep/a" in out
    assert cells(out, "negative ELBO") == ["25.0", ""]
