"""What a part may not use is found in the text, wherever its function leads; nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigen.classroom.assignment import Assignment
from minigen.classroom.grading import grade
from minigen.classroom.own_work import refused

GIVEN = "import numpy as np\nfrom numpy import matmul as product\nc = np.dot(1, 2)\n"
LOOPS = (
    "def inner(a, b):\n    c = a * b\n    return c\n\n"
    "def mine(a, b):\n    dot = inner(a, b)\n    return mine(a, dot) if a else 0\n"
)
WITHOUT = ("@", "dot", "mat*", "given")


def test_names_of_one_s_own_are_nobody_s_business() -> None:
    """A local variable may be called as a forbidden function, or as what another cell computes."""
    assert refused([GIVEN, LOOPS], "mine", WITHOUT) == ""
    assert refused([GIVEN], "mine", WITHOUT) == ""
    assert refused([GIVEN, "def mine(a, b:"], "mine", WITHOUT) == ""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def mine(a, b):\n    return a @ b", "@ (line 2 of the cell of mine)"),
        ("def mine(a, b):\n    a @= b", "@ (line 2 of the cell of mine)"),
        ("def mine(a, b): return np.dot(a, b)", "dot (line 1 of the cell of mine)"),
        ("def mine(a, b): return a.dot(b)", "dot (line 1 of the cell of mine)"),
        ("def mine(a, b): return product(a, b)", "matmul (line 2 of cell 1)"),
        ("def mine(a, b):\n    from numpy import matvec\n    return matvec", "matvec (line 2"),
        ("f = np.dot\ndef mine(a, b): return f(a, b)", "dot (line 1 of the cell of mine)"),
        ("def f(a, b): return a @ b\n\n\nmine = f", "@ (line 1 of the cell of f)"),
        ("class F:\n    def g(a): return a @ a\ndef mine(a, b): return F.g(a)", "@ (line 2"),
        ("f = [each for each in (np.dot,)][0]\nmine = f", "dot (line 1 of cell 2)"),
        ("def g():\n    global f\n    f = np.dot\ndef mine(a, b): return f(a, b)", "dot (line 3"),
        ("def given(a, b): return 1\ndef mine(a, b): return given(a, b)", "given (line 2"),
        (
            "def mine(a, b): return getattr(np, 'do' + 't')(a, b)",
            "getattr (line 1 of the cell of mine)",
        ),
        (
            "def mine(a, b): return np.__dict__['dot'](a, b)",
            "__dict__ (line 1 of the cell of mine)",
        ),
    ],
)
def test_a_forbidden_name_is_found(code: str, told: str) -> None:
    assert refused([GIVEN, code], "mine", WITHOUT).startswith(f"mine uses {told}")


SOURCE = '''# %%
import math


def given(name, x):
    return globals()[name](x)


# %% solution="root" without="sqrt"
def root(x):
    # BEGIN SOLUTION
    return x ** 0.5
    # END SOLUTION

# %% test="root" points=2
def test_root(given):
    """the root"""
    assert given("root", 9.0) == 3.0

# %% solution="twice"
def twice(x):
    # BEGIN SOLUTION
    return 2 * x
    # END SOLUTION

# %% test="twice" points=1
def test_twice(twice):
    """two times"""
    assert twice(2) == 4
'''


def test_a_part_that_uses_it_gets_nothing_and_the_others_their_points(tmp_path: Path) -> None:
    (tmp_path / "a0.py").write_text(SOURCE, encoding="utf-8")
    task = Assignment.load(tmp_path / "a0.py")
    assert task.imports == ("math",)
    assert task.tests[0].wants == ("given",)
    assert grade(task, task.solution()).earned == 3
    result = grade(task, [*task.solution(), "def root(x): return math.sqrt(x)"])
    assert [o.earned for o in result.outcomes] == [0, 1]
    assert "root uses sqrt (line 1 of the cell of root)" in result.outcomes[0].message
