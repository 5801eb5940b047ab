"""CUDA graphs: what a GPU did once is done again by a single launch, without Python.

A step of a small model is hundreds of kernels of a few microseconds each, and Python takes longer
to launch one than the GPU to run it. A graph holds them all, with the memory they work in.

    g = minigen.cuda.CUDAGraph()
    for batch in first_batches:          # compiles kernels, makes the optimizer's state
        step(batch)
    with minigen.cuda.graph(g):          # nothing runs here: the GPU is only shown what to do
        losses = step(static_batch)
    for batch in others:
        static_batch.copy_(batch)        # the graph reads this memory
        g.replay()                       # and writes the losses to that of `losses`

As in PyTorch, shapes stay what they are and nothing may wait for the GPU. Unlike there, what the
host did for the step is done again as well: random numbers are drawn anew, in the order of the
default generator, optimizers count, schedules move (`minigen.capturing`). Replaying n steps is so
the same, bit for bit, as running them. Source: `torch.cuda.CUDAGraph`; CUDA C++ Programming Guide,
"CUDA Graphs".
"""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Any

import numpy as np

from minigen import devices
from minigen.capturing import CaptureError, Host, capturing, enter

__all__ = ["CUDAGraph", "CaptureError", "graph", "is_current_stream_capturing"]


class _Streams(threading.local):
    """The stream of each thread and device on which graphs are captured; nothing runs on it.

    It is one for all graphs, as libraries keep memory for every stream that they have met.
    """

    def __init__(self) -> None:
        self._of: dict[Any, Any] = {}

    def mine(self, cuda: Any) -> Any:
        key = cuda.Stream, cuda.runtime.getDevice()
        if key not in self._of:
            self._of[key] = cuda.Stream(non_blocking=True)
        return self._of[key]

    def forget(self) -> None:
        """A capture failed: the next one has another stream."""
        self._of.clear()


_streams = _Streams()


class CUDAGraph:
    """A captured piece of work: `capture_begin`, the work, `capture_end`, then `replay`.

    `graph` does the first two in a `with` block. The first replay is the step that was captured,
    with the numbers that the host drew for it; those after it draw their own.
    """

    def __init__(self) -> None:
        devices.cupy()
        self.reset()

    def reset(self) -> None:
        """Forget what was captured, and give its memory back."""
        self._launchable: Any = None
        self._host: Host | None = None
        self._pool: Any = None
        self._replayed = False
        self._leave = contextlib.ExitStack()

    def pool(self) -> Any:
        """The memory that the graph works in: a `cupy.cuda.MemoryPool` of its own."""
        return self._pool

    def capture_begin(self) -> None:
        """From now on the GPU is shown what to do, and does nothing, until `capture_end`.

        Raises RuntimeError if a capture is under way in this thread, or this graph has one.
        """
        if capturing() is not None:
            raise RuntimeError("a graph is being captured in this thread; they cannot be nested")
        if self._launchable is not None:
            raise RuntimeError("this graph was captured before; call reset() first")
        cuda = devices.cupy().cuda
        self._stream = _streams.mine(cuda)
        self._pool, self._host = cuda.MemoryPool(), Host(_beside_capture())
        before = enter(self._host)
        self._leave.callback(enter, before)
        self._leave.enter_context(self._stream)
        self._leave.enter_context(cuda.using_allocator(self._pool.malloc))
        self._stream.begin_capture()

    def capture_end(self) -> None:
        """End the capture. Raises CaptureError if CUDA could not take it all."""
        assert self._host is not None
        try:
            launchable = self._stream.end_capture()
        except Exception as error:
            self.abandon()
            raise _explained(error) from error
        self._leave.close()
        self._host.transfer(_send)
        self._launchable = launchable

    def abandon(self) -> None:
        """End a capture that failed: nothing was done, and nothing is counted."""
        with contextlib.suppress(Exception):
            if self._stream.is_capturing():
                self._stream.end_capture()
        _streams.forget()
        self._leave.close()
        if self._host is not None:
            self._host.undo()
        self.reset()

    def replay(self) -> None:
        """Do it all again: on the host what depends on the step, then everything on the GPU.

        Returns before the GPU is done; later work waits for it as for any other.
        """
        if self._launchable is None or self._host is None:
            raise RuntimeError("there is nothing to replay: capture something first")
        if self._replayed:
            self._host.repeat(_send)
        self._replayed = True
        self._launchable.launch(devices.cupy().cuda.get_current_stream())


class graph:
    """A block that is captured into a `CUDAGraph`; see the module's example.

    Raises CaptureError for what a graph cannot hold, and then undoes what the host has counted and
    drawn, so that the same step can be run instead.
    """

    def __init__(self, cuda_graph: CUDAGraph) -> None:
        self.cuda_graph = cuda_graph

    def __enter__(self) -> None:
        self.cuda_graph.capture_begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.cuda_graph.capture_end()
            return
        self.cuda_graph.abandon()
        if isinstance(error, Exception) and (explained := _explained(error)) is not error:
            raise explained from error


def is_current_stream_capturing() -> bool:
    """Whether a graph is being captured in this thread."""
    return capturing() is not None


def _explained(error: Exception) -> Exception:
    """What CuPy and CUDA raise for what a graph cannot hold, as a CaptureError; others as they are.

    >>> _explained(RuntimeError("the stream is capturing"))
    CaptureError('a graph cannot hold this step: the stream is capturing')
    """
    if isinstance(error, CaptureError) or "captur" not in str(error).lower():
        return error
    return CaptureError(f"a graph cannot hold this step: {' '.join(str(error).split())}")


def _send(array: np.ndarray) -> Any:
    return devices.cupy().asarray(array)


def _beside_capture() -> Any:
    """A function that brings arrays to the GPU while another stream is capturing."""
    cuda = devices.cupy().cuda
    side, allocator = cuda.Stream(non_blocking=True), cuda.get_allocator()

    def send(array: np.ndarray) -> Any:
        with side, cuda.using_allocator(allocator):
            there = _send(array)
            side.synchronize()
        return there

    return send
