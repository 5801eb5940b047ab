"""`minigen gradcheck MODULE:FUNCTION`: check the gradients of a reader's own function."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer

import minigen
from minigen import nn
from minigen.cli.keywords import keyword
from minigen.testing import check_gradients

EXAMPLE = "3x4, 3x4:positive, 3x4:unit, 5:int10 or scalar"


class Wrong(typer.BadParameter):
    """The command cannot be carried out as given."""


def run_gradcheck(
    target: str, inputs: Sequence[str], options: Sequence[str], order: int | None, seeds: int
) -> bool:
    """Check `target` at `seeds` random inputs each; print what is found; whether all are right."""
    function = load(target)
    keywords = dict(map(keyword, options))
    if isinstance(function, type) and issubclass(function, nn.Module):
        function = built(function)
    if isinstance(function, nn.Module):
        function.double()
    if keywords:
        function = bound(function, keywords)
    if not inputs and not isinstance(function, nn.Module):
        raise Wrong(f"say what to call it with: --input SHAPE for each argument ({EXAMPLE})")
    order = order or (1 if isinstance(function, tuple) else 2)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        minigen.manual_seed(seed)
        values = [drawn(spec, rng) for spec in inputs]
        try:
            report = check_gradients(function, values, order=order, seed=seed)
        except Exception as error:
            raise Wrong(f"{target} failed: {type(error).__name__}: {error}") from error
        if not report or seed == seeds - 1:
            print(report)
        if not report:
            return False
    print(f"to order {order}, at {seeds} random inputs")
    return True


# ------------------------------------------------------------------------------- what to check


def load(target: str) -> Any:
    """The object `MODULE:NAME`, or the pair `MODULE:FORWARD,BACKWARD`; MODULE may be a file."""
    place, colon, names = target.rpartition(":")
    if not colon or not place or not names:
        raise Wrong(
            f"{target!r} is not MODULE:FUNCTION, as in mymodule:softplus or ops.py:softplus"
        )
    module = from_file(Path(place)) if place.endswith(".py") else from_name(place)
    found = [attribute(module, place, name.strip()) for name in names.split(",")]
    if len(found) > 2:
        raise Wrong("give one function, or two as FORWARD,BACKWARD")
    return tuple(found) if len(found) == 2 else found[0]


def from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise Wrong(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Wrong(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def from_name(name: str) -> Any:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise Wrong(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")


def attribute(module: Any, place: str, path: str) -> Any:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise Wrong(f"{place} has no {path}")
        found = getattr(found, name)
    if not callable(found):
        raise Wrong(f"{place}:{path} is not a function or a module, but {type(found).__name__}")
    return found


def built(module: type) -> nn.Module:
    """A Module of a class that needs no arguments, in float64."""
    try:
        return module().double()
    except TypeError as error:
        raise Wrong(
            f"{module.__name__} cannot be made without arguments ({error}); name an instance of "
            "it, or a function that calls one"
        ) from error


def bound(function: Any, keywords: dict[str, Any]) -> Any:
    """The function, or both of a pair, with keyword arguments given; its name is kept."""
    if isinstance(function, tuple):
        return tuple(bound(each, keywords) for each in function)
    known = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    for name in keywords:
        if name not in known.parameters:
            raise Wrong(f"it has no argument {name}; it takes {known}")
    made = partial(function, **keywords)
    made.__name__ = getattr(function, "__name__", type(function).__name__)  # type: ignore[attr-defined]
    return made


# ------------------------------------------------------------------------------ what it is given


def drawn(spec: str, rng: np.random.Generator) -> np.ndarray:
    """An array of the shape and kind that `3x4:positive` describes."""
    match = re.fullmatch(r"(scalar|\d+(?:x\d+)*)(?::(normal|positive|unit|int(\d+)))?", spec)
    if match is None:
        raise Wrong(f"--input {spec!r} is not a shape and kind, such as {EXAMPLE}")
    shape = () if match[1] == "scalar" else tuple(map(int, match[1].split("x")))
    kind = match[2] or "normal"
    if kind == "positive":
        return np.asarray(rng.uniform(0.1, 2.0, shape))
    if kind == "unit":
        return np.asarray(rng.uniform(0.05, 0.95, shape))
    if match[3]:
        if int(match[3]) < 1:
            raise Wrong(f"--input {spec!r}: there is no integer below {match[3]}")
        return np.asarray(rng.integers(0, int(match[3]), shape))
    return np.asarray(rng.standard_normal(shape))
