"""The shape of a tensor."""

from __future__ import annotations


class Size(tuple):
    """The shape of a tensor: a tuple of ints that can count its elements.

    >>> Size((2, 3)).numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        count = 1
        for n in self:
            count *= n
        return count

    def __repr__(self) -> str:
        return f"minigen.Size({list(self)})"
