"""CUDA graphs of the stand-in: what is computed between begin_capture and end_capture is written
down, and a launch computes it again, in the same memory.

As on a GPU nothing happens while a stream is captured: what was written to is put back at the end.
So a number that Python only computed once, an array that a step replaces by a new one in place of
writing to it, and numbers that should have been sent anew are all seen by a second launch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

REFUSED = "the current stream is capturing, so {} transfers are disallowed"
POINTERS = 2  # arrays that CuPy joins without a table of their addresses


class Graph:
    """What `end_capture` returns."""

    def __init__(self) -> None:
        self.work: list[Callable[[], Any]] = []
        self._before: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def launch(self, stream: Any = None) -> None:
        with np.errstate(all="ignore"):
            for do in self.work:
                do()

    def changing(self, array: np.ndarray) -> None:
        """`array` is written to: remember what was there before the capture."""
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if id(owner) not in self._before:
            self._before[id(owner)] = (owner, owner.copy())

    def put_back(self) -> None:
        for owner, before in self._before.values():
            np.copyto(owner, before)
        self._before.clear()


class Stream:
    """`cupy.cuda.Stream`; the one in whose block the program is can be captured."""

    current: list[Stream] = []
    ptr = 1

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.non_blocking, self.graph = non_blocking, None

    def __enter__(self) -> Stream:
        Stream.current.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        assert Stream.current.pop() is self

    def begin_capture(self, mode: Any = None) -> None:
        if not self.non_blocking:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.graph = Graph()

    def end_capture(self) -> Graph:
        assert self.graph is not None, "the stream is not capturing"
        graph, self.graph = self.graph, None
        graph.put_back()
        return graph

    def is_capturing(self) -> bool:
        return self.graph is not None

    def synchronize(self) -> None:
        if self.graph is not None:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")


def under_way() -> Graph | None:
    """The graph that the current stream is captured into."""
    return Stream.current[-1].graph if Stream.current else None


def refuse_transfer(direction: str) -> None:
    """RuntimeError, as CuPy's, if the current stream is capturing."""
    if under_way() is not None:
        raise RuntimeError(REFUSED.format(direction))


def before_computing(function: Any, args: tuple, kwargs: dict) -> None:
    """Note what is going to be written to."""
    graph = under_way()
    if graph is None:
        return
    if _name(function) in ("concatenate", "stack") and len(args[0]) > POINTERS:
        refuse_transfer("H2D")
    if isinstance(kwargs.get("out"), np.ndarray):
        graph.changing(kwargs["out"])
    elif _in_place(function):
        graph.changing(_target(function, args))


def computed(function: Any, args: tuple, kwargs: dict, wrapped: Any, *operands: np.ndarray) -> None:
    """Note a computation, if it was one: a view of an argument is none."""
    graph = under_way()
    if graph is None or _name(function).startswith("empty"):
        return
    if isinstance(kwargs.get("out"), np.ndarray) or _in_place(function):
        graph.work.append(lambda: function(*args, **kwargs))
        return
    results = [r._a for r in _each(wrapped) if hasattr(r, "_a")]
    known = [*operands, *_arrays((args, kwargs)), *_arrays(getattr(function, "__self__", None))]
    if results and not any(np.may_share_memory(r, k) for r in results for k in known):

        def again() -> None:
            for there, value in zip(results, _each(function(*args, **kwargs))):
                np.copyto(there, value)

        graph.work.append(again)


def assigned(array: np.ndarray, assign: Callable[[], None]) -> None:
    """Note an assignment to places of an array, before it is done."""
    graph = under_way()
    if graph is not None:
        graph.changing(array)
        graph.work.append(assign)


def _name(function: Any) -> str:
    return getattr(function, "__name__", "")


def _in_place(function: Any) -> bool:
    return _name(function) in ("copyto", "at", "fill", "put", "place", "sort", "put_along_axis")


def _target(function: Any, args: tuple) -> np.ndarray:
    own = getattr(function, "__self__", None)
    return own if isinstance(own, np.ndarray) else args[0]


def _each(values: Any) -> Any:
    return values if isinstance(values, list | tuple) else [values]


def _arrays(values: Any) -> Iterator[np.ndarray]:
    if isinstance(values, np.ndarray):
        yield values
    elif isinstance(values, dict):
        yield from _arrays(tuple(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _arrays(value)


@contextlib.contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    yield


def cuda_names() -> dict[str, Any]:
    """What `cupy.cuda` has of it."""
    null = Stream(null=True)
    return {
        "Stream": Stream,
        "MemoryPool": lambda: SimpleNamespace(malloc=None, total_bytes=lambda: 0),
        "get_allocator": lambda: None,
        "get_current_stream": lambda: Stream.current[-1] if Stream.current else null,
        "using_allocator": using_allocator,
    }
