"""Kullback and Leibler's divergence of two distributions, chosen by their types."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from minigen.distributions.bernoulli import Bernoulli
from minigen.distributions.categorical import Categorical
from minigen.distributions.distribution import Distribution
from minigen.distributions.exp_family import ExponentialFamily, mean_statistics
from minigen.distributions.exponential import Exponential
from minigen.distributions.independent import Independent
from minigen.distributions.laplace import Laplace
from minigen.distributions.multivariate_normal import (
    MultivariateNormal,
    half_log_det,
    squared_mahalanobis,
)
from minigen.distributions.normal import Normal
from minigen.distributions.one_hot_categorical import OneHotCategorical
from minigen.distributions.transformed_distribution import TransformedDistribution
from minigen.distributions.uniform import Uniform
from minigen.distributions.utils import sum_rightmost
from minigen.nn.functional import logsigmoid
from minigen.ops.comparison import where
from minigen.ops.creation import full_like
from minigen.ops.functions import erf
from minigen.ops.triangular import solve_triangular
from minigen.tensor import Tensor

__all__ = ["kl_divergence", "register_kl"]

_FORMULAS: dict[tuple[type, type], Callable] = {}
_CHOSEN: dict[tuple[type, type], Callable] = {}  # what `_choose` found


def register_kl(type_p: type, type_q: type) -> Callable:
    """Decorate a function (p, q) that computes the divergence of these types and their subclasses.

    The most specific pair of types counts; where two are equally so, a RuntimeWarning asks for one
    that decides.  Raises TypeError for types that are no distributions.
    """
    for each in (type_p, type_q):
        if not (isinstance(each, type) and issubclass(each, Distribution)):
            raise TypeError(f"register_kl: expects subclasses of Distribution, got {each!r}")

    def register(formula: Callable) -> Callable:
        _FORMULAS[type_p, type_q] = formula
        _CHOSEN.clear()
        return formula

    return register


def _choose(type_p: type, type_q: type) -> Callable:
    """The formula of the pair that comes first in the order of inheritance."""
    fitting = [
        (type_p.__mro__.index(a), type_q.__mro__.index(b), formula)
        for (a, b), formula in _FORMULAS.items()
        if issubclass(type_p, a) and issubclass(type_q, b)
    ]
    if not fitting:
        raise NotImplementedError(
            f"kl_divergence: no formula for {type_p.__name__} and {type_q.__name__} is registered; "
            "register_kl adds one"
        )
    by_p = min(fitting, key=lambda each: each[:2])[2]
    by_q = min(fitting, key=lambda each: (each[1], each[0]))[2]
    if by_p is not by_q:
        warnings.warn(
            f"kl_divergence({type_p.__name__}, {type_q.__name__}) is ambiguous: two formulas fit "
            "as well; register_kl one for this pair",
            RuntimeWarning,
            stacklevel=3,
        )
    return by_p


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q) = E_p[log p(x) - log q(x)] >= 0, in nats, of shape batch_shape.

    Not symmetric; infinite where p can have an outcome that q cannot.  Source: Kullback & Leibler
    1951, equation 2.4; the formulas of pairs of families: Gil, Alajaji & Linder 2013, table 3.
    Raises NotImplementedError for a pair of types that has no formula.

    >>> import minigen
    >>> from minigen.distributions import Normal
    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0))
    tensor(0.5000)
    """
    types = (type(p), type(q))
    if types not in _CHOSEN:
        _CHOSEN[types] = _choose(*types)
    return _CHOSEN[types](p, q)


def _support_is_larger(p: Any, q: Any) -> Any:
    """p has outcomes that q never has."""
    return full_like(p.mean.detach(), math.inf)


# ---------------------------------------------------------------------------------- discrete


@register_kl(Bernoulli, Bernoulli)
def _bernoulli_bernoulli(p: Any, q: Any) -> Any:
    """p log(p/q) + (1-p) log((1-p)/(1-q)), where 0 log 0 = 0."""
    ones = p.probs * (logsigmoid(p.logits) - logsigmoid(q.logits))
    ones = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, ones))
    zeros = (1 - p.probs) * (logsigmoid(-p.logits) - logsigmoid(-q.logits))
    zeros = where(p.probs == 1, 0.0, where(q.probs == 1, math.inf, zeros))
    return ones + zeros


@register_kl(Categorical, Categorical)
def _categorical_categorical(p: Any, q: Any) -> Any:
    """Σ p log(p/q), where 0 log 0 = 0."""
    terms = p.probs * (p.logits - q.logits)
    terms = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, terms))
    return terms.sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_one_hot(p: Any, q: Any) -> Any:
    return _categorical_categorical(p._categorical, q._categorical)


