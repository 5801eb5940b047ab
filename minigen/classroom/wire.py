"""What passes between the grader and the process that runs a submission: plain values and arrays.

A message is a length, a JSON text, and the raw numbers of its arrays. Nothing in it is ever run or
imported, unlike pickle: a submission can only send values, and each is checked as it is read.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

LENGTHS = struct.Struct("<QQ")  # of the JSON text and of the numbers
MOST_BYTES = 256 * 2**20  # of a message
MOST_TEXT = 16 * 2**20  # of its text: what is read from it may take many times the room
KINDS = "biufc"  # of dtypes: bool, integers, floats, complex
DTYPE = re.compile(rf"[<>|=][{KINDS}]\d+")
MOST_DEPTH = 50  # of lists within lists


class WireError(Exception):
    """What was read is no message."""


class Ended(WireError):
    """The other side is gone."""


class TooLate(WireError):
    """No whole message came in time."""


def encode(value: Any) -> bytes:
    """A message.

    Raises TypeError for what has no place in one: None, bool, int, float, complex, str, arrays of
    these, and lists, tuples and dictionaries of them do.
    """
    buffers: list[bytes] = []
    text = json.dumps(_flatten(value, buffers, 0), allow_nan=True).encode()
    numbers = b"".join(buffers)
    if len(text) > MOST_TEXT:
        raise TypeError(f"more than {MOST_TEXT >> 20} MiB of text")
    if len(text) + len(numbers) > MOST_BYTES:
        raise TypeError(f"more than {MOST_BYTES >> 20} MiB")
    return LENGTHS.pack(len(text), len(numbers)) + text + numbers


def _flatten(value: Any, buffers: list[bytes], depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise TypeError(f"nested deeper than {MOST_DEPTH}")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and not isinstance(value, np.generic):
        return value
    if isinstance(value, float) and not isinstance(value, np.generic):
        return value
    if isinstance(value, complex) and not isinstance(value, np.generic):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in KINDS:
            raise TypeError(f"an array of {array.dtype}")
        buffers.append(np.ascontiguousarray(array).tobytes())
        scalar = isinstance(value, np.generic)
        return {"array": [array.dtype.str, list(array.shape), scalar]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flatten(each, buffers, depth + 1) for each in value]}
    if isinstance(value, dict):
        pairs = [[key, _flatten(each, buffers, depth + 1)] for key, each in value.items()]
        for key, _ in pairs:
            if not isinstance(key, str | int) or isinstance(key, np.generic):
                raise TypeError(f"a key of type {type(key).__name__}")
        return {"dict": pairs}
    raise TypeError(f"a value of type {type(value).__name__}")


def decode(text: bytes, numbers: bytes) -> Any:
    """The value of a message. Raises WireError for one that `encode` does not make.

    >>> decode(b'{"list": [1, {"array": ["<f8", [1], false]}]}', bytes(8))
    [1, array([0.])]
    """
    try:
        value, rest = _rebuild(json.loads(text), memoryview(numbers), 0)
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise WireError(f"a message that cannot be read ({error})") from error
    if len(rest):
        raise WireError("a message with more numbers than arrays")
    return value


def _rebuild(made: Any, numbers: memoryview, depth: int) -> tuple[Any, memoryview]:
    if depth > MOST_DEPTH:
        raise ValueError(f"nested deeper than {MOST_DEPTH}")
    if not isinstance(made, dict):
        if isinstance(made, list):
            raise ValueError("a bare list")
        return made, numbers
    ((kind, content),) = made.items()
    if kind == "array":
        return _array(content, numbers)
    if kind == "complex":
        return complex(*content), numbers
    if kind in ("list", "tuple"):
        values = []
        for each in content:
            value, numbers = _rebuild(each, numbers, depth + 1)
            values.append(value)
        return (values if kind == "list" else tuple(values)), numbers
    if kind == "dict":
        found = {}
        for key, each in content:
            found[key], numbers = _rebuild(each, numbers, depth + 1)
        return found, numbers
    raise ValueError(f"a value of kind {kind!r}")


def _array(content: Any, numbers: memoryview) -> tuple[Any, memoryview]:
    name, shape, scalar = content
    if not DTYPE.fullmatch(name) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"an array of {name}, {shape}")
    dtype = np.dtype(name)
    size = math.prod(shape) * dtype.itemsize
    if size > len(numbers):
        raise ValueError("an array without its numbers")
    array = np.frombuffer(numbers[:size], dtype).reshape(shape).copy()
    return (array[()] if scalar else array), numbers[size:]


def send(fd: int, value: Any) -> None:
    """Write a message. Raises Ended if nobody reads it, TypeError as `encode` does."""
    view = memoryview(encode(value))
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise Ended("the process has ended") from error


def receive(fd: int, left: Callable[[], float] | None = None) -> Any:
    """Read a message. Raises TooLate when no seconds are left, Ended, or WireError.

    left: how many there are, asked again whenever so many have passed.
    """
    lengths = LENGTHS.unpack(_read(fd, LENGTHS.size, left))
    if lengths[0] > MOST_TEXT:
        raise WireError(f"a message of more than {MOST_TEXT >> 20} MiB of text")
    if sum(lengths) > MOST_BYTES:
        raise WireError(f"a message of more than {MOST_BYTES >> 20} MiB")
    return decode(*(_read(fd, length, left) for length in lengths))


def _read(fd: int, count: int, left: Callable[[], float] | None) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        seconds = left() if left else None
        if not select.select([fd], [], [], seconds)[0]:
            if not seconds:
                raise TooLate("no answer in time")
            continue
        part = os.read(fd, min(count - len(parts), 2**20))
        if not part:
            raise Ended("the process has ended")
        parts += part
    return bytes(parts)
