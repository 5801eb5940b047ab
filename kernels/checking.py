"""A user's own kernel is checked at every call, and its mistakes are reported as its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .ladder import Expected, Operation


class KernelError(RuntimeError):
    """A kernel broke its contract: wrong result, exception, or no kernel for these arrays."""


def device_of(array: Any) -> str:
    """ "cuda" for a CuPy array, "cpu" for anything else; imports nothing."""
    return "cuda" if type(array).__module__.partition(".")[0] == "cupy" else "cpu"


def describe(value: Any) -> str:
    """`float32(3, 4)` for an array, `[float32(3, 4), ...] of 2` for a list of them, else what the
    value is."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        device = " on cuda" if device_of(value) == "cuda" else ""
        return f"{value.dtype}{tuple(value.shape)}{device}"
    if isinstance(value, list) and value and hasattr(value[0], "shape"):
        return f"[{describe(value[0])}, ...] of {len(value)}"
    if isinstance(value, tuple):
        return "(" + ", ".join(describe(part) for part in value) + ")"
    return "None" if value is None else f"{type(value).__name__} {value!r}"


def _expectation(expected: Expected) -> str:
    parts = [f"{dtype}{tuple(shape)}" for shape, dtype in expected]
    if not parts:
        return "None, having worked in place"
    return parts[0] if len(parts) == 1 else "(" + ", ".join(parts) + ")"


def _satisfies(result: Any, expected: Expected, device: str) -> bool:
    if not expected:
        return result is None
    parts = (result,) if len(expected) == 1 else result
    if not isinstance(parts, tuple) or len(parts) != len(expected):
        return False
    return all(
        hasattr(part, "shape")
        and hasattr(part, "dtype")
        and tuple(part.shape) == tuple(shape)
        and part.dtype == dtype
        and device_of(part) == device
        for part, (shape, dtype) in zip(parts, expected)
    )


def checked(operation: Operation, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a kernel of `operation` whose every result is checked.

    Raises:
        KernelError: the function raised, or returned another shape, dtype or device than the
            operation has; the message names the function, the inputs, and both sides.
    """
    name = getattr(function, "__qualname__", None) or repr(function)

    @functools.wraps(function, updated=())
    def kernel(*arrays: Any, **options: Any) -> Any:
        expected = operation.expected(*arrays, **options)
        inputs = ", ".join(describe(a) for a in arrays if hasattr(a, "dtype") or type(a) is list)
        try:
            result = function(*arrays, **options)
        except Exception as error:
            raise KernelError(
                f"kernel {name}, used for {operation.name} of {inputs}, "
                f"raised {type(error).__name__}: {error}"
            ) from error
        first = arrays[0][0] if type(arrays[0]) is list else arrays[0]
        if not _satisfies(result, expected, device_of(first)):
            raise KernelError(
                f"kernel {name}, used for {operation.name} of {inputs}: "
                f"expected {_expectation(expected)}, but it returned {describe(result)}"
            )
        return result

    return kernel
