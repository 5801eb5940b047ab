"""What is recorded now: `no_grad`, `enable_grad`, `inference_mode`, `detect_anomaly`.

Each is a context manager and a decorator, also for generator functions, and holds for one thread.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

GRAD, INFERENCE, ANOMALY = 1, 2, 4


class _Mode(threading.local):
    """The switches of this thread, as bits."""

    flags = GRAD


mode = _Mode()


class _Switch:
    """Sets and clears bits of `mode.flags`, and puts them back."""

    on = off = 0
    before: list[int]

    def __new__(cls, function: Callable | None = None) -> Any:
        self = super().__new__(cls)
        self.before = []
        return self if function is None else self(function)

    def __enter__(self) -> _Switch:
        self.before.append(mode.flags)
        mode.flags = mode.flags & ~self.off | self.on
        return self

    def __exit__(self, *exception: object) -> None:
        mode.flags = self.before.pop()

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):  # hold at every resumption, not at creation

            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Iterator:
                values = function(*args, **kwargs)
                while True:
                    with self:
                        try:
                            value = next(values)
                        except StopIteration:
                            return
                    yield value

            return generate

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return call


class no_grad(_Switch):
    """Inside it, or in a function it decorates, operations are not recorded.

    >>> import minigen
    >>> x = minigen.ones(2, requires_grad=True)
    >>> with no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    off = GRAD


class enable_grad(_Switch):
    """Inside it operations are recorded again, also within `no_grad`."""

    on = GRAD


class inference_mode(_Switch):
    """As `no_grad`; moreover what is made inside can never be saved for a gradient later."""

    on, off = INFERENCE, GRAD


class detect_anomaly(_Switch):
    """Inside it, the first operation that makes a NaN or an infinity out of finite numbers, going
    forward or backward, raises an error that names the operation and its forward line."""

    on = ANOMALY


class set_grad_enabled(_Switch):
    """Switch recording on or off: at once, and for the block if used as a context manager."""

    def __new__(cls, mode: bool) -> Any:
        self = super().__new__(cls)
        self.on, self.off = (GRAD, 0) if mode else (0, GRAD)
        _Switch.__enter__(self)
        return self

    def __enter__(self) -> set_grad_enabled:
        return self


def is_grad_enabled() -> bool:
    return bool(mode.flags & GRAD)


def is_inference_mode_enabled() -> bool:
    return bool(mode.flags & INFERENCE)
