"""`minigen bench` finds the benchmarks of the checkout, and says so where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigen.cli import bench, main


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(args))
    return int(caught.value.code or 0)


def test_every_benchmark_exists_and_says_what_it_does(capsys: pytest.CaptureFixture) -> None:
    assert run("bench") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*bench.BENCHMARKS, "gpu"]
    assert (bench.folder() / "gpu" / "run.sh").exists()
    assert all(len(line) > 30 for line in lines)
    scripts = {p.stem for p in bench.folder().glob("*.py") if "main()" in p.read_text()}
    assert scripts <= {*bench.BENCHMARKS, "front_picture"}


def test_options_go_to_the_benchmark_and_its_exit_code_comes_back(
    capfd: pytest.CaptureFixture,
) -> None:
    assert run("bench", "overhead", "--rounds", "many") == 2
    assert "invalid int value: 'many'" in capfd.readouterr().err


def test_unknown_or_not_there(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("bench", "speed") == 2
    assert "no benchmark 'speed'; there are overhead" in capsys.readouterr().err
    monkeypatch.setattr(bench.minigen, "__file__", str(tmp_path / "minigen" / "__init__.py"))
    assert run("bench") == 2
    assert "not part of the installed package" in capsys.readouterr().err
