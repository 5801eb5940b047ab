"""The timing harness on a clock that stands still unless a contender moves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import harness
import pytest


class Machine:
    """A clock, a count of the seconds this process had to wait for a core, and a diary."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.waited = 0.0
        self.diary: list[str] = []
        monkeypatch.setattr(harness.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(harness.time, "sleep", self.sleep)
        monkeypatch.setattr(harness, "_stalled", lambda: self.waited)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.diary.append("sleep")

    def contender(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        """One whose n-th call takes seconds(n)."""

        def run() -> None:
            self.diary.append(name)
            self.now += seconds(self.diary.count(name) - 1)

        return run


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_ratios_of_steady_contenders(machine: Machine) -> None:
    a, b = (machine.contender(name, lambda n, s=s: s) for name, s in (("a", 0.03), ("b", 0.012)))
    result = harness.compare({"a": a, "b": b}, rounds=5, block_seconds=0.01)
    assert result["a"]["ratio"] == 1
    assert result["b"]["ratio"] == pytest.approx(0.4)
    assert result["b"]["seconds"] == pytest.approx(0.012)
    assert result["disturbed_blocks"] == "0 of 10"


def test_the_ratio_is_the_median_of_the_ratios_within_rounds(machine: Machine) -> None:
    """The machine slows down from round to round; in every round b takes twice as long as a, and
    once, by accident, fifty times."""
    warm = 4  # three calls to warm up, one to size the block
    pace = [1.0, 2.0, 4.0, 8.0, 16.0]
    a = machine.contender("a", lambda n: 1.0 if n < warm else pace[n - warm])
    b = machine.contender(
        "b", lambda n: 2.0 if n < warm else pace[n - warm] * (50 if n == warm + 4 else 2)
    )
    result = harness.compare({"a": a, "b": b}, rounds=5, block_seconds=0.1)
    assert result["b"]["ratio"] == 2
    assert result["a"]["seconds"] == 4
    assert result["a"]["quartiles"] == [1.5, 12.0]


def test_contenders_take_turns_and_every_other_round_runs_backwards(machine: Machine) -> None:
    contenders = {name: machine.contender(name, lambda n: 1.0) for name in "abc"}
    harness.compare(contenders, rounds=3, block_seconds=0.1)
    assert "".join(machine.diary) == "aaaabbbbcccc" + "abc" + "cba" + "abc"


def test_a_block_holds_as_many_calls_as_fill_it(machine: Machine) -> None:
    a = machine.contender("a", lambda n: 0.01)
    harness.compare({"a": a}, rounds=2, block_seconds=0.1)
    assert machine.diary.count("a") == 4 + 2 * 10


def test_settling_pauses_and_warms_before_each_block(machine: Machine) -> None:
    a = machine.contender("a", lambda n: 1.0)
    harness.compare({"a": a}, rounds=2, block_seconds=0.1, settle_seconds=0.5)
    assert machine.diary[4:] == ["sleep", "a", "a"] * 2


def test_a_disturbed_block_is_repeated(machine: Machine) -> None:
    def run() -> None:
        machine.diary.append("a")
        disturbed = len(machine.diary) == 5  # the first measured call
        machine.now += 9.0 if disturbed else 1.0
        machine.waited += 8.0 if disturbed else 0.0

    result = harness.compare({"a": run}, rounds=3, block_seconds=0.1)
    assert result["disturbed_blocks"] == "1 of 4"
    assert result["a"]["quartiles"] == [1.0, 1.0]


def test_of_blocks_all_disturbed_the_least_so_counts(machine: Machine) -> None:
    waits = [0.0] * 4 + [0.9, 0.1, 0.5] * 2

    def run() -> None:
        wait = waits[machine.diary.count("a")]
        machine.diary.append("a")
        machine.now += 1.0 + wait
        machine.waited += wait

    result = harness.compare({"a": run}, rounds=2, block_seconds=0.1, retries=3)
    assert result["a"]["seconds"] == pytest.approx(1.1)
    assert result["disturbed_blocks"] == "6 of 6"


def test_waiting_is_counted_and_never_negative() -> None:
    assert harness._stalled() >= 0


def test_pin_tells_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in harness._THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
    harness.pin(3)
    assert {harness.os.environ[name] for name in harness._THREAD_VARIABLES} == {"3"}


def test_record_adds_the_facts_of_the_machine(tmp_path: Path) -> None:
    path = harness.record("speed", {"a": {"ratio": 0.5}}, tmp_path / "new")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == "speed.json"
    assert content["a"] == {"ratio": 0.5}
    assert {"processor", "cores", "python", "versions", "date"} <= set(content["machine"])
    assert "minigen" in content["machine"]["versions"]
