"""Work on several cores: parts of one job, handed to threads that sleep while there is none.

    each(function, parts)      function(part) for every part, on up to `threads()` threads
    set_threads(n)             how many; 1 computes in the caller's thread alone

Kernels hold no lock while they run, so plain Python threads are enough: starting a job costs about
20 microseconds, as much as a product of two 64 x 64 matrices, so only jobs of more than a few
hundred are split. Numba's own `prange` is not used. Its thread pools either wait by spinning, which
takes the cores from the BLAS that runs before and after (a GPT step was measured 13 times as slow
so), or abort the process when two Python threads call them at once, or in a forked child. This
pool does none of these: an idle thread sleeps, calls from several threads share the pool, a call
from inside a part runs in place, and a forked child starts with a pool of its own.

A kernel's parts write to disjoint places and are cut by the shapes alone, never by the number of
threads: results are the same bit for bit on any number of cores.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

__all__ = ["each", "set_threads", "threads"]


def _cores() -> int:
    """NUMBA_NUM_THREADS or OMP_NUM_THREADS if set, else the cores that this process may use."""
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        if (given := os.environ.get(variable, "")).isdigit() and int(given) > 0:
            return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads = _cores()
_inside = threading.local()  # .part is set in a thread that is working on a part


def threads() -> int:
    """On how many threads kernels compute."""
    return _threads


def set_threads(number: int) -> None:
    """Compute kernels on that many threads.

    >>> before = threads()
    >>> set_threads(1)
    >>> threads()
    1
    >>> set_threads(before)
    """
    global _threads
    if number < 1:
        raise ValueError(f"set_threads: expects a positive number of threads, got {number}")
    _threads = number


class _Pool:
    """Threads that wait for jobs, started as they are needed, never more than were asked for."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.started = 0
        self.lock = threading.Lock()

    def help_with(self, job: _Job, helpers: int) -> None:
        with self.lock:
            while self.started < helpers:
                self.started += 1
                threading.Thread(target=self._work, daemon=True, name="minigen-kernel").start()
        for _ in range(helpers):
            self.jobs.put(job)

    def _work(self) -> None:
        _inside.part = True
        while True:
            job = self.jobs.get()
            job.run()
            del job  # or the arrays of the last job would live until the next


class _Job:
    """Parts that threads take one after the other until none is left."""

    def __init__(self, function: Callable[[Any], Any], parts: Sequence[Any]) -> None:
        self.function, self.parts = function, parts
        self.next = itertools.count()  # next() is atomic
        self.left = len(parts)
        self.lock = threading.Lock()
        self.finished = threading.Lock()
        self.finished.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        while (index := next(self.next)) < len(self.parts):
            try:
                if self.error is None:
                    self.function(self.parts[index])
            except BaseException as error:  # whatever it is, the caller has to see it
                self.error = error
            with self.lock:
                self.left -= 1
                if self.left == 0:
                    self.finished.release()


_pool = _Pool()


def _forget() -> None:
    """In a forked child, where no thread of the parent's pool runs."""
    global _pool
    _pool = _Pool()
    _inside.__dict__.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def each(function: Callable[[Any], Any], parts: Sequence[Any]) -> None:
    """function(part) for every part, in any order and on several threads; raises what one raises.

    >>> found = [0] * 4
    >>> each(lambda i: found.__setitem__(i, i * i), range(4))
    >>> found
    [0, 1, 4, 9]
    """
    helpers = min(_threads, len(parts)) - 1
    if helpers < 1 or getattr(_inside, "part", False):
        for part in parts:
            function(part)
        return
    job = _Job(function, parts)
    _pool.help_with(job, helpers)
    _inside.part = True
    try:
        job.run()
    finally:
        _inside.part = False
    job.finished.acquire()
    if job.error is not None:
        raise job.error
