"""`minigen gradcheck`: right, wrong, and what cannot be checked as given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from minigen.cli import main

Cli = Callable[..., tuple[int, str, str]]

FILE = """
import numpy as np
import minigen
from minigen import nn


def cube(x):
    return x**3


def power(x, exponent):
    return x**exponent


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def right(g, x):
    y = softmax(x)
    return y * (g - (y * g).sum(-1, keepdims=True))


def wrong(g, x):
    return g * softmax(x)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        return self.linear(x).tanh()


class Wide(nn.Linear):
    pass


layer, number = Layer().double(), 3
"""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "broken.py").write_text("1 / 0\n")

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["gradcheck", *args])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.mark.parametrize(
    "args",
    [
        ("mine.py:cube", "--input", "3x4"),
        ("mine:cube", "--input", "scalar"),
        ("mine.py:softmax,right", "--input", "3x4"),
        ("mine.py:Layer", "--input", "5x4"),
        ("mine.py:layer", "--input", "5x4"),
        ("mine.py:power", "--input", "3:positive", "--set", "exponent=2.5"),
        ("minigen.nn.functional:softmax", "--input", "3x4", "--set", "dim=-1"),
        ("minigen.nn.functional:cross_entropy", "--input", "4x3", "--input", "4:int3"),
        ("minigen:acos", "--input", "3:unit"),
        ("minigen.nn:Tanh", "--input", "3", "--order", "1", "--seeds", "1"),
    ],
)
def test_right_gradients(cli: Cli, args: tuple) -> None:
    code, out, err = cli(*args)
    assert (code, err) == (0, "")
    assert "gradients agree" in out


def test_wrong_gradients_are_explained_with_exit_code_1(cli: Cli) -> None:
    code, out, err = cli("mine.py:softmax,wrong", "--input", "3x4")
    assert (code, err) == (1, "")
    assert out.startswith("softmax: wrong gradients\ngradient of x: the term [the sum in the denom")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("mine.py",), "is not MODULE:FUNCTION"),
        (("mine.py:",), "is not MODULE:FUNCTION"),
        (("absent.py:f",), "there is no file absent.py"),
        (("absent:f",), "absent cannot be imported"),
        (("broken.py:f",), "ZeroDivisionError"),
        (("mine.py:absent",), "mine.py has no absent"),
        (("mine.py:number",), "is not a function or a module, but int"),
        (("mine.py:cube",), "--input SHAPE for each argument"),
        (("mine.py:cube", "--input", "3by4"), "is not a shape and kind"),
        (("mine.py:cube", "--input", "3:int0"), "no integer below 0"),
        (("mine.py:cube", "--input", "3:int4"), "nothing to check"),
        (("mine.py:cube", "--input", "3", "--input", "3"), "TypeError"),
        (("mine.py:cube", "--input", "3", "--set", "dim"), "NAME=VALUE"),
        (("mine.py:cube", "--input", "3", "--set", "dim=1"), "it has no argument dim"),
        (("mine.py:Wide", "--input", "3"), "cannot be made without arguments"),
        (("mine.py:softmax,right", "--input", "3x4", "--order", "2"), "no gradient of its own"),
        (("mine.py:a,b,c", "--input", "3"), "mine.py has no a"),
        (("mine.py:cube", "--input", "3", "--order", "3"), "less than or equal to 2"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(cli: Cli, args: tuple, words: str) -> None:
    code, out, err = cli(*args)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
