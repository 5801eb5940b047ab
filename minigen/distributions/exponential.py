"""The exponential distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.exp_family import ExponentialFamily
from minigen.distributions.utils import broadcast_all, standard_exponential
from minigen.ops.creation import zeros_like
from minigen.tensor import Tensor


class Exponential(ExponentialFamily):
    """p(x) = λ exp(-λ x) for x >= 0 with λ = rate: the wait for an event without memory.

    >>> import minigen
    >>> Exponential(2.0).mean, Exponential(2.0).cdf(minigen.tensor(0.5))
    (tensor(0.5000), tensor(0.6321))
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return self._expanded(Exponential, batch_shape, _instance, ("rate",))

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """E / λ with E of rate 1."""
        return standard_exponential(self._extended_shape(sample_shape), self.rate) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -(-self.rate * value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Tensor:
        """1 - log λ."""
        return 1 - self.rate.log()

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        """-λ, of the statistic x."""
        return (-self.rate,)

    def _log_normalizer(self, x: Any) -> Any:
        return -(-x).log()
