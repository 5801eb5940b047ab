"""How a run shows how far it is: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

SECONDS_BETWEEN_LINES = 5.0


class Progress(Protocol):
    def start(self, name: str, steps: int, done: int) -> None:
        """Training `name` begins, or goes on after `done` of so many steps."""

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        """A step is done."""

    def line(self, text: str) -> None:
        """Something worth a line of its own."""

    def stop(self) -> None:
        """Training ends, in whatever way."""


class Silent:
    """Shows nothing."""

    def start(self, name: str, steps: int, done: int) -> None:
        pass

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def stop(self) -> None:
        pass


class Pace:
    """Steps a second, lately, and the time left: an average over about the last 10 seconds."""

    def __init__(self, steps: int, done: int) -> None:
        self.steps = steps
        self._marks = [(time.perf_counter(), done)]

    def at(self, step: int) -> tuple[float, float]:
        """(steps a second, seconds left) after `step`."""
        now = time.perf_counter()
        if now - self._marks[-1][0] >= 1.0:
            self._marks = [*self._marks[-10:], (now, step)]
        since, before = self._marks[0]
        speed = (step - before) / max(now - since, 1e-9)
        return speed, (self.steps - step) / speed if speed > 0 else float("inf")


class PlainProgress:
    """A line every few seconds, such as

    vae  step 1200/2000  loss 113.9542  101 steps/s  8 s left
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._name, self._printed = "", 0.0

    def line(self, text: str) -> None:
        print(text, file=self._stream or sys.stdout, flush=True)

    def start(self, name: str, steps: int, done: int) -> None:
        self._name, self._pace, self._printed = name, Pace(steps, done), time.perf_counter()

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if now - self._printed < SECONDS_BETWEEN_LINES and step < self._pace.steps:
            return
        self._printed = now
        speed, left = self._pace.at(step)
        self.line(
            f"{self._name}  step {step}/{self._pace.steps}  {describe(losses)}  "
            f"{speed:.3g} steps/s  {duration(left)} left"
        )

    def stop(self) -> None:
        pass


class RichProgress:
    """A bar with losses, steps a second and the time left."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console

        self._console = console or Console()

    def line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def start(self, name: str, steps: int, done: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._pace = Pace(steps, done)
        self._bar = Bar(
            TextColumn("[bold]{task.description}[/bold]"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TextColumn("[dim]{task.fields[speed]}[/dim]"),
            console=self._console,
        )
        self._task = self._bar.add_task(name, total=steps, completed=done, losses="", speed="")
        self._bar.start()

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        speed, left = self._pace.at(step)
        self._bar.update(
            self._task,
            completed=step,
            losses=describe(losses),
            speed=f"{speed:.3g} steps/s, {duration(left)} left",
        )

    def stop(self) -> None:
        self._bar.stop()


def for_terminal() -> Progress:
    """A bar if standard output is a terminal, else plain lines."""
    return RichProgress() if sys.stdout.isatty() else PlainProgress()


def describe(losses: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in losses.items())


def duration(seconds: float) -> str:
    """In words, for a person.

    >>> duration(8.4), duration(125), duration(7325), duration(float("inf"))
    ('8 s', '2 min 5 s', '2 h 2 min', '? s')
    """
    if seconds == float("inf"):
        return "? s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
