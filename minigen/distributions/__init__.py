"""Probability distributions: draws, densities, entropies and divergences, by PyTorch's names.

Gradients of expectations come two ways.  Where a draw is a function of parameters and noise,
`rsample` is differentiable (a VAE's reparameterisation).  Everywhere else the score function is:
`-(d.log_prob(x) * reward).mean()` for x = `d.sample()`.

>>> import minigen
>>> from minigen.distributions import Normal, kl_divergence
>>> posterior, prior = Normal(minigen.zeros(2), 0.5), Normal(0.0, 1.0)
>>> kl_divergence(posterior, prior)
tensor([0.3181, 0.3181])
"""

from minigen.distributions import constraints, transforms
from minigen.distributions.bernoulli import Bernoulli
from minigen.distributions.categorical import Categorical
from minigen.distributions.distribution import Distribution
from minigen.distributions.exp_family import ExponentialFamily
from minigen.distributions.exponential import Exponential
from minigen.distributions.independent import Independent
from minigen.distributions.kl import kl_divergence, register_kl
from minigen.distributions.laplace import Laplace
from minigen.distributions.log_normal import LogNormal
from minigen.distributions.multivariate_normal import MultivariateNormal
from minigen.distributions.normal import Normal
from minigen.distributions.one_hot_categorical import (
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)
from minigen.distributions.relaxed_bernoulli import RelaxedBernoulli
from minigen.distributions.relaxed_categorical import RelaxedOneHotCategorical
from minigen.distributions.transformed_distribution import TransformedDistribution
from minigen.distributions.transforms import *
from minigen.distributions.uniform import Uniform
