"""Progress: what a terminal and what a file sees."""

from __future__ import annotations

import io

import pytest

from minigen.training import PlainProgress, RichProgress, progress
from minigen.training.progress import Pace, duration


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("minigen.training.progress.time.perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_pace_is_that_of_the_last_seconds(clock: Clock) -> None:
    pace = Pace(steps=1000, done=100)
    for i in range(1, 6):  # ten steps a second
        clock.now += 1
        speed, left = pace.at(100 + 10 * i)
    assert speed == pytest.approx(10)
    assert left == pytest.approx(85)
    for i in range(1, 21):  # then twenty
        clock.now += 1
        speed, left = pace.at(150 + 20 * i)
    assert speed == pytest.approx(20)
    assert left == pytest.approx((1000 - 550) / 20)


def test_plain_lines_come_every_few_seconds_and_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    plain = PlainProgress(stream)
    plain.start("vae", steps=40, done=0)
    for step in range(1, 41):
        clock.now += 0.5
        plain.update(step, {"loss": 100.0 - step})
    plain.stop()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0] == "vae  step 10/40  loss 90.0000  2 steps/s  15 s left"
    assert lines[-1] == "vae  step 40/40  loss 60.0000  2 steps/s  0 s left"
    assert "\x1b" not in stream.getvalue()


def test_a_bar_shows_loss_speed_and_time_left() -> None:
    from rich.console import Console

    stream = io.StringIO()
    bar = RichProgress(Console(file=stream, force_terminal=True, width=100))
    bar.start("gpt", steps=10, done=4)
    bar.line("compiling [kernel] x")
    bar.update(7, {"loss": 1.25})
    bar.stop()
    shown = stream.getvalue()
    for part in ("gpt", "7/10", "loss 1.2500", "steps/s", "left", "compiling [kernel] x"):
        assert part in shown


def test_plain_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert isinstance(progress.for_terminal(), PlainProgress)


def test_duration_rounds_as_people_do() -> None:
    assert [duration(s) for s in (0.2, 59.4, 59.6, 3599.7, 3600)] == [
        "0 s", "59 s", "1 min 0 s", "1 h 0 min", "1 h 0 min",
    ]  # fmt: skip
