"""The Bernoulli distribution: one yes or no."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigen.distributions import constraints
from minigen.distributions.exp_family import ExponentialFamily
from minigen.distributions.utils import (
    broadcast_all,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
)
from minigen.modes import no_grad
from minigen.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from minigen.ops.comparison import where
from minigen.ops.random import bernoulli
from minigen.ops.ranges import arange
from minigen.tensor import Size, Tensor


class BinaryParameter:
    """`probs`, or `logits` = log(p / (1 - p)): one is given, the other follows when it is read."""

    __dict__: dict[str, Any]

    def _set_parameter(self, probs: Any, logits: Any) -> None:
        if (probs is None) == (logits is None):
            raise ValueError(f"{type(self).__name__}: give either probs or logits, and not both")
        name = "logits" if probs is None else "probs"
        (self._param,) = broadcast_all(logits if probs is None else probs)
        self.__dict__[name] = self._param

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Size:
        return self._param.shape


class Bernoulli(BinaryParameter, ExponentialFamily):
    """1 with probability p = probs = sigmoid(logits), else 0; outcomes are floating-point.

    log p(x) = x log p + (1 - x) log(1 - p), minus the binary cross-entropy.  With `logits` it is
    accurate however small p is; `probs` are clamped as `clamp_probs` does.

    >>> import minigen
    >>> d = Bernoulli(probs=minigen.tensor([0.25, 1.0]))
    >>> d.log_prob(minigen.tensor([1.0, 1.0]))
    tensor([-1.3863e+00, -1.1921e-07])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._set_parameter(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        return self._expanded(Bernoulli, batch_shape, _instance, ("probs", "logits", "_param"))

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """1 or 0, NaN where both are as likely."""
        probs = self.probs.detach()
        return where(probs == 0.5, math.nan, (probs > 0.5).to(probs.dtype))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = arange(2, dtype=self._param.dtype, device=self._param.device)
        values = values.view(2, *(1,) * len(self._batch_shape))
        return values.expand(2, *self._batch_shape) if expand else values

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        """The log-odds, of the statistic x."""
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Any:
        """log(1 + exp(x))."""
        return -logsigmoid(-x)
