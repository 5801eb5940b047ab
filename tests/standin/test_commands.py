"""`--device`: a run on the stand-in for a GPU, taken up, sampled and measured on either device."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigen.cli import main
from minigen.training import Run
from tests.standin.install import installed, traffic


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in args])
    return int(caught.value.code or 0)


def test_a_run_on_a_gpu_and_what_is_done_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "gan"
    with installed():
        before = traffic.uploads
        assert run("train", "gan", "--fast", "--steps", 2, "--device", "auto", "--out", path) == 0
        assert traffic.uploads > before
        assert Run.open(path).settings.device == "cuda"
        assert run("sample", path, "--n", 4, "--out", tmp_path / "there.png") == 0
    assert run("sample", path, "--n", 4, "--out", tmp_path / "a.png") == 2  # there is no GPU here
    assert "no NVIDIA driver" in capsys.readouterr().err
    assert run("sample", path, "--n", 4, "--device", "cpu", "--out", tmp_path / "here.png") == 0
    assert run("evaluate", path, "--device", "auto") == 0
    assert run("train", "gan", "--resume", path, "--steps", 3, "--device", "cpu") == 0
    assert Run.open(path).settings.device == "cpu"
    assert Run.open(path).load().step == 3


def test_a_gpu_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "vae"
    assert run("train", "vae", "--fast", "--device", "cuda", "--out", out) == 2
    assert "no NVIDIA driver" in capsys.readouterr().err
    assert not out.exists()
