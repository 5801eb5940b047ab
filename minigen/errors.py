"""What the engine says when something is wrong: the operation, what was given, the likely fix."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minigen import backend

_INSIDE = str(Path(__file__).parent)


class ShapeError(RuntimeError, ValueError):
    """Values or shapes that an operation cannot take."""


class LinAlgError(ShapeError):
    """A matrix for which the result does not exist: singular, or not positive definite."""


def caller() -> str:
    """`file:line: source` of the innermost frame outside minigen: the user's own line."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{line}: {linecache.getline(name, line).strip()}"


def describe(value: Any) -> str:
    """`float32 (2, 3)` for a tensor or an array, the value itself for anything else."""
    value = getattr(value, "array", value)
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def explained(operation: Any, args: Sequence, error: Exception) -> Exception:
    """The same error with the name of the operation and what it was given."""
    if isinstance(error, ShapeError):
        return error
    names = [*operation.parameters, *[operation.parameters[-1]] * len(args)]
    given = ", ".join(f"{n} = {describe(a)}" for n, a in zip(names, args))
    kind = next((k for k in (IndexError, TypeError) if isinstance(error, k)), ShapeError)
    return kind(f"{operation.name}: {error} (given {given})")


def freed(name: str) -> RuntimeError:
    return RuntimeError(
        f"backward a second time through {name}: what it saved was freed by the first. "
        "Give the first backward retain_graph=True, or compute the result again."
    )


def changed(name: str, argument: str, saved: int, now: int, where: str) -> RuntimeError:
    return RuntimeError(
        f"{name} saved its {argument!r} for a gradient, but it was changed in place since (saved "
        f"at version {saved}, now at version {now}), last by {where}\n"
        "Make a new tensor there (x = x + 1 in place of x += 1), or change a clone()."
    )


def saved_in_inference(name: str, argument: str) -> RuntimeError:
    return RuntimeError(
        f"{name} cannot save its {argument!r} for a gradient: it was made in inference_mode. "
        "clone() it outside, or use no_grad instead."
    )


def rule_failed(name: str, arguments: Sequence[str], error: Exception) -> RuntimeError:
    return RuntimeError(
        f"the gradient rule of {name} for {', '.join(arguments)} failed: "
        f"{type(error).__name__}: {error}"
    )


def rule_shape(name: str, arguments: Sequence[str], given: tuple, wanted: tuple) -> RuntimeError:
    return RuntimeError(
        f"the gradient rule of {name} for {', '.join(arguments)} returned shape {given} for an "
        f"input of shape {wanted}"
    )


def check_finite(name: str, arrays: Iterable, output: Any) -> None:
    """Raise RuntimeError if an operation made NaN or infinity out of finite numbers."""
    if not backend.all_finite(output) and all(map(backend.all_finite, arrays)):
        what = backend.nonfinite_name(output)
        raise RuntimeError(f"{name} made {what} out of finite numbers, at {caller()}")


def check_gradient(name: str, line: str, g: Any, gradient: Any) -> None:
    """The same for the gradient of an operation, whose forward ran at `line`."""
    before, after = (getattr(v, "array", v) for v in (g, gradient))
    if backend.all_finite(before) and not backend.all_finite(after):
        raise RuntimeError(
            f"the gradient of {name} became {backend.nonfinite_name(after)} from a finite "
            f"cotangent; its forward ran at {line}"
        )


NOT_RECORDED = (
    "backward: the tensor does not require grad and has no grad_fn: nothing that led to it was "
    "recorded (requires_grad=True on a leaf? inside no_grad? detached?)"
)


def needs_cotangent(shape: tuple) -> RuntimeError:
    return RuntimeError(
        "backward: the gradient argument can be left out only for a single number, this output has "
        f"shape {shape}; reduce it to a loss, or pass gradient="
    )


UNUSED = (
    "grad: the outputs do not depend on one of the inputs; pass allow_unused=True if that is meant"
)
