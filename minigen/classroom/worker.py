"""The process that runs a submission and answers calls of its functions. It holds no tests.

It is forked by `minigen.classroom.nursery`, with two open files on which it reads messages and
writes answers:

    first, a dictionary: cells, limits, hidden             -> what is in force, errors by cell
    ["call", name, arguments]                              -> ["result", value]
                                                           or ["error", text]
                                                           or ["callback", number, arguments]
                                                              which the grader answers, and waits on

A function among the arguments is {"callback": number}: the submission may call it, which is how a
student's gradient check is handed the functions to check.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen.classroom import confinement, nursery, wire
from minigen.classroom.seccomp import forbid_processes
from minigen.classroom.source import FUNCTION, title

LONGEST = 2000  # characters of an error
UNFIT = re.compile(r"^matmul: .*\(size (\d+) is different from (\d+)\)$")  # as NumPy says it


def main(read: int, write: int) -> None:
    """Answer until the grader is gone."""
    request = wire.receive(read)
    hidden = request["hidden"]
    confinement.give_up_root()
    confinement.limit(confinement.Limits(**request["limits"]))
    in_force = confinement.isolate(hidden)
    confinement.forbid(hidden)
    if forbid_processes():
        in_force = [*in_force, "no new processes"]
    module = sys.modules["submission"] = types.ModuleType("submission")  # dataclasses look it up
    space = vars(module)
    space["np"] = np
    cells = request["cells"]
    errors = [_run(cell, title(cell, n), space) for n, cell in enumerate(cells, 1)]
    lost = {name: e for cell, e in zip(cells, errors) if e for name in FUNCTION.findall(cell)}
    wire.send(write, {"in_force": in_force, "errors": [e for e in errors if e]})
    while True:
        try:
            _, name, arguments = wire.receive(read)
        except wire.Ended:
            return
        if name in lost and name not in space:
            wire.send(write, ["error", f"there is no {name}: {lost[name]}"])
        else:
            wire.send(write, _answer(space, name, arguments, read, write))


def _run(code: str, name: str, space: dict[str, Any]) -> str:
    """Run a cell; the error that ended it, or ""."""
    try:
        exec(compile(code, name, "exec", dont_inherit=True), space)
    except BaseException as error:
        return _told(error)
    return ""


def _answer(space: dict[str, Any], name: str, arguments: Any, read: int, write: int) -> list:
    function = space.get(name)
    if not callable(function):
        return ["error", f"there is no function {name}"]
    try:
        value = function(*_with_callbacks(arguments, read, write))
        wire.encode(value)
    except BaseException as error:
        return ["error", _told(error)]
    return ["result", value]


def _with_callbacks(value: Any, read: int, write: int) -> Any:
    """The arguments, {"callback": number} in them made functions."""
    if isinstance(value, dict):
        if set(value) == {"callback"}:
            return _callback(value["callback"], read, write)
        return {key: _with_callbacks(each, read, write) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_callbacks(each, read, write) for each in value)
    return value


def _callback(number: int, read: int, write: int) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        wire.send(write, ["callback", number, arguments])
        kind, value = wire.receive(read)
        if kind == "error":
            raise RuntimeError(value)
        return value

    return call


def _told(error: BaseException) -> str:
    """An error as a student wants it: what, and in which line of their code."""
    lines = [
        f"line {frame.lineno} of {frame.filename}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(("cell ", "the cell of "))
    ]
    said = UNFIT.sub(
        r"a matrix product of shapes that do not fit: \2 columns meet \1 rows", str(error)
    )
    if isinstance(error, SyntaxError) and error.lineno:
        said, lines = str(error.msg), [f"line {error.lineno} of {error.filename}"]
    if isinstance(error, NotImplementedError) and not str(error):
        return "not written yet"
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return (text + (f" ({lines[-1]})" if lines else ""))[:LONGEST]


if __name__ == "__main__":
    os.chdir("/")
    nursery.load(sys.argv[2:])
    nursery.serve(int(sys.argv[1]), main)
