"""`minigen train ar` on a file of one's own, and `minigen sample` of numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minigen import Generator
from minigen.cli import main
from minigen.cli.sample import load_job
from minigen.data import read_series

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture) -> Cli:
    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in args])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with two series in a file, and a finished run of the second."""
    folder = tmp_path_factory.mktemp("series")
    t = np.arange(120)
    price = 50 + 10 * np.sin(t / 2) + np.random.default_rng(0).normal(size=120)
    lines = [f"{i},{p}" for i, p in zip(t, price)]
    (folder / "prices.csv").write_text("\n".join(["day,price", *lines]))
    with pytest.raises(SystemExit) as caught:
        main(["train", "ar", "--fast", "--out", str(folder / "run"),
              "--set", f"data={folder / 'prices.csv'}", "--set", "column=price",
              "--set", "order=4"])  # fmt: skip
    assert caught.value.code == 0
    return folder


def test_training_ends_with_what_was_reached_beside_references(
    folder: Path, cli: Cli, tmp_path: Path
) -> None:
    data = folder / "prices.csv"
    code, out, _ = cli("train", "ar", "--fast", "--out", tmp_path / "r", "--set", f"data={data}",
                       "--set", "column=price")  # fmt: skip
    assert code == 0
    found = re.search(
        r"error of one step ahead.*: ([\d.]+)  \(to compare: ([\d.]+) \(the same", out
    )
    assert found, out
    assert float(found[1]) < float(found[2])


def test_numbers_come_as_csv_in_the_units_of_the_data(
    folder: Path, cli: Cli, tmp_path: Path
) -> None:
    code, out, _ = cli("sample", folder / "run", "--n", 200, "--out", tmp_path / "x.csv")
    assert (code, out) == (0, f"{tmp_path / 'x.csv'}\n")
    values = read_series(tmp_path / "x.csv", "price")
    assert values.shape == (200,)
    assert 40 < values.mean() < 60
    _, job, _ = load_job(folder / "run", "last")
    assert job.draw is not None
    np.testing.assert_array_equal(values, job.draw(200, Generator().manual_seed(0)))  # all digits
    cli("sample", folder / "run", "--n", 200, "--seed", 1, "--out", tmp_path / "y.csv")
    assert (read_series(tmp_path / "y.csv") != values).any()


def test_or_as_a_picture(folder: Path, cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("sample", folder / "run", "--n", 9, "--out", tmp_path / "x.PNG")
    assert code == 0
    assert (tmp_path / "x.PNG").read_bytes()[:4] == b"\x89PNG"
    code, out, _ = cli("sample", folder / "run", "--seed", 3)
    assert out == f"{folder / 'run' / 'samples' / 'last-n40-seed3.png'}\n"
    assert (folder / "run" / "samples" / "last-n40-seed3-dark.png").exists()


def test_what_cannot_be_written_is_refused(folder: Path, cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("sample", folder / "run", "--out", tmp_path / "x.txt")
    assert (code, out) == (2, "")
    assert "--out must end in .csv or .png, not x.txt" in err
    code, _, err = cli("sample", folder / "run", "--temperature", 0.5)
    assert code == 2
    assert "--temperature is for text" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["data=nowhere.csv"], "nowhere.csv cannot be read: No such file"),
        (["data={}"], "2 columns; say which one, by name or number: day, price"),
        (["data={}", "column=prize"], "no column 'prize'; its first line is day, price"),
        (["data={}", "column=2"], "has 2 columns, no column 2"),
        (["data={}", "column=1", "order=50"], "120 values are too few"),
        (["column=price"], "say which with data"),
    ],
)
def test_a_file_that_does_not_serve_is_one_clear_line(
    settings: list[str], words: str, folder: Path, cli: Cli, tmp_path: Path
) -> None:
    given = [part for s in settings for part in ("--set", s.format(folder / "prices.csv"))]
    code, out, err = cli("train", "ar", "--out", tmp_path / "r", *given)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_the_report_shows_pictures_for_light_and_dark_pages(folder: Path) -> None:
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count('prefers-color-scheme: dark)" srcset') == 3  # loss, samples, forecast
    assert 'class="pixels"' not in page


def test_a_run_whose_file_is_gone_says_so(folder: Path, cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "x.csv"
    data.write_text((folder / "prices.csv").read_text())
    cli("train", "ar", "--fast", "--steps", 2, "--out", tmp_path / "r", "--set", f"data={data}",
        "--set", "column=1")  # fmt: skip
    data.unlink()
    code, _, err = cli("sample", tmp_path / "r")
    assert code == 2
    assert err.startswith(f"minigen: {data} cannot be read: No such file")


def test_how_a_wave_is_chosen(cli: Cli, tmp_path: Path) -> None:
    """At temperature 0, and among one, chance has no part; otherwise it has."""
    code, _, _ = cli("train", "wavenet", "--fast", "--steps", 2, "--out", tmp_path / "r",
                     "--set", "layers=2")  # fmt: skip
    assert code == 0
    found = {}
    for seed in (0, 1):
        for name, how in (("plain", ()), ("cold", ("--temperature", 0)), ("one", ("--top-k", 1)),
                          ("nucleus", ("--top-p", 0))):  # fmt: skip
            out = tmp_path / f"{name}{seed}.csv"
            assert (
                cli("sample", tmp_path / "r", "-n", 20, "--seed", seed, "--out", out, *how)[0] == 0
            )
            found[name, seed] = read_series(out).tolist()
    same = [found[name, seed] for name in ("cold", "one", "nucleus") for seed in (0, 1)]
    assert all(each == same[0] for each in same)
    assert found["plain", 0] != found["plain", 1]
    code, _, err = cli("sample", tmp_path / "r", "--prompt", "x")
    assert (code, "--prompt is for text" in err) == (2, True)