# ----------------------------------------------------------------------------------- normal


@register_kl(Normal, Normal)
def _normal_normal(p: Any, q: Any) -> Any:
    """½ (σ_p²/σ_q² + (μ_p - μ_q)²/σ_q² - 1 - log σ_p²/σ_q²)."""
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_multivariate(p: Any, q: Any) -> Any:
    """½ (|L_q⁻¹ L_p|² + |L_q⁻¹ (μ_q - μ_p)|² - n + log det Σ_q - log det Σ_p)."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"kl_divergence: vectors of {p.event_shape[0]} and {q.event_shape[0]} numbers differ"
        )
    factor_p, factor_q = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    spread = solve_triangular(factor_q, factor_p, upper=False).square().sum((-2, -1))
    distance = squared_mahalanobis(factor_q, q.loc - p.loc)
    logarithms = half_log_det(factor_q) - half_log_det(factor_p)
    return logarithms + 0.5 * (spread + distance - p.event_shape[0])


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    """-H(p) + log 2b + E|x - μ_q| / b, the mean of a folded normal distribution."""
    distance = p.loc - q.loc
    standardized = distance / p.scale
    near = p.scale * math.sqrt(2 / math.pi) * (standardized.square() * -0.5).exp()
    absolute = near + distance * erf(standardized * math.sqrt(0.5))
    return absolute / q.scale + (2 * q.scale).log() - p.entropy()


# ---------------------------------------------------------------------------------- Laplace


@register_kl(Laplace, Laplace)
def _laplace_laplace(p: Any, q: Any) -> Any:
    """b_p/b_q exp(-d/b_p) + d/b_q - 1 - log b_p/b_q, d = |μ_p - μ_q|."""
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return ratio * (-distance / p.scale).exp() + distance / q.scale - 1 - ratio.log()


def _to_normal(p: Any, q: Any) -> Any:
    """-H(p) - E log q = -H(p) + ½ log 2πσ² + (Var p + (E p - μ)²) / 2σ², for q normal."""
    square = p.variance + (p.mean - q.loc).square()
    return square / q.scale.square() * 0.5 + (q.scale * math.sqrt(2 * math.pi)).log() - p.entropy()


for _family in (Laplace, Exponential, Uniform):
    register_kl(_family, Normal)(_to_normal)


# ------------------------------------------------------------------- exponential and uniform


@register_kl(Exponential, Exponential)
def _exponential_exponential(p: Any, q: Any) -> Any:
    """λ_q/λ_p - 1 - log λ_q/λ_p."""
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Uniform, Uniform)
def _uniform_uniform(p: Any, q: Any) -> Any:
    """log of the ratio of lengths, if p's interval lies in q's."""
    outside = (q.low > p.low) | (q.high < p.high)
    return where(outside, math.inf, ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    """-H(p) - log λ + λ E x, if p's interval has no negative numbers."""
    finite = q.rate * p.mean - ((p.high - p.low) * q.rate).log()
    return where(p.low < 0, math.inf, finite)


for _wide in (Normal, Laplace):
    for _narrow in (Exponential, Uniform):
        register_kl(_wide, _narrow)(_support_is_larger)
register_kl(Exponential, Uniform)(_support_is_larger)


# ------------------------------------------------------------------ of distributions in general


@register_kl(ExponentialFamily, ExponentialFamily)
def _same_exponential_family(p: Any, q: Any) -> Any:
    """F(θ_q) - F(θ_p) - <θ_q - θ_p, ∇F(θ_p)>, Bregman's divergence of the log-normalizer.

    Source: Nielsen & Nock, Entropies and cross-entropies of exponential families, ICIP 2010.
    """
    if type(p) is not type(q):
        raise NotImplementedError(
            f"kl_divergence: {type(p).__name__} and {type(q).__name__} are different exponential "
            "families, for which no general formula exists; register_kl adds one"
        )
    normalizer, parameters, means = mean_statistics(p)
    other = q._natural_params
    result = q._log_normalizer(*other) - normalizer
    for own, theirs, mean in zip(parameters, other, means):
        result = result - sum_rightmost((theirs - own) * mean, len(q.event_shape))
    return result


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed_transformed(p: Any, q: Any) -> Any:
    """That of the bases: a bijection changes both densities by the same factor."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            "kl_divergence: the transforms or the event shapes of two transformed distributions "
            "differ"
        )
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent_independent(p: Any, q: Any) -> Any:
    """The sum over the dimensions of an event."""
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"kl_divergence: {p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims} "
            "independent dimensions differ"
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
