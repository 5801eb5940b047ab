"""A Bernoulli distribution that was made continuous, so that samples have gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.bernoulli import BinaryParameter
from minigen.distributions.distribution import Distribution
from minigen.distributions.transformed_distribution import TransformedDistribution
from minigen.distributions.transforms import SigmoidTransform
from minigen.distributions.utils import broadcast_all, parameter_like, standard_logistic
from minigen.nn.functional import logsigmoid
from minigen.tensor import Tensor


class LogitRelaxedBernoulli(BinaryParameter, Distribution):
    """(logits + noise) / temperature with logistic noise: the logit of a `RelaxedBernoulli`.

    log p(y) = log λ + d - 2 log(1 + exp(d)), d = logits - λ y, with the temperature λ.
    Source: Maddison, Mnih & Teh 2017, arXiv:1611.00712, appendix B.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._set_parameter(probs, logits)
        self.temperature = parameter_like(temperature, self._param)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        names = ("probs", "logits", "_param")
        new = self._expanded(LogitRelaxedBernoulli, batch_shape, _instance, names)
        new.temperature = self.temperature
        return new

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        noise = standard_logistic(self._extended_shape(sample_shape), self._param)
        return (self.logits + noise) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        difference = logits - value * self.temperature
        return self.temperature.log() + difference + 2 * logsigmoid(-difference)


class RelaxedBernoulli(TransformedDistribution):
    """sigmoid((logits + noise) / temperature): numbers in (0, 1), near 0 and 1 when it is cold.

    Source: Maddison, Mnih & Teh 2017, arXiv:1611.00712, section 3.3.

    >>> import minigen
    >>> _ = minigen.manual_seed(0)
    >>> RelaxedBernoulli(minigen.tensor(0.01), probs=minigen.tensor([0.0, 1.0])).sample().round()
    tensor([0., 1.])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return super().expand(batch_shape, self._get_checked_instance(RelaxedBernoulli, _instance))

    @property
    def temperature(self) -> Tensor:
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        return self.base_dist.probs
