"""The key-value cache: what a Transformer remembers of the tokens it has read.

In causal attention a token looks only back, so that its keys and values never change when more
tokens come. Kept, they make writing the T-th token the work of one token instead of T: its query
against all keys. They also are what a long text costs: 2 T C numbers a layer.

Shapes: N sequences, h heads (of keys and values), T tokens, C/h numbers a head.
"""

from __future__ import annotations

import minigen
from minigen import Tensor


class KeyValueCache:
    """Of one attention layer; empty at first."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def __len__(self) -> int:
        """How many tokens were read."""
        return 0 if self.keys is None else int(self.keys.shape[2])

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of new tokens, 2 x (N, h, T, C/h), and give those of all tokens so far."""
        if self.keys is not None and self.values is not None:
            keys = minigen.cat([self.keys, keys], dim=2)
            values = minigen.cat([self.values, values], dim=2)
        self.keys, self.values = keys, values
        return keys, values

    def stored(self) -> tuple[Tensor, Tensor]:
        """Those of all tokens so far. Raises ValueError if there are none."""
        if self.keys is None or self.values is None:
            raise ValueError("KeyValueCache.stored: no token was read yet")
        return self.keys, self.values

    def select(self, rows: Tensor) -> None:
        """Go on with these of the N sequences, int64 (M,), in this order."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]


def causal_mask(new: int, total: int, device: object = None) -> Tensor | None:
    """Where the last `new` of `total` tokens may look: bool (new, total); None if only one is new,
    which may look at all.

    >>> causal_mask(2, 4)
    tensor([[ True,  True,  True, False],
            [ True,  True,  True,  True]])
    """
    if new == 1:
        return None
    return minigen.ones(new, total, dtype=minigen.bool, device=device).tril(total - new)
