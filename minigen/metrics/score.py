"""A figure with what it needs to mean something: how many samples, which network, which floor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A metric's value for `n` samples.

    network: whose features it was computed from, None for metrics without one. floor: the same
    metric of as many held-out real examples, which is what a perfect model would get. ceiling: more
    is better, so that this value is in truth a ceiling, and printed as such. spread: a standard
    deviation. digits: decimals to print.

    >>> print(Score("Fréchet distance", 237.08, 1000, "digit classifier v1", floor=2.41))
    Fréchet distance 237.1 (n = 1,000, features: digit classifier v1, floor 2.4)
    >>> print(Score("coverage", 0.55, 1000, floor=0.97, digits=2, ceiling=True))
    coverage 0.55 (n = 1,000, ceiling 0.97)
    >>> print(Score("SSIM", 0.8412, 500, digits=3))
    SSIM 0.841 (n = 500)
    """

    name: str
    value: float
    n: int
    network: str | None = None
    floor: float | None = None
    spread: float | None = None
    digits: int = 1
    ceiling: bool = False

    def __str__(self) -> str:
        value = f"{self.value:.{self.digits}f}"
        if self.spread is not None:
            value += f" ± {self.spread:.{self.digits}f}"
        facts = [f"n = {self.n:,}"]
        if self.network is not None:
            facts.append(f"features: {self.network}")
        if self.floor is not None:
            facts.append(f"{'ceiling' if self.ceiling else 'floor'} {self.floor:.{self.digits}f}")
        return f"{self.name} {value} ({', '.join(facts)})"
