"""What a diagnosis has to go on: the gradient given, the right one, and all arrays around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

__all__ = ["Evidence", "alike", "factor_between"]

TOLERANCE = 1e-4  # of the largest entry: both sides carry the error of numerical derivatives


def alike(a: np.ndarray, b: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Whether two arrays of one shape agree up to the error of the numbers here."""
    if a.shape != b.shape:
        return False
    scale = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    return bool((np.abs(a - b) <= tolerance * np.maximum(np.abs(b), 0.01 * scale)).all())


def factor_between(a: np.ndarray, b: np.ndarray) -> float | None:
    """c with a = c b throughout, or None."""
    square = float((b * b).sum())
    if square == 0:
        return None
    c = float((a * b).sum()) / square
    return c if c != 0 and alike(a, c * b) else None


@dataclass
class Evidence:
    """One argument whose gradient is wrong.

    name:       of the argument.
    got, want:  the gradient as given and as measured, float64, of one shape.
    wrong:      where they differ.
    names:      of all arguments that are checked.
    inputs:     by name, the arguments and all constants.
    outputs:    of the function; cotangents: the gradients that came in, one for each output.
    jacobian:   as measured, (entries of the argument, entries of all outputs); None if too large.
    given:      the gradient under test at other cotangents: it should be linear in them.
    right_with: the right gradient if one of the inputs were another array.
    wants:      the right gradients of all arguments as far as they are known.
    sizes:      named numbers that a factor may be explained with; given_sizes: those of the user.
    terms:      the named terms whose sum is the right gradient, if there are any.
    untracked:  why there is no gradient at all, if so.
    entries:    if this is a sample of a large argument: where its numbers stand in the `whole`.
    """

    name: str
    got: np.ndarray
    want: np.ndarray
    wrong: np.ndarray
    names: Sequence[str]
    inputs: Mapping[str, np.ndarray]
    outputs: Sequence[np.ndarray]
    cotangents: Sequence[np.ndarray]
    jacobian: np.ndarray | None
    given: Callable[[Sequence[np.ndarray]], np.ndarray | None]
    right_with: Callable[[str, np.ndarray], np.ndarray | None]
    wants: Mapping[str, np.ndarray] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)
    given_sizes: Sequence[str] = ()
    terms: Mapping[str, np.ndarray] = field(default_factory=dict)
    untracked: str = ""
    entries: np.ndarray | None = None
    whole: tuple[int, ...] = ()

    @cached_property
    def missing(self) -> np.ndarray:
        """What would have to be added."""
        return self.want - self.got

    @property
    def shape(self) -> tuple[int, ...]:
        return self.want.shape

    @cached_property
    def own(self) -> np.ndarray:
        """The argument itself."""
        return self.inputs[self.name]

    @cached_property
    def elementwise(self) -> bool:
        """Whether the function may be one of each element: one output of the argument's shape."""
        return len(self.outputs) == 1 and self.outputs[0].shape == self.shape

    @cached_property
    def diagonal(self) -> bool:
        """Whether each output depends on the entry at its own place alone."""
        j = self.jacobian
        if j is None or j.shape[0] != j.shape[1]:
            return False
        off = np.abs(j - np.diag(np.diagonal(j))).max(initial=0.0)
        return bool(off <= 1e-7 * np.abs(j).max(initial=0.0))

    @cached_property
    def quantities(self) -> dict[str, np.ndarray]:
        """Arrays at hand, by name: all that enter or leave the function, and its cotangents."""
        found = {n: a.astype(float) for n, a in self.inputs.items() if a.dtype.kind in "fiub"}
        many = len(self.outputs) > 1
        for i, (output, cotangent) in enumerate(zip(self.outputs, self.cotangents)):
            found[f"output {i}" if many else "the output"] = output
            found[f"cotangent {i}" if many else "the cotangent"] = cotangent
        return found

    def over(self, name: str) -> np.ndarray | None:
        """A quantity broadcast to the shape of this argument, or None."""
        try:
            return np.broadcast_to(self.quantities[name], self.shape)
        except ValueError:
            return None

    @cached_property
    def at_zero(self) -> np.ndarray | None:
        """The gradient given for cotangents of 0: of a vector-Jacobian product, 0."""
        return self.given([np.zeros_like(c) for c in self.cotangents])

    @cached_property
    def at_minus_two(self) -> np.ndarray | None:
        """The gradient given for -2 times the cotangents: it should be -2 times as large."""
        return self.given([-2 * c for c in self.cotangents])

    @cached_property
    def given_jacobian(self) -> np.ndarray | None:
        """The Jacobian that the gradient under test stands for, one cotangent of 0 and 1 each."""
        if self.jacobian is None or self.jacobian.shape[1] > 400:
            return None
        columns = []
        for k, output in enumerate(self.outputs):
            for i in range(output.size):
                cotangents = [np.zeros(o.shape) for o in self.outputs]
                cotangents[k].reshape(-1)[i] = 1.0
                column = self.given(cotangents)
                if column is None:
                    return None
                columns.append(column.reshape(-1))
        return np.stack(columns, axis=1)

    def explained(self, factor: float) -> list[str]:
        """What a factor may be, in words, the likeliest first."""
        found = []
        if abs(factor - 2) < 1e-3:
            found.append("counted twice")
        if abs(factor - 0.5) < 1e-3:
            found.append("a half that does not belong, or one of two equal paths left out")
        for power, shape in (
            (1.0, "{}"), (-1.0, "1/{}"), (0.5, "sqrt({})"), (-0.5, "1/sqrt({})"), (2.0, "{}²"),
            (-2.0, "1/{}²"),
        ):  # fmt: skip
            for name, size in self.sizes.items():
                if size > 1 and abs(factor - size**power) < 1e-3 * size**power:
                    found.append(f"{shape.format(name)}, {name} = {size:g}")
        for name, size in self.sizes.items():
            if size > 2 and abs(factor - (size - 1) / size) < 1e-4:
                found.append(f"(n - 1)/n with n = {name} = {size:g}")
            if size > 2 and abs(factor - size / (size - 1)) < 1e-4:
                found.append(f"n/(n - 1) with n = {name} = {size:g}")
        # what the user named comes before what was counted
        found.sort(key=lambda words: not any(name in words for name in self.given_sizes))
        return found[:3]
