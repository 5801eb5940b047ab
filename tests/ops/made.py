"""Shapes, memory layouts and options for expressions, drawn from whatever `choose` draws from.

A tensor is drawn as text over one of the arrays x, y, z, w, so that torch and minigen see the same
strides: `x`, `x.permute(1, 0)`, `x[..., ::2]` or `x.expand(2, 3)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Choose = Callable[[Sequence], Any]

DOMAINS: dict[str, Callable] = {
    "real": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.uniform(0.3, 3.0, shape),
    "unit": lambda rng, shape: rng.uniform(-0.9, 0.9, shape),
    "chance": lambda rng, shape: rng.uniform(0.05, 0.95, shape),
    "above": lambda rng, shape: rng.uniform(1.2, 3.0, shape),
}


class Maker:
    """Draws what an expression needs, and keeps the arrays that it stands on."""

    def __init__(self, choose: Choose, seed: int = 0, stretched: bool = True) -> None:
        self.choose = choose
        self.rng = np.random.default_rng(seed)
        self.arrays: list[np.ndarray] = []
        self.stretched = stretched  # whether zero strides, and so equal elements, may occur

    def size(self, least: int = 0, most: int = 3) -> int:
        """From least to most, the telling ones first: hypothesis tries early ones more often."""
        return self.choose(sorted(range(least, most + 1), key=lambda n: (n < 2, -n)))

    def shape(self, least: int = 0, most: int = 3, smallest: int = 0) -> tuple[int, ...]:
        """Any shape of `least` to `most` dimensions, of sizes from `smallest` to 3."""
        return tuple(self.size(smallest) for _ in range(self.size(least, most)))

    def part(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to this one."""
        kept = shape[self.choose(range(len(shape) + 1)) :]
        return tuple(self.choose((n, n, 1)) for n in kept)

    def flag(self) -> bool:
        return self.choose((False, True))

    def dim(self, ndim: int) -> int:
        return self.choose(range(-max(ndim, 1), max(ndim, 1)))

    def dims(self, ndim: int) -> tuple[int, ...] | int:
        """One dimension or several, each once."""
        if ndim < 2 or self.flag():
            return self.dim(ndim)
        chosen = [d for d in range(ndim) if self.flag()] or [0]
        return tuple(self.choose((d, d - ndim)) for d in chosen)

    def array(self, shape: tuple[int, ...], domain: str = "real") -> str:
        self.arrays.append(np.asarray(DOMAINS[domain](self.rng, shape)))
        return "xyzw"[len(self.arrays) - 1]

    def tensor(self, shape: tuple[int, ...], domain: str = "real") -> str:
        """The text of a tensor of this shape, in some memory layout."""
        layouts = ["permuted", "plain", "strided", "expanded"]
        layout = self.choose(layouts[: 4 if self.stretched else 3]) if shape else "plain"
        if layout == "permuted":
            order = tuple(reversed(range(len(shape))))
            return f"{self.array(shape[::-1], domain)}.permute({order})"
        if layout == "strided":
            longer = (*shape[:-1], 2 * shape[-1])
            return f"{self.array(longer, domain)}[..., ::2]"
        if layout == "expanded":
            smaller = tuple(self.choose((n, 1)) for n in shape)
            return f"{self.array(smaller, domain)}.expand({shape})"
        return self.array(shape, domain)

    def index(self, shape: tuple[int, ...], size: int) -> str:
        """The text of an int64 tensor of this shape with elements below `size`."""
        values = self.rng.integers(0, size, shape) if size else np.zeros(shape, np.int64)
        return f"m.tensor({values.reshape(-1).tolist()}, dtype=m.int64).reshape({shape})"
