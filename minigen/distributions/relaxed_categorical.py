"""A categorical distribution that was made continuous, so that samples have gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.categorical import Categorical
from minigen.distributions.distribution import Distribution
from minigen.distributions.transformed_distribution import TransformedDistribution
from minigen.distributions.transforms import ExpTransform
from minigen.distributions.utils import broadcast_all, parameter_like, standard_gumbel
from minigen.nn.functional import log_softmax
from minigen.ops.creation import full_like
from minigen.ops.special import lgamma
from minigen.tensor import Size, Tensor


class ExpRelaxedCategorical(Distribution):
    """log softmax((logits + G) / temperature) with Gumbel noise G: the logarithm of a point in the
    simplex, whose density does not underflow.

    log p(y) = log Γ(K) + (K - 1) log λ + Σ log softmax(logits - λ y), with the temperature λ.
    Source: Maddison, Mnih & Teh 2017, arXiv:1611.00712, appendix C.3, equation 26.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = parameter_like(temperature, self._categorical._param)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        new = self._get_checked_instance(ExpRelaxedCategorical, _instance)
        new.temperature = self.temperature
        new._categorical = self._categorical.expand(batch_shape)
        return self._finish_expanded(new, batch_shape)

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def param_shape(self) -> Size:
        return self._categorical.param_shape

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        noise = standard_gumbel(self._extended_shape(sample_shape), self.logits)
        return log_softmax((self.logits + noise) / self.temperature, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        count = self._categorical._num_events
        logits, value = broadcast_all(self.logits, value)
        scores = log_softmax(logits - value * self.temperature, -1).sum(-1)
        volume = lgamma(full_like(self.temperature, count))
        return scores + volume + self.temperature.log() * (count - 1)


class RelaxedOneHotCategorical(TransformedDistribution):
    """softmax((logits + G) / temperature) with Gumbel noise G: points in the simplex, near its
    corners when it is cold.  Also known as Concrete or Gumbel-softmax.

    Source: Maddison, Mnih & Teh 2017, arXiv:1611.00712, definition 1; Jang, Gu & Poole 2017,
    arXiv:1611.01144, section 2.

    >>> import minigen
    >>> _ = minigen.manual_seed(0)
    >>> d = RelaxedOneHotCategorical(minigen.tensor(0.01), logits=minigen.tensor([0.0, 9.0]))
    >>> d.sample()
    tensor([0., 1.])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        own = self._get_checked_instance(RelaxedOneHotCategorical, _instance)
        return super().expand(batch_shape, own)

    @property
    def temperature(self) -> Tensor:
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        return self.base_dist.probs
