"""The time that a process took itself, on a machine that does other things as well.

On Linux the kernel counts, for every thread, how long it was ready to run and had to wait for a
core. Taken off the time on the wall, what is left is that of working and of sleeping. Threads that
work for each other could turn work into such waiting; so it is never less than the time that all
threads of the process together were on a core.

Neither number comes from the process itself. Where they are not to be had, wall time is taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

Elapsed = Callable[[], float]  # seconds since it was made, or that are left
MOST = 3  # times its seconds that a process may have on the wall
SHORTEST = 0.01  # seconds before one that waits for a core is looked at again


def wall() -> Elapsed:
    """Starts a clock on the wall."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began


def own_time(process: int) -> Elapsed:
    """Starts a clock for what this thread asks of a process, or of its only child.

    >>> import os
    >>> elapsed = own_time(os.getpid())
    >>> time.sleep(0.01)
    >>> 0.009 < elapsed() < 60
    True
    """
    worker = _worker(process)
    threads = {worker, threading.get_native_id()}  # one, if a thread asks something of itself
    began, waited, busy = time.perf_counter(), sum(map(_waited, threads)), _busy(worker)

    def elapsed() -> float:
        own = time.perf_counter() - began - (sum(map(_waited, threads)) - waited)
        return max(own, _busy(worker) - busy)

    return elapsed


def time_left(seconds: float, process: int) -> Elapsed:
    """Starts to count down the seconds that a process has for what this thread asks of it.

    What takes longer than a fifth of them is from then on timed by what it took itself, so that
    nobody fails because the machine was busy; three times the seconds on the wall end it anyway.

    >>> import os
    >>> left = time_left(60, os.getpid())
    >>> 0 < left() <= 60
    True
    """
    passed, first = wall(), seconds / 5
    own: Elapsed | None = None

    def left() -> float:
        nonlocal own
        if passed() < first:
            return first - passed()
        own = own or own_time(process)
        still = min(seconds - first - own(), MOST * seconds - passed())
        return max(SHORTEST, still) if still > 0 else 0.0

    return left


def _worker(process: int) -> int:
    """In a namespace of its own, what runs is a child (`confinement.isolate`)."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return process
    return int(children[0]) if len(children) == 1 else process


def _waited(thread: int) -> float:
    """Seconds for which a thread was ready to run and did not."""
    try:
        return int(Path(f"/proc/{thread}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _busy(process: int) -> float:
    """Seconds for which threads of a process were on a core."""
    try:
        return time.clock_gettime((~process << 3) | 2)  # clock_getcpuclockid(3), as Linux has it
    except (OSError, AttributeError, OverflowError):
        return 0.0
