"""A nested state (dicts, lists, tuples, tensors, numbers) as named tensors and JSON, and back.

JSON knows neither tuples nor keys that are numbers, and both occur in the state of an optimizer, so
these, and the places of tensors, are written as dicts with one key that begins with "$".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigen.tensor import Tensor


def split(tree: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """What JSON can hold of `tree`; its tensors are added to `tensors` under names from `name`.

    >>> import minigen
    >>> tensors = {}
    >>> split({"state": {0: minigen.zeros(2)}, "betas": (0.9, 0.99)}, "adam", tensors)
    {'state': {'$items': [[0, {'$tensor': 'adam.state.0'}]]}, 'betas': {'$tuple': [0.9, 0.99]}}
    >>> list(tensors)
    ['adam.state.0']
    """
    if isinstance(tree, Tensor):
        while name in tensors:  # {"a": {"b": ...}, "a.b": ...}
            name += "_"
        tensors[name] = tree.detach()
        return {"$tensor": name}
    if isinstance(tree, Mapping):
        items = [(key, split(value, f"{name}.{key}", tensors)) for key, value in tree.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in items):
            return dict(items)
        return {"$items": [list(item) for item in items]}
    if isinstance(tree, list | tuple):
        items = [split(value, f"{name}.{i}", tensors) for i, value in enumerate(tree)]
        return {"$tuple": items} if isinstance(tree, tuple) else items
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"a checkpoint cannot hold {name}, a {type(tree).__name__}")


def join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `split` took apart. Raises KeyError for a tensor that is missing."""
    if isinstance(tree, dict):
        if "$tensor" in tree:
            return tensors[tree["$tensor"]]
        if "$items" in tree:
            return {key: join(value, tensors) for key, value in tree["$items"]}
        if "$tuple" in tree:
            return tuple(join(value, tensors) for value in tree["$tuple"])
        return {key: join(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [join(value, tensors) for value in tree]
    return tree
