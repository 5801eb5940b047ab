"""Families whose density is exp(<t(x), θ> - F(θ) + k(x)): all follows from F."""

from __future__ import annotations

from typing import Any

from minigen.distributions.distribution import Distribution
from minigen.distributions.utils import sum_rightmost
from minigen.modes import enable_grad
from minigen.ops.creation import ones_like
from minigen.tensor import Tensor
from minigen.transforms import vjp


class ExponentialFamily(Distribution):
    """p(x; θ) = exp(<t(x), θ> - F(θ) + k(x)) with natural parameters θ and sufficient statistics t.

    A subclass defines `_natural_params`, `_log_normalizer` (F) and `_mean_carrier_measure` (E k).
    The gradient of F is the mean of t, so entropy and divergence follow by differentiation:
    H = F(θ) - <θ, ∇F(θ)> - E k.  Source: Nielsen & Nock, Entropies and cross-entropies of
    exponential families, ICIP 2010, equation 9.

    >>> import minigen
    >>> from minigen.distributions import Exponential
    >>> ExponentialFamily.entropy(Exponential(2.0)), Exponential(2.0).entropy()
    (tensor(0.3069), tensor(0.3069))
    """

    @property
    def _natural_params(self) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} does not define _natural_params")

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define _mean_carrier_measure")

    def _log_normalizer(self, *natural_params: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define _log_normalizer")

    def entropy(self) -> Tensor:
        normalizer, parameters, means = mean_statistics(self)
        result = normalizer - self._mean_carrier_measure
        for parameter, mean in zip(parameters, means):
            extra = parameter.ndim - len(self._batch_shape)
            result = result - sum_rightmost(parameter * mean, extra)
        return result


def mean_statistics(family: ExponentialFamily) -> tuple[Any, list, list]:
    """F(θ), θ and the mean of t, which is ∇F(θ), as functions of the family's parameters."""
    with enable_grad():
        natural = list(family._natural_params)
        normalizer, pull_back = vjp(family._log_normalizer, *natural)
        means = list(pull_back(ones_like(normalizer)))
    return normalizer, natural, means
