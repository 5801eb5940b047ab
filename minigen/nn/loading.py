"""Loading a state: compare what is given with what is there, report all of it, then copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minigen import backend, errors
from minigen.tensor import Tensor


class IncompatibleKeys(NamedTuple):
    """What a state had too few and too many of."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self[0]}, unexpected_keys={self[1]})"


def load(owner: str, targets: Mapping[str, Tensor], state: Any, strict: bool) -> IncompatibleKeys:
    """Copy `state` into `targets` in place; see `Module.load_state_dict`."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"load_state_dict: expects a dictionary of tensors, got {type(state).__name__}"
        )
    arrays = {name: _array(name, state[name]) for name in targets if name in state}
    keys = IncompatibleKeys(
        [name for name in targets if name not in state],
        [name for name in state if name not in targets],
    )
    complaints = []
    if strict and keys.unexpected_keys:
        complaints.append(f"Unexpected key(s) in state_dict: {_quoted(keys.unexpected_keys)}.")
    if strict and keys.missing_keys:
        complaints.append(f"Missing key(s) in state_dict: {_quoted(keys.missing_keys)}.")
    for name, array in arrays.items():
        if array.shape != targets[name].array.shape:
            complaints.append(
                f"size mismatch for {name}: the state has {tuple(array.shape)}, "
                f"the module has {tuple(targets[name].array.shape)}."
            )
    if complaints:
        lines = "".join("\n\t" + complaint for complaint in complaints)
        raise RuntimeError(f"Error(s) in loading state_dict for {owner}:{lines}")
    where = errors.caller()
    for name, array in arrays.items():
        target = targets[name]
        target.array[...] = backend.to_device(array, target.device)
        target.changed_in_place(where)
    return keys


def _array(name: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.array
    if not hasattr(value, "__array__"):
        raise TypeError(
            f"load_state_dict: {name} must be a tensor or an array, got {type(value).__name__}"
        )
    return np.asarray(value)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
