"""A student's work, and calls of its functions in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minigen.classroom import wire
from minigen.classroom.confinement import Limits
from minigen.classroom.nursery import nursery
from minigen.classroom.source import SourceError, parse
from minigen.classroom.stopwatch import Elapsed, own_time, time_left, wall

MOST_PRINTED = 2000  # characters of what a submission prints
MOST_ERRORS = 10  # of cells
STARTING = 2.0  # seconds that a new process may take besides
MOST_BYTES = 5 * 2**20  # of a submission
TEST = re.compile(r"^def (\w+)\(", re.MULTILINE)


class SubmissionError(Exception):
    """A submission cannot be read, or failed where a result was asked of it."""


def read_submission(path: Path) -> list[str]:
    """The code of a .py or .ipynb file, cell by cell, without the tests that were handed out.

    A .py file without marks is one cell. Raises SubmissionError for what is no such file: a link,
    for one, could lead to the solution.
    """
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise SubmissionError("it is not a file, but a link, a folder or a device")
        if about.st_size > MOST_BYTES:
            raise SubmissionError(f"it is larger than {MOST_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SubmissionError(f"it cannot be read: {error}") from error
    if path.suffix == ".ipynb":
        return _notebook(text)
    try:
        cells = parse(text)
    except SourceError:
        cells = []  # their own marks, of another kind
    if not cells:
        return [text]
    before = text.splitlines()[: cells[0].line - 1]
    found = [
        _silenced(c.text) if "test" in c.options else c.text for c in cells if c.kind == "code"
    ]
    return ["\n".join(before), *found] if any(map(str.strip, before)) else found


def _notebook(text: str) -> list[str]:
    try:
        found = []
        for cell in json.loads(text)["cells"]:
            source = cell["source"]
            source = source if isinstance(source, str) else "".join(source)
            told = cell.get("metadata", {})
            test = "test" in told.get("minigen", {}) or told.get("nbgrader", {}).get("grade")
            if cell["cell_type"] == "code":
                lines = source.splitlines()
                code = "\n".join("" if line.startswith(("%", "!")) else line for line in lines)
                found.append(_silenced(code) if test else code)
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SubmissionError("it is not a notebook") from error


def _silenced(code: str) -> str:
    """For a test that was handed out, one that does nothing: other cells may call it.

    >>> _silenced("def test_double(double, seed=0):\\n    assert double(2) == 4")
    'def test_double(*_, **__): pass'
    """
    return "\n".join(f"def {name}(*_, **__): pass" for name in TEST.findall(code))


class Submission:
    """The functions of a submission, run in a child process that is started again when it ends.

    cells: its code. hidden: folders and files it may not see. imports: modules that it will import,
    loaded once for all submissions. A call raises SubmissionError, in words for the student, when
    the function is missing, fails, or takes too long.
    """

    def __init__(
        self,
        cells: Sequence[str],
        hidden: Sequence[Path] = (),
        limits: Limits | None = None,
        imports: Sequence[str] = (),
    ) -> None:
        self.cells, self.limits = list(cells), limits or Limits()
        self.hidden = [str(path.resolve()) for path in hidden if path.exists()]
        self.imports = tuple(imports)
        self.in_force: list[str] = []
        self.errors: list[str] = []  # of cells, when they were loaded
        self.broken = ""  # why it cannot be loaded at all
        self._process: int | None = None
        self._spent = 0.0  # seconds

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def function(self, name: str, seconds: float | None = None) -> Callable[..., Any]:
        """What a test calls in the student's place; seconds: for a call, instead of the limits'."""

        def call(*arguments: Any) -> Any:
            return self.call(name, *arguments, seconds=seconds)

        call.__name__ = name
        return call

    def call(self, name: str, *arguments: Any, seconds: float | None = None) -> Any:
        """One of its functions. Functions among the arguments may be called back."""
        seconds = seconds or self.limits.seconds
        allowed = self.limits.total_seconds
        if self._spent >= allowed:
            raise SubmissionError(f"not run: what was run before it took {allowed:g} seconds")
        began = time.monotonic()
        try:
            left = time_left(seconds, self._start())
            return self._call(name, arguments, left)
        except wire.TooLate:
            self.stop()
            raise SubmissionError(f"{name} took longer than {seconds:g} seconds") from None
        except wire.Ended:
            self.stop()
            raise SubmissionError(f"{name} ended the process it ran in") from None
        except wire.WireError as error:
            self.stop()
            raise SubmissionError(f"{name} wrote where only results belong: {error}") from None
        finally:
            self._spent += time.monotonic() - began

    def _call(self, name: str, arguments: Sequence[Any], left: Elapsed) -> Any:
        callbacks: list[Callable[..., Any]] = []
        wire.send(self._write, ["call", name, _numbered(arguments, callbacks)])
        while True:
            answer = wire.receive(self._read, left)
            match answer:
                case ["result", value]:
                    return value
                case ["error", str(text)]:
                    raise SubmissionError(text)
                case ["callback", int(number), (*given,)] if 0 <= number < len(callbacks):
                    wire.send(self._write, _answered(callbacks[number], given))
                case _:
                    raise wire.WireError("an answer of no known form")

    def _start(self) -> int:
        if self.broken:
            raise SubmissionError(self.broken)
        if self._process is not None:
            return self._process
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop
        theirs_read, self._write = os.pipe()
        self._read, theirs_write = os.pipe()
        try:
            self._process = nursery(self.imports).fork(
                theirs_read, theirs_write, self._output.fileno()
            )
        except OSError:
            self._close()
            raise
        finally:
            os.close(theirs_read)
            os.close(theirs_write)
        limits = dataclasses.asdict(self.limits)
        try:
            wire.send(self._write, {"cells": self.cells, "limits": limits, "hidden": self.hidden})
            told = wire.receive(
                self._read, time_left(STARTING + self.limits.seconds, self._process)
            )
            self.in_force, self.errors = list(told["in_force"]), _first(told["errors"])
        except wire.TooLate:
            self.broken = f"loading it took longer than {self.limits.seconds:g} seconds"
        except wire.Ended:
            self.broken = "loading it ended the process it ran in"
        except (wire.WireError, KeyError, TypeError):
            self.broken = "loading it wrote where only results belong"
        if self.broken:
            self.stop()
            raise SubmissionError(self.broken)
        return self._process

    def printed(self) -> str:
        """The beginning of what it printed since it was started."""
        if self._process is None:
            return ""
        self._output.seek(0)
        return self._output.read(MOST_PRINTED).decode("utf-8", "replace")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Within it, nothing of the submission runs."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def stopwatch(self) -> Elapsed:
        """Starts a clock for a call, which does not count how long it waits for a core."""
        return wall() if self._process is None else own_time(self._process)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            for kill in (os.killpg, os.kill):  # it may have left its group
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(self._process, number)

    def stop(self) -> None:
        """End its process and all that it started."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process = None
        self._close()

    def _close(self) -> None:
        os.close(self._read)
        os.close(self._write)
        self._output.close()


def _first(errors: list[Any]) -> list[str]:
    more = len(errors) - MOST_ERRORS
    told = [str(error)[:MOST_PRINTED] for error in errors[:MOST_ERRORS]]
    return told if more <= 0 else [*told, f"and {more} more"]


def _numbered(value: Any, callbacks: list[Callable[..., Any]]) -> Any:
    """The arguments, their functions replaced by numbers."""
    if isinstance(value, dict):
        return {key: _numbered(each, callbacks) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_numbered(each, callbacks) for each in value)
    if callable(value):
        callbacks.append(value)
        return {"callback": len(callbacks) - 1}
    return value


def _answered(function: Callable[..., Any], arguments: Sequence[Any]) -> list:
    try:
        value = function(*arguments)
        wire.encode(value)
    except Exception as error:
        return ["error", f"{type(error).__name__}: {error}"]
    return ["result", value]
