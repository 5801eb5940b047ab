"""Where minigen's time goes: how often each operation ran, and how long forward and backward took.

`table` puts a clock around the forward function and the gradient rules of every operation that
exists.  An operation that runs inside another's forward or rule counts as a part of that one.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any


class Clock:
    """Seconds and calls by (operation, phase), of whatever is not inside something timed."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = {}
        self.calls: dict[tuple[str, str], int] = {}
        self.busy = False

    def around(self, name: str, phase: str, function: Callable) -> Callable:
        key = (name, phase)

        def timed(*args: Any) -> Any:
            if self.busy:
                return function(*args)
            self.busy = True
            start = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds[key] = self.seconds.get(key, 0.0) + time.perf_counter() - start
                self.calls[key] = self.calls.get(key, 0) + 1
                self.busy = False

        return timed


def operations() -> list[FunctionType]:
    """Every differentiable operation of this process."""
    return [f for f in gc.get_objects() if type(f) is FunctionType and hasattr(f, "operation")]


@contextmanager
def timing(clock: Clock) -> Iterator[None]:
    """Inside, all operations report to the clock."""
    undo: list[Callable[[], Any]] = []
    for apply in operations():
        code, operation = apply.__code__, apply.operation  # type: ignore[attr-defined]
        if "compute" not in code.co_freevars:
            continue  # a function that only hands on to an operation
        cell = apply.__closure__[code.co_freevars.index("compute")]  # type: ignore[index]
        forward = cell.cell_contents
        cell.cell_contents = clock.around(operation.name, "forward", forward)
        undo.append(lambda cell=cell, forward=forward: setattr(cell, "cell_contents", forward))
        for rule in operation.rules:
            function = rule.function
            rule.function = clock.around(operation.name, "backward", function)
            undo.append(lambda rule=rule, f=function: setattr(rule, "function", f))
    try:
        yield
    finally:
        for restore in undo:
            restore()


def table(step: Callable[[], Any], steps: int) -> str:
    """A line for each operation, the costliest first; milliseconds and calls of one step.

    The optimizer, the recording and the walk back are what is left in "everything else".
    """
    for _ in range(3):
        step()
    clock = Clock()
    with timing(clock):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        total = time.perf_counter() - start
    return render(clock, total, steps)


def render(clock: Clock, total: float, steps: int) -> str:
    def milliseconds(seconds: float) -> str:
        return f"{seconds / steps * 1e3:9.3f}"

    names = {name for name, _ in clock.seconds}
    spent = {
        name: [clock.seconds.get((name, phase), 0.0) for phase in ("forward", "backward")]
        for name in names
    }
    lines = [f"{'operation':28} {'calls':>6} {'forward':>9} {'backward':>9} {'ms':>9} {'share':>6}"]
    for name in sorted(names, key=lambda name: -sum(spent[name])):
        calls = clock.calls.get((name, "forward"), 0) / steps
        forward, backward = spent[name]
        both = forward + backward
        lines.append(
            f"{name:28} {calls:6.0f} {milliseconds(forward)} {milliseconds(backward)} "
            f"{milliseconds(both)} {both / total:6.1%}"
        )
    rest = total - sum(map(sum, spent.values()))
    lines.append(f"{'everything else':55} {milliseconds(rest)} {rest / total:6.1%}")
    lines.append(f"{'a step':55} {milliseconds(total)}")
    return "\n".join(lines)
