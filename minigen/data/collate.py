"""Collate: a list of items becomes a batch. PyTorch's rules."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from minigen.ops.creation import as_tensor, tensor
from minigen.ops.joining import stack
from minigen.tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack the items of a batch along a new first dimension, whatever structure they have.

    | items                       | become                                               |
    |-----------------------------|------------------------------------------------------|
    | tensors, NumPy arrays       | one tensor with one dimension more                   |
    | NumPy numbers               | a tensor of their dtype                              |
    | float, int, bool            | a float64, int64, bool tensor                        |
    | str, bytes                  | the sequence of them, as it is                       |
    | mappings, named tuples      | the same type, each field collated                   |
    | tuples, other sequences     | a list (the same type if not a tuple), collated      |

    Raises TypeError for items of another type, RuntimeError for tensors of unequal shape or
    sequences of unequal length.

    >>> default_collate([("a", 1.5, 3), ("b", 2.5, 4)])
    [('a', 'b'), tensor([1.5000, 2.5000], dtype=minigen.float64), tensor([3, 4])]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if isinstance(first, np.ndarray | np.generic):
        if first.dtype.kind not in "biuf":
            raise TypeError(f"default_collate: a NumPy array of {first.dtype} cannot be a tensor")
        return stack([as_tensor(item) for item in batch])
    if isinstance(first, float):
        return tensor(np.asarray(batch, np.float64))
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        fields = {key: default_collate([item[key] for item in batch]) for key in first}
        return _like_mapping(first, fields)
    if isinstance(first, Sequence):
        return _sequences(first, batch)
    raise TypeError(
        "default_collate: items must be tensors, NumPy arrays, numbers, strings, or mappings and"
        f" sequences of these; got {type(first).__name__}. Give the DataLoader a collate_fn for it"
    )


def _sequences(first: Any, batch: Sequence[Any]) -> Any:
    if any(len(item) != len(first) for item in batch):
        raise RuntimeError(
            "default_collate: the sequences of a batch must have equal length, got "
            + ", ".join(str(len(item)) for item in batch)
        )
    fields = [default_collate(field) for field in zip(*batch)]
    if isinstance(first, tuple):
        return type(first)(*fields) if hasattr(first, "_fields") else fields
    try:
        if isinstance(first, MutableSequence):  # a copy keeps what a subclass adds
            whole = copy.copy(first)
            whole[:] = fields
            return whole
        return type(first)(fields)
    except TypeError:  # a type that is not made from its elements, such as range
        return fields


def _like_mapping(first: Mapping, fields: dict) -> Mapping:
    try:
        if isinstance(first, MutableMapping):
            whole = copy.copy(first)
            whole.update(fields)
            return whole
        return type(first)(fields)  # type: ignore[call-arg]
    except TypeError:
        return fields
