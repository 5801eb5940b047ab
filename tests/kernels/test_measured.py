"""The user's own table of defaults: written by tuning, used where it fits, else left aside."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from minigen.kernels import measured, registry, tuning
from minigen.kernels.examples import EXAMPLES

from minigen import kernels

ROWS = {"erf": {"float32": ((1000, "numpy", 0.5), (sys.maxsize, "numba", 7.0))}}
SMALL, LARGE = np.zeros(900, np.float32), np.zeros(1100, np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MINIGEN_CACHE", str(tmp_path))
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


def forget() -> None:
    measured.own.cache_clear()
    registry.forget_plans()


def chosen(array: np.ndarray) -> str:
    function = kernels.select("erf", array)
    return "numpy" if function is kernels.get("erf", "numpy") else "numba"


def test_what_was_measured_here_decides(own_cache: Path) -> None:
    assert measured.save(ROWS, threads=2) == own_cache / "kernels.json"
    registry.forget_plans()
    assert [chosen(SMALL), chosen(LARGE)] == ["numpy", "numba"]
    expected = "erf: numba, measured 7 times as fast as numpy, on this machine"
    assert kernels.why("erf", LARGE) == expected
    assert "numpy up to 1,000 elements" in kernels.why("erf")
    assert "on this machine" not in kernels.why("gelu")  # not measured here: the package's own


def test_saving_keeps_what_was_measured_before() -> None:
    measured.save(ROWS, threads=1)
    measured.save({"gelu": {"float32": ((sys.maxsize, "numpy", 0.9),)}}, threads=1)
    assert set(measured.own()) == {"erf", "gelu"}


@pytest.mark.parametrize(
    "content",
    [
        {"processor": "another", "measured": ROWS},
        {"processor": measured.processor(), "measured": {"erf": {"float32": [[9, "numba", 2]]}}},
        {
            "processor": measured.processor(),
            "measured": {"erf": {"float32": [[sys.maxsize, "a rung that is gone", 2]]}},
        },
    ],
)
def test_a_table_that_does_not_fit_is_left_aside(own_cache: Path, content: dict) -> None:
    """Of another processor; without an end; with a rung that does not exist."""
    before = kernels.why("erf", LARGE)
    (own_cache / "kernels.json").write_text(json.dumps(content))
    forget()
    assert kernels.why("erf", LARGE) == before
    kernels.select("erf", LARGE)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"processor": "PROCESSOR"}', '{"processor": "PROCESSOR", "measured": 3}']
)
def test_a_broken_file_is_reported_and_not_used(own_cache: Path, text: str) -> None:
    before = kernels.why("erf", LARGE)
    file = own_cache / "kernels.json"
    file.write_text(text.replace("PROCESSOR", measured.processor()))
    forget()
    if text == "[]":  # no table at all, of no processor
        assert kernels.why("erf", LARGE) == before
        return
    with pytest.warns(UserWarning, match="kernels.json is not used"):
        assert kernels.why("erf", LARGE) == before


def test_every_operation_that_numba_computes_has_an_example() -> None:
    for name in kernels.operations():
        assert name in EXAMPLES, f"kernels/examples.py has no call of {name}"


@pytest.mark.parametrize("name", kernels.operations())
def test_both_candidates_agree_on_the_examples(name: str) -> None:
    """The calls are right: shapes fit, and the two rungs compute the same."""
    record = registry.operation(name)
    compared = tuning.candidates(record)
    assert compared is not None, f"{name} has no Numba rung to compare"
    for example in EXAMPLES[name].values():
        for size in (64, 3000):
            results = []
            for rung in compared:
                rng = np.random.default_rng(5)
                arguments = example(size, lambda *s, r=rng: r.standard_normal(s))
                assert arguments[record.sized_by].size <= 2 * size
                result = rung.function(*arguments)
                results.append(arguments[:4] if result is None else result)
            for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in results)):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_neighbours_with_the_same_winner_become_one_class() -> None:
    points = [
        tuning.Point("erf", "float32", size, 1e-5, speed, speed > 1.1)
        for size, speed in [(64, 0.5), (256, 0.5), (1024, 2.0), (4096, 8.0)]
    ]
    assert tuning.classes(points, "numpy", "numba") == (
        (512, "numpy", 0.5),
        (sys.maxsize, "numba", 4.0),
    )


def test_tuning_prefers_the_faster_where_it_saves_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as fast everywhere; a call takes 10 ns an element."""
    monkeypatch.setattr(
        tuning, "compare", lambda first, second, rounds: (first.args[0].size * 1e-8, 0.5)
    )
    points = list(tuning.measure(registry.operation("erf"), ["float32"]))
    assert [point.wins for point in points] == [size * 0.5e-8 >= 20e-6 for size in tuning.SIZES]
