"""A chapter's cells run one after another in a process of their own, and what each of them printed,
showed and claimed.

That process has one thread for NumPy and Numba. As each cell ends it tells about it, a line of
JSON on what was its standard output; what the code prints is a part of what is told.
"""

from __future__ import annotations

import base64
import io
import json
import linecache
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from minigen.chapters.chapter import Chapter

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
}


class ChapterError(RuntimeError):
    """A cell failed; the message names the cell and the line."""


@dataclass(frozen=True)
class Shown:
    """A picture, PNG bytes or SVG text, as `lesson.show` was given it."""

    content: bytes | str
    name: str
    caption: str


@dataclass(frozen=True)
class Output:
    """parts: what a cell printed and showed, in order; claims: the texts of the claims it made."""

    parts: tuple[str | Shown, ...]
    claims: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True)
class Execution:
    """outputs: by the line of each code cell; warnings: what stood on standard error; seconds: of
    one processor."""

    outputs: Mapping[int, Output]
    warnings: str
    seconds: float


def execute(
    chapter: Chapter,
    *,
    fast: bool = False,
    limit: float | None = None,
    environment: Mapping[str, str] | None = None,
    watch: Callable[[int, int], None] = lambda done, cells: None,
) -> Execution:
    """Run every cell of code.

    limit: seconds after which it is stopped. environment: of the process, instead of this one's.
    watch: is told, after each cell, how many have run of how many.
    Raises ChapterError if a cell fails, or the process does not live to its end.
    """
    command = [sys.executable, "-m", "minigen.chapters.execution", str(chapter.file.resolve())]
    cells = list(chapter.code())
    outputs: dict[int, Output] = {}
    last: dict[str, Any] = {}
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command + ["--fast"] * fast,
            env={**(os.environ if environment is None else environment), **ONE_THREAD},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        )
        assert child.stdout is not None
        clock = threading.Timer(limit or 0, child.kill)
        if limit is not None:
            clock.start()
        try:
            for line in child.stdout:
                last = json.loads(line)
                if "parts" in last:
                    outputs[last["line"]] = _read_output(last)
                    watch(len(outputs), len(cells))
        finally:
            clock.cancel()
            child.kill()  # if this process is being stopped; else it has ended
            child.wait()
            child.stdout.close()
        errors.seek(0)
        warnings = errors.read().decode(errors="replace")
    if "failed" in last:
        raise ChapterError(last["failed"])
    if "seconds" not in last:
        following = cells[len(outputs)].line if len(outputs) < len(cells) else 0
        why = f"no end within {limit:g} s, or the process died" if limit else "the process died"
        raise ChapterError(f"{chapter.file.name}, the cell at line {following}: {why}\n{warnings}")
    return Execution(outputs, warnings, last["seconds"])


def _read_output(told: Mapping[str, Any]) -> Output:
    parts: list[str | Shown] = []
    for part in told["parts"]:
        if isinstance(part, str):
            parts.append(part)
        else:
            content = part.get("svg") or base64.b64decode(part["png"])
            parts.append(Shown(content, part["name"], part["caption"]))
    return Output(tuple(parts), tuple(told["claims"]))


# The rest runs in the other process.


def _main(file: Path, tell: Callable[[Mapping[str, Any]], None]) -> None:
    """Run the cells in a module that is `__main__`, as in the script."""
    from minigen.chapters import lesson

    chapter = Chapter.load(file)
    module = types.ModuleType("__main__")
    module.__file__ = str(file)
    sys.modules["__main__"] = module
    sys.path[0] = str(file.parent)
    sys.argv = [str(file), *sys.argv[2:]]
    linecache.checkcache(str(file))
    for cell in chapter.code():
        printed, claims = _Printed(), list[str]()
        lesson.view_with(printed.show)
        lesson.listen_with(claims.append)
        try:
            code = compile("\n" * cell.line + cell.text, str(file), "exec")
            with redirect_stdout(printed):
                exec(code, module.__dict__)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            tell({"failed": _explained(error, file, cell.line)})
            return
        tell({"line": cell.line, "parts": printed.parts, "claims": claims})
    tell({"seconds": time.process_time()})


class _Printed(io.TextIOBase):
    """The parts of a cell's output: a stream for what is printed, and a viewer of pictures."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def write(self, text: str) -> int:
        if self.parts and isinstance(self.parts[-1], str):
            self.parts[-1] += text
        elif text:
            self.parts.append(text)
        return len(text)

    def show(self, content: bytes | str, name: str, caption: str) -> None:
        if isinstance(content, str):
            told = {"svg": content}
        else:
            told = {"png": base64.b64encode(content).decode()}
        self.parts.append({**told, "name": name, "caption": caption})


def _explained(error: BaseException, file: Path, cell: int) -> str:
    """Which cell and line failed and why, then the frames from the chapter on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [place for place, frame in enumerate(frames) if frame.filename == str(file)]
    line = error.lineno if isinstance(error, SyntaxError) else None
    if own:
        line = frames[own[-1]].lineno
    head = f"{file.name}, line {line or cell}, in the cell at line {cell}: "
    what = traceback.format_exception_only(error)
    trace = traceback.format_list(frames[own[0] if own else len(frames) :])
    return "".join([head, what[-1], *what[:-1], *trace]).rstrip()


def _channel() -> TextIO:
    """What was standard output; from now on, what is written there directly is an error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return channel


if __name__ == "__main__":
    told = _channel()
    _main(Path(sys.argv[1]), lambda what: print(json.dumps(what), file=told, flush=True))
