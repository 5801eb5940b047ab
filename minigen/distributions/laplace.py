"""The Laplace distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.distribution import Distribution
from minigen.distributions.utils import broadcast_all, standard_exponential
from minigen.tensor import Tensor


class Laplace(Distribution):
    """p(x) = exp(-|x - μ| / b) / 2b with mean and median μ = loc and b = scale.

    Its logarithm is the absolute error, as that of a normal density is the squared error.

    >>> import minigen
    >>> Laplace(0.0, 1.0).log_prob(minigen.tensor([0.0, -2.0]))
    tensor([-0.6931, -2.6931])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return self._expanded(Laplace, batch_shape, _instance, ("loc", "scale"))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * 2

    @property
    def stddev(self) -> Tensor:
        return self.scale * math.sqrt(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """μ + b (E₁ - E₂) with standard exponential E₁, E₂."""
        shape = self._extended_shape(sample_shape)
        noise = standard_exponential(shape, self.loc) - standard_exponential(shape, self.loc)
        return self.loc + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = value - self.loc
        return 0.5 - 0.5 * distance.sign() * (-distance.abs() / self.scale).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        centred = value - 0.5
        return self.loc - self.scale * centred.sign() * (-2 * centred.abs()).log1p()

    def entropy(self) -> Tensor:
        """1 + log 2b."""
        return (2 * self.scale).log() + 1
