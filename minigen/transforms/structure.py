"""Tensors in nested tuples, lists and dictionaries: taken apart into a flat list, and put together.

PyTorch calls such structures pytrees.  None, numbers and anything else are leaves too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Structure", "flatten", "map_structure", "unflatten"]


class Structure:
    """How a value is built: a container's type and keys with its children, or a leaf (no kind)."""

    __slots__ = ("children", "keys", "kind", "size")

    def __init__(self, kind: Any = None, keys: tuple = (), children: tuple = ()) -> None:
        self.kind, self.keys, self.children = kind, keys, children
        self.size = sum(child.size for child in children) if kind else 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and (
            (self.kind, self.keys, self.children) == (other.kind, other.keys, other.children)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        if issubclass(self.kind, dict):
            return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(self.keys, self.children)) + "}"
        inside = ", ".join(map(repr, self.children))
        return f"[{inside}]" if issubclass(self.kind, list) else f"({inside})"


LEAF = Structure()


def flatten(value: Any) -> tuple[list, Structure]:
    """The leaves, in order (of dictionaries: of insertion), and how they were put together.

    >>> flatten({"a": 1, "b": (2, [3])})
    ([1, 2, 3], {'a': *, 'b': (*, [*])})
    """
    if isinstance(value, dict):
        keys, parts = tuple(value), list(value.values())
    elif isinstance(value, tuple | list):
        keys, parts = (), list(value)
    else:
        return [value], LEAF
    leaves: list = []
    children = []
    for part in parts:
        found, child = flatten(part)
        leaves += found
        children.append(child)
    return leaves, Structure(type(value), keys, tuple(children))


def unflatten(leaves: Sequence, structure: Structure) -> Any:
    """The inverse of `flatten`.

    >>> unflatten([10, 20, 30], flatten({"a": 1, "b": (2, [3])})[1])
    {'a': 10, 'b': (20, [30])}
    """
    if structure.kind is None:
        return leaves[0]
    parts, start = [], 0
    for child in structure.children:
        parts.append(unflatten(leaves[start : start + child.size], child))
        start += child.size
    if issubclass(structure.kind, dict):
        filled = structure.kind()
        filled.update(zip(structure.keys, parts))
        return filled
    named = hasattr(structure.kind, "_fields")
    return structure.kind(*parts) if named else structure.kind(parts)


def map_structure(function: Callable, value: Any) -> Any:
    """The same structure with `function(leaf)` for each leaf."""
    leaves, structure = flatten(value)
    return unflatten([function(leaf) for leaf in leaves], structure)
