"""Where the processes that run submissions come from.

Starting Python and importing NumPy, or whatever an assignment works with, takes longer than
grading. One process does it once, knows nothing of tests, solutions or other students, and forks
itself for every submission. It is asked through a socket, over which the open files of the new
process are handed as well.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Nursery:
    """The process that forks, started when the first submission wants one.

    imports: modules that it loads besides. Raises OSError where there is no fork, on Windows.
    """

    def __init__(self, imports: Sequence[str] = ()) -> None:
        if not hasattr(socket, "send_fds"):
            raise OSError("grading needs Linux or macOS (on Windows, WSL)")
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair()
        # -P: a submission called numpy.py in the folder where grading was begun is not NumPy.
        python = [sys.executable, "-P", "-m"]
        self._process = subprocess.Popen(
            [*python, "minigen.classroom.worker", str(theirs.fileno()), *imports],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        theirs.close()

    def fork(self, read: int, write: int, output: int) -> int:
        """A new process with these open files, the last one for what it prints; its number.

        It leads a session of its own, so that os.killpg ends all it started.
        """
        with self._lock:
            socket.send_fds(self._ours, [b"fork"], [read, write, output])
            number = self._ours.recv(8)
        if len(number) < 8:
            raise OSError("the process that starts submissions has ended")
        return int.from_bytes(number, "little")

    def alive(self) -> bool:
        """Whether it can be asked: a submission may have found a way to end it."""
        return self._process.poll() is None

    def close(self) -> None:
        self._ours.close()
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()


_nurseries: dict[tuple[str, ...], Nursery] = {}
_starting = threading.Lock()


def nursery(imports: tuple[str, ...] = ()) -> Nursery:
    """That of this process for these imports; a process forked from this one needs its own."""
    with _starting:
        if imports not in _nurseries or not _nurseries[imports].alive():
            _nurseries[imports] = Nursery(imports)
            atexit.register(_nurseries[imports].close)
        return _nurseries[imports]


def load(imports: Sequence[str]) -> None:
    """In the process that forks: import what submissions will. What fails, fails in them again."""
    for name in imports:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def serve(fd: int, work: Callable[[int, int], Any]) -> None:
    """In the process that forks: answer until nobody asks. `work` is run in each new process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    asked = socket.socket(fileno=fd)
    while True:
        message, files, _, _ = socket.recv_fds(asked, 4, 3)
        if not message:
            return
        pid = os.fork()
        if not pid:
            asked.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            for standard in (1, 2):
                os.dup2(files[2], standard)
            os.close(files[2])
            try:
                work(files[0], files[1])
            finally:
                os._exit(0)
        for file in files:
            os.close(file)
        asked.sendall(pid.to_bytes(8, "little"))


def _environment() -> dict[str, str]:
    """Only what Python needs: no secrets of the one who grades; one thread, no bytecode written."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "LANG", "HOME")}
    return {**kept, **dict.fromkeys(THREADS, "1"), "PYTHONDONTWRITEBYTECODE": "1"}
