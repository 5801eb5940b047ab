"""What the host has to do again whenever a step that a GPU was shown once is replayed.

A CUDA graph repeats kernels on whatever then lies in the memory they read; Python does not run
again. So while a step is captured, whoever does something on the host that the next step has to do
as well says so here:

    on_replay(action, undo)   do it now, and before every replay: count a step, move a schedule
    fed(draw, send)           what draw() gives, on the GPU; drawn anew before every replay
    constant(array, send)     on the GPU, the same in all replays
    refuse(reason)            this cannot be repeated

Outside of a capture these only do it. `minigen.cuda.graph` captures, `CUDAGraph.replay` replays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["CaptureError", "Host", "capturing", "constant", "fed", "on_replay", "refuse"]

Array = Any  # cupy.ndarray
Send = Callable[[np.ndarray], Array]

ALIGNED = 256  # bytes: where an array of a chunk begins
CHUNK = 1 << 20  # bytes that are sent to the GPU together, at least


class CaptureError(RuntimeError):
    """A step that cannot be captured as a CUDA graph; the message says what of it."""


class Chunk:
    """Memory on the host and as much on the GPU, for what is sent before every replay.

    One transfer takes it all there: a transfer costs some ten microseconds, however short it is.
    """

    def __init__(self, size: int, send: Send) -> None:
        self.host = np.zeros(size, np.uint8)
        self.there = send(self.host)
        self.used = 0

    def fits(self, size: int) -> bool:
        return self.used + size <= len(self.host)

    def take(self, like: np.ndarray) -> tuple[np.ndarray, Array]:
        """Room for an array like this one, here and there."""
        begin, end = self.used, self.used + like.nbytes
        self.used = -(-end // ALIGNED) * ALIGNED
        here, there = (
            memory[begin:end].view(like.dtype).reshape(like.shape)
            for memory in (self.host, self.there)
        )
        return here, there

    def transfer(self, send: Send) -> None:
        self.there[: self.used] = send(self.host[: self.used])


class Host:
    """All that the host does in a step that is being captured, or was.

    send: brings an array to the GPU beside the capture, in which transfers are not allowed.
    """

    def __init__(self, send: Send) -> None:
        self.send = send
        self.drawing = False  # whether `fed` is drawing: then numbers may be random
        self._actions: list[Callable[[], Any]] = []
        self._undo: list[Callable[[], Any]] = []
        self._chunks: list[Chunk] = []
        self._kept: list[Array] = []  # the graph reads them, so they live as long as it does

    def on_replay(self, action: Callable[[], Any], undo: Callable[[], Any]) -> None:
        """Do it now and before every replay; `undo` it if there will be none."""
        self.on_undo(undo)
        self._actions.append(action)
        before = enter(None)  # what it does in turn is a part of it
        try:
            action()
        finally:
            enter(before)

    def on_undo(self, undo: Callable[[], Any]) -> None:
        self._undo.append(undo)

    def constant(self, array: np.ndarray) -> Array:
        self._kept.append(self.send(array))
        return self._kept[-1]

    def fed(self, draw: Callable[[], np.ndarray]) -> Array:
        self.drawing = True
        try:
            values = np.asarray(draw())
        finally:
            self.drawing = False
        if not values.size:
            return self.constant(values)
        here, there = self._room(values)
        here[...] = values
        self._actions.append(lambda: np.copyto(here, draw()))
        return there

    def _room(self, values: np.ndarray) -> tuple[np.ndarray, Array]:
        if not self._chunks or not self._chunks[-1].fits(values.nbytes):
            self._chunks.append(Chunk(max(CHUNK, values.nbytes), self.send))
        return self._chunks[-1].take(values)

    def transfer(self, send: Send) -> None:
        """Bring everything that is fed to where the graph reads it."""
        for chunk in self._chunks:
            chunk.transfer(send)

    def repeat(self, send: Send) -> None:
        """Do everything again, in the same order."""
        for action in self._actions:
            action()
        self.transfer(send)

    def undo(self) -> None:
        """Leave everything as it was before the capture."""
        while self._undo:
            self._undo.pop()()


class _Current(threading.local):
    host: Host | None = None


_current = _Current()


def capturing() -> Host | None:
    """The host of the capture that is under way in this thread, if one is."""
    return _current.host


def enter(host: Host | None) -> Host | None:
    """Let this be the host of the capture under way; returns the one before."""
    before, _current.host = _current.host, host
    return before


def on_replay(action: Callable[[], Any], undo: Callable[[], Any]) -> None:
    """Do it; if a step is being captured, also before each of its replays.

    >>> steps = []
    >>> on_replay(lambda: steps.append(1), undo=steps.pop)
    >>> steps
    [1]
    """
    if _current.host is None:
        action()
    else:
        _current.host.on_replay(action, undo)


def fed(draw: Callable[[], np.ndarray], send: Send) -> Array:
    """What `draw` gives, sent to the GPU; drawn anew before every replay of a captured step.

    >>> fed(lambda: np.ones(2), send=lambda array: array + 1)
    array([2., 2.])
    """
    host = _current.host
    return send(draw()) if host is None else host.fed(draw)


def constant(array: np.ndarray, send: Send) -> Array:
    """The array on the GPU, where no replay changes it."""
    host = _current.host
    return send(array) if host is None else host.constant(array)


def refuse(reason: str) -> None:
    """Raise CaptureError if a step is being captured."""
    if _current.host is not None:
        raise CaptureError(f"this step cannot be replayed as a CUDA graph: {reason}")
