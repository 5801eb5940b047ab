"""The normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.exp_family import ExponentialFamily
from minigen.distributions.utils import broadcast_all, standard_normal
from minigen.ops.functions import erf
from minigen.ops.inverse_erf import erfinv
from minigen.tensor import Tensor


class Normal(ExponentialFamily):
    """p(x) = exp(-(x - μ)² / 2σ²) / (σ √(2π)) with mean μ = loc and standard deviation σ = scale.

    loc, scale: tensors, which broadcast to batch_shape, or numbers.  `scale` is σ itself, not the
    variance nor a logarithm: of a network's output `logvar`, scale = (0.5 * logvar).exp().

    >>> import minigen
    >>> d = Normal(0.0, 2.0)
    >>> d.log_prob(minigen.tensor([0.0, 2.0]))
    tensor([-1.6121, -2.1121])
    >>> d.cdf(minigen.tensor(0.0))
    tensor(0.5000)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return self._expanded(Normal, batch_shape, _instance, ("loc", "scale"))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """μ + σ ε with standard normal ε."""
        return self.loc + self.scale * standard_normal(self._extended_shape(sample_shape), self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = (value - self.loc) / self.scale
        return distance.square() * -0.5 - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return 0.5 + 0.5 * erf((value - self.loc) / (self.scale * math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * math.sqrt(2) * erfinv(2 * value - 1)

    def entropy(self) -> Tensor:
        """½ log(2πe) + log σ."""
        return self.scale.log() + 0.5 * (1 + math.log(2 * math.pi))

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        """(μ / σ², -1 / 2σ²), of the statistics (x, x²)."""
        precision = self.scale.pow(-2)
        return self.loc * precision, precision * -0.5

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        return x.square() / y * -0.25 + (-math.pi / y).log() * 0.5
