"""Work on several cores: parts of one job, handed to threads that sleep while there is none.

    each(function, parts)      function(part) for every part, on up to `threads()` threads
    set_threads(n)             how many; 1 computes in the caller's thread alone
    take_over()                kernels, not BLAS, have the other threads from now on

Kernels hold no lock while they run, so plain Python threads are enough. Numba's own `prange` is not
used: its thread pools either wait by spinning, or abort the process when two Python threads call
them at once, or in a forked child. Here an idle thread sleeps, calls from several threads share the
pool, a call from inside a part runs in place, and a forked child starts with a pool of its own.

Only one pool can have the cores. The threads of BLAS wait for the next product by spinning, some 25
milliseconds long, and a thread of another pool that would work meanwhile has to share the core with
them: convolutions in parts, between products on BLAS's threads, were no faster on two cores than on
one. But spinning threads begin sooner: waking one that sleeps takes about 90 microseconds, as long
as a product of 64 x 784 and 784 x 100, and after a pause the system leaves both on one core for
some 30 milliseconds. So there are two regimes:

    at first          products run on BLAS's threads, kernels on one: best for models of linear
                      layers, which are a hundred short products a step
    after take_over   products are cut into parts, each of which BLAS computes on one thread, and
                      kernels are, too: best where much is not a product. Layers of convolution,
                      recurrence and attention ask for it when they are made, their kernels when
                      they are first called

A kernel's parts write to disjoint places and are cut by the shapes alone, never by the number of
threads: results are the same bit for bit on any number of cores.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from . import blas

__all__ = ["each", "free", "set_threads", "threads"]


def _cores() -> int:
    """NUMBA_NUM_THREADS or OMP_NUM_THREADS if set, else the cores that this process may use."""
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        if (given := os.environ.get(variable, "")).isdigit() and int(given) > 0:
            return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads = _cores()
_taken = False  # whether kernels have the threads
_inside = threading.local()  # .part is set in a thread that is working on a part


def threads() -> int:
    """On how many threads kernels compute."""
    return _threads


def free() -> bool:
    """Whether a job that is given to `each` now would run on several threads."""
    return _taken and _threads > 1 and not getattr(_inside, "part", False)


def take_over(taken: bool = True) -> None:
    """Whether kernels have the threads, or BLAS.

    >>> take_over()
    >>> free() == (threads() > 1)
    True
    >>> take_over(False)
    >>> free()
    False
    """
    global _taken
    _taken = taken


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
        np.seterr(all="ignore")  # 1/0 is infinity, without a word, as in the caller's thread
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


def each(function: Callable[[Any], Any], parts: Sequence[Any], products: bool = False) -> None:
    """function(part) for every part, in any order and on several threads; raises what one raises.

    On one thread as long as BLAS has the others.
    products: the parts ask BLAS for matrix products, which then run on one thread each.

    >>> found = [0] * 4
    >>> each(lambda i: found.__setitem__(i, i * i), range(4))
    >>> found
    [0, 1, 4, 9]
    """
    helpers = min(_threads, len(parts)) - 1
    if helpers < 1 or not free():
        for part in parts:
            function(part)
        return
    job = _Job(function, parts)
    with blas.single_threaded() if products else contextlib.nullcontext():
        _pool.help_with(job, helpers)
        _inside.part = True
        try:
            job.run()
        finally:
            _inside.part = False
        job.finished.acquire()
    if job.error is not None:
        raise job.error
