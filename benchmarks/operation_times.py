"""Where minigen's time goes: how often each operation ran, and how long forward and backward took.

`timing` puts a clock around the forward function and the gradient rules of every operation that
exists, around the optimizers, and around every kernel that is chosen meanwhile.  An operation that
runs inside another's forward or rule counts as a part of that one, and so does a kernel; the time
in kernels is known besides.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

Place = tuple[str, str]  # an operation and a phase, forward or backward; or the optimizer's
OPTIMIZER = ("optimizer", "update")
WARM_UP = 3


class Clock:
    """Seconds and calls by place, of whatever is not inside something timed; and of the kernels."""

    def __init__(self) -> None:
        self.seconds: dict[Place, float] = defaultdict(float)
        self.calls: dict[Place, int] = defaultdict(int)
        self.kernels: dict[tuple[Place, str], float] = defaultdict(float)
        self.place: Place | None = None  # where we are
        self.kernel = ""  # and in which kernel

    @property
    def busy(self) -> bool:
        return self.place is not None

    def around(self, name: str, phase: str, function: Callable) -> Callable:
        place = (name, phase)

        def timed(*args: Any, **options: Any) -> Any:
            if self.place is not None:
                return function(*args, **options)
            self.place = place
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds[place] += time.perf_counter() - start
                self.calls[place] += 1
                self.place = None

        return timed

    def around_kernel(self, kernel: str, function: Callable) -> Callable:
        def timed(*args: Any, **options: Any) -> Any:
            if self.place is None or self.kernel:
                return function(*args, **options)
            self.kernel = kernel
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.kernels[self.place, kernel] += time.perf_counter() - start
                self.kernel = ""

        return timed


def operations() -> list[FunctionType]:
    """Every differentiable operation of this process."""
    return [f for f in gc.get_objects() if type(f) is FunctionType and hasattr(f, "operation")]


def rung_of(operation: str, function: Callable) -> str:
    """What the registry calls a function that it chose."""
    from minigen import kernels

    for rung in kernels.rungs(operation):
        known = rung.function
        if function is known or function is getattr(known, "_function", None):
            return rung.name
    return "first call"


@contextmanager
def timing(clock: Clock) -> Iterator[None]:
    """Inside, all operations, kernels and optimizers report to the clock."""
    from minigen import kernels
    from minigen.optim import Optimizer

    undo: list[Callable[[], Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        before = getattr(owner, name)
        setattr(owner, name, value)
        undo.append(lambda: setattr(owner, name, before))

    for apply in operations():
        code, operation = apply.__code__, apply.operation  # type: ignore[attr-defined]
        if "compute" not in code.co_freevars:
            continue  # a function that only hands on to an operation
        cell = apply.__closure__[code.co_freevars.index("compute")]  # type: ignore[index]
        forward = clock.around(operation.name, "forward", cell.cell_contents)
        replace(cell, "cell_contents", forward)
        for rule in operation.rules:
            replace(rule, "function", clock.around(operation.name, "backward", rule.function))
    select = kernels.select

    def timed_select(operation: str, *arrays: Any) -> Callable:
        function = select(operation, *arrays)
        return clock.around_kernel(f"{operation} {rung_of(operation, function)}", function)

    replace(kernels, "select", timed_select)
    replace(Optimizer, "step", clock.around(*OPTIMIZER, Optimizer.step))
    try:
        yield
    finally:
        for restore in undo:
            restore()


def profile(step: Callable[[], Any], steps: int) -> dict[str, Any]:
    """The shares of a step's time, in percent: by phase, and of each operation, costliest first.

    "between" is what is left: recording and walking back, random numbers, the recipe's own lines.
    """
    for _ in range(WARM_UP):
        step()
    clock = Clock()
    with timing(clock):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        total = time.perf_counter() - start
    return shares(clock, total, steps)


def shares(clock: Clock, total: float, steps: int) -> dict[str, Any]:
    """What `profile` returns, from what a clock has counted."""
    percent = 100 / total
    phases: dict[str, float] = {"forward": 0.0, "backward": 0.0, "update": 0.0}
    found: dict[str, dict[str, Any]] = {}
    for place, seconds in clock.seconds.items():
        name, phase = place
        phases[phase] += seconds * percent
        entry = found.setdefault(name, {"calls": 0.0, "forward": 0.0, "backward": 0.0})
        entry[phase] = seconds * percent
        if phase != "backward":
            entry["calls"] = clock.calls[place] / steps
        inside = entry.setdefault("kernels", {})
        for (where, kernel), spent in clock.kernels.items():
            if where == place:
                inside[kernel] = inside.get(kernel, 0.0) + spent * percent
    found.pop(OPTIMIZER[0], None)
    return {
        "seconds": total / steps,
        "phases": phases | {"between": 100 - sum(phases.values())},
        "kernels": sum(clock.kernels.values()) * percent,
        "operations": dict(
            sorted(found.items(), key=lambda item: -item[1]["forward"] - item[1]["backward"])
        ),
    }
