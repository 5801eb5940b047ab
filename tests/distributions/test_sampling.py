"""Draws: seeds, gradients, moments, and whether they have the distribution that they should.

All with a fixed seed, so each test gives one answer for ever; the bounds are those that a right
sampler would miss for about one seed in a thousand.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import minigen
from minigen import distributions as ours
from minigen.distributions.relaxed_categorical import ExpRelaxedCategorical
from tests.distributions.families import FAMILIES, SCALARS
from tests.expressions import function

N = 20_000
CONTINUOUS = {
    "Normal": ("Normal", (0.5, 2.0)),
    "Laplace": ("Laplace", (-1.0, 0.5)),
    "Uniform": ("Uniform", (-1.0, 3.0)),
    "Exponential": ("Exponential", (2.5,)),
    "LogNormal": ("LogNormal", (0.2, 0.4)),
}


def doubles(*values):
    return [minigen.tensor(v, dtype=minigen.float64, requires_grad=True) for v in values]


def made(name):
    family, parameters = CONTINUOUS[name]
    tensors = doubles(*parameters)
    return getattr(ours, family)(*tensors), tensors


def reference(name, parameters=None):
    family, known = CONTINUOUS[name]
    given = known if parameters is None else parameters
    return getattr(torch.distributions, family)(
        *(torch.tensor(v, dtype=torch.float64) for v in given)
    )


def kolmogorov_smirnov(uniform):
    """√n sup |F_n(u) - u|, above 1.95 for one uniform sample in a thousand."""
    u = np.sort(np.asarray(uniform))
    steps = np.arange(len(u) + 1) / len(u)
    return math.sqrt(len(u)) * max((steps[1:] - u).max(), (u - steps[:-1]).max())


# ---------------------------------------------------------------------- seeds, graphs, moments


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_seed_gives_the_same_draws_and_only_rsample_a_graph(name):
    shape = (3,) if name in SCALARS else (2, 3)
    x, y = (minigen.full(shape, v, requires_grad=True) for v in (0.3, 0.2))
    d = function(f"m.distributions.{FAMILIES[name][0]}", minigen)(x, y)
    minigen.manual_seed(1)
    first, second = d.sample((4,)), d.sample((4,))
    minigen.manual_seed(1)
    assert minigen.equal(first, d.sample((4,)))
    assert not minigen.equal(first, second)
    assert not first.requires_grad
    if d.has_rsample:
        minigen.manual_seed(1)
        drawn = d.rsample((4,))
        assert minigen.equal(first, drawn)
        assert drawn.requires_grad


def test_the_kolmogorov_smirnov_bound_can_fail():
    assert kolmogorov_smirnov(np.linspace(0, 1, N)) < 0.1
    assert kolmogorov_smirnov(np.linspace(0, 0.97, N)) > 1.95


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_are_distributed_as_they_should(name):
    minigen.manual_seed(11)
    d, _ = made(name)
    x = d.sample((N,)).numpy()
    truth = reference(name)
    assert kolmogorov_smirnov(truth.cdf(torch.from_numpy(x))) < 1.95
    mean, variance = truth.mean.item(), truth.variance.item()
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / N)
    squares = (x - mean) ** 2
    assert abs(squares.mean() - variance) < 4 * squares.std() / math.sqrt(N)
    minigen.manual_seed(11)
    single = d.expand((N,)).sample().numpy()  # a batch is drawn as independently as a sample
    assert kolmogorov_smirnov(truth.cdf(torch.from_numpy(single))) < 1.95
    assert abs(np.corrcoef(single[1:], single[:-1])[0, 1]) < 4 / math.sqrt(N)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_in_few_digits_are_finite_and_in_the_support(name, dtype):
    minigen.manual_seed(2)
    family, parameters = CONTINUOUS[name]
    kind = getattr(minigen, dtype)
    d = getattr(ours, family)(*(minigen.tensor(p, dtype=kind) for p in parameters))
    x = d.sample((N,))
    assert x.dtype == kind
    assert x.isfinite().all()
    assert d.support.check(x).all()
    assert kolmogorov_smirnov(reference(name).cdf(torch.from_numpy(x.numpy()).double())) < 12


# --------------------------------------------------------------------------- reparameterisation


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_gradient_of_a_draw_moves_its_quantile(name):
    """x(θ) at a fixed quantile F(x; θ) = u has dx/dθ = -∂F/∂θ / p(x): in one dimension there is no
    other derivative that keeps the distribution right (Figurnov et al. 2018, arXiv:1805.08498)."""
    minigen.manual_seed(4)
    d, parameters = made(name)
    theirs = [torch.tensor(p.item(), dtype=torch.float64, requires_grad=True) for p in parameters]
    truth = getattr(torch.distributions, CONTINUOUS[name][0])(*theirs)
    for x in d.rsample((20,)):
        gradients = minigen.autograd.grad(x, parameters, retain_graph=True, allow_unused=True)
        at = torch.tensor(x.item(), dtype=torch.float64)
        slopes = torch.autograd.grad(truth.cdf(at), theirs)
        density = truth.log_prob(at).exp()
        for gradient, slope in zip(gradients, slopes):
            assert math.isclose(gradient.item(), (-slope / density).item(), rel_tol=1e-7)


def test_two_gradients_of_one_expectation():
    """d E x² / d(μ, σ) = (2μ, 2σ): by rsample, and by the score function with sample."""
    minigen.manual_seed(8)
    mu, sigma = doubles(0.7, 0.5)
    d = ours.Normal(mu, sigma)
    n = 100_000
    path = minigen.autograd.grad((d.rsample((n,)) ** 2).mean(), [mu, sigma])
    x = d.sample((n,))
    score = minigen.autograd.grad((d.log_prob(x) * x**2).mean(), [mu, sigma])
    for got, exact, tolerance in zip(path, (1.4, 1.0), (0.02, 0.02)):
        assert abs(got.item() - exact) < tolerance
    for got, exact, tolerance in zip(score, (1.4, 1.0), (0.05, 0.07)):
        assert abs(got.item() - exact) < tolerance


def test_straight_through_has_the_gradient_of_the_probabilities():
    minigen.manual_seed(0)
    probs = minigen.tensor([[0.2, 0.3, 0.5]], requires_grad=True)
    d = ours.OneHotCategoricalStraightThrough(probs)
    drawn = d.rsample((6,))
    assert ours.constraints.one_hot.check(drawn.round()).all()
    np.testing.assert_allclose(drawn.detach(), drawn.detach().round(), atol=1e-6)
    assert isinstance(d.expand((2,)), ours.OneHotCategoricalStraightThrough)
    weight = minigen.tensor([1.0, 2.0, 4.0])
    (drawn * weight).sum().backward()
    # probs / Σ probs, whose sum is 1: g - <g, p>
    expected = 6 * (weight - (weight * probs.detach()).sum())
    np.testing.assert_allclose(probs.grad[0], expected[0] if expected.ndim > 1 else expected,
                               rtol=1e-5)  # fmt: skip


# -------------------------------------------------------------------------------------- classes


def chi_square(counts, probabilities):
    """Standardized: (χ² - k) / √2k with k degrees of freedom, above 4 for one in a thousand."""
    counts, expected = np.asarray(counts), np.asarray(probabilities) * np.sum(counts)
    k = (expected > 0).sum() - 1
    assert not counts[expected == 0].any()
    with_some = expected > 0
    terms = (counts - expected)[with_some] ** 2 / expected[with_some]
    return (terms.sum() - k) / math.sqrt(2 * k)


@pytest.mark.parametrize("shape", [(), (N,)])
def test_classes_are_as_frequent_as_they_should(shape):
    """Many draws of one distribution, and one draw of many: they are drawn in two ways."""
    minigen.manual_seed(6)
    probs = [[0.1, 0.0, 0.6, 0.3], [0.25, 0.25, 0.25, 0.25]]
    d = ours.Categorical(minigen.tensor(probs))
    d = d.expand((*shape, 2)) if shape else d
    x = d.sample() if shape else d.sample((N,))
    for column, p in enumerate(probs):
        counts = np.bincount(x[:, column].numpy(), minlength=4)
        assert chi_square(counts, p) < 4
    pairs = np.bincount((x[:, 0] * 4 + x[:, 1]).numpy(), minlength=16)  # independent rows
    assert chi_square(pairs, np.outer(*probs).ravel()) < 4


def test_the_chi_square_bound_can_fail():
    assert chi_square([1050, 950], [0.5, 0.5]) < 4
    assert chi_square([1100, 900], [0.5, 0.5]) > 4


def test_draws_of_shapes():
    d = ours.Categorical(minigen.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    x = d.sample((2, 4))
    assert x.dtype == minigen.int64
    assert minigen.equal(x, minigen.tensor([1, 0, 1]).expand(2, 4, 3))
    assert ours.Categorical(minigen.ones(0, 3)).sample((2,)).shape == (2, 0)
    hot = ours.OneHotCategorical(minigen.tensor([[0.0, 1.0], [1.0, 0.0]])).sample((3,))
    assert hot.tolist() == [[[0, 1], [1, 0]]] * 3


def test_bernoulli():
    minigen.manual_seed(9)
    p = [0.0, 0.1, 0.5, 1.0]
    x = ours.Bernoulli(minigen.tensor(p)).sample((N,)).numpy()
    assert set(np.unique(x)) == {0.0, 1.0}
    assert x[:, 0].max() == 0
    assert x[:, 3].min() == 1
    for column in (1, 2):
        assert chi_square([N - x[:, column].sum(), x[:, column].sum()],
                          [1 - p[column], p[column]]) < 4  # fmt: skip


# ---------------------------------------------------------------------------------- relaxations


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_relaxed_bernoulli(temperature):
    """P(y <= t) = sigmoid(λ logit(t) - logits) (Maddison et al. 2017, appendix B)."""
    minigen.manual_seed(12)
    logits = minigen.tensor([-1.0, 0.5]).double()
    d = ours.RelaxedBernoulli(minigen.tensor(temperature).double(), logits=logits)
    x = d.base_dist.sample((N,))
    for column in range(2):
        u = minigen.sigmoid(temperature * x[:, column] - logits[column])
        assert kolmogorov_smirnov(u.numpy()) < 1.95
    y = d.sample((N,))
    assert ours.constraints.unit_interval.check(y).all()
    np.testing.assert_allclose((y > 0.5).double().mean(0), logits.sigmoid(), atol=0.012)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_relaxed_categorical(temperature):
    """The largest number is that of a categorical draw, and the density fits the draws."""
    minigen.manual_seed(13)
    probs = [0.2, 0.5, 0.3]
    warm = minigen.tensor(temperature).double()
    d = ours.RelaxedOneHotCategorical(warm, minigen.tensor(probs).double())
    x = d.sample((N,))
    np.testing.assert_allclose(x.sum(-1), np.ones(N), rtol=1e-12)
    assert chi_square(np.bincount(x.argmax(-1).numpy()), probs) < 4
    # E_p q/p = 1 for any density q: here that of other parameters
    one = ExpRelaxedCategorical(warm, minigen.tensor(probs).double())
    two = ExpRelaxedCategorical(warm * 1.3, minigen.tensor([0.3, 0.4, 0.3]).double())
    y = one.sample((N,))
    ratio = (two.log_prob(y) - one.log_prob(y)).exp().numpy()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(N)


def test_two_relaxed_classes_are_a_relaxed_bernoulli():
    minigen.manual_seed(14)
    logits = minigen.tensor([0.3, -0.9]).double()
    d = ours.RelaxedOneHotCategorical(minigen.tensor(0.7).double(), logits=logits)
    x = d.sample((N,))
    u = minigen.sigmoid(0.7 * (x[:, 0].log() - x[:, 1].log()) - (logits[0] - logits[1]))
    assert kolmogorov_smirnov(u.numpy()) < 1.95


def test_a_temperature_can_be_learned():
    minigen.manual_seed(15)
    warm = minigen.tensor(0.5, requires_grad=True)
    logits = minigen.zeros(3, requires_grad=True)
    x = ours.RelaxedOneHotCategorical(warm, logits=logits).rsample()
    x.square().sum().backward()
    assert warm.grad.item() < 0  # warmer is flatter
    assert logits.grad.abs().sum() > 0
    assert ours.RelaxedOneHotCategorical(0.5, logits=logits).temperature.dtype == minigen.float32


# ------------------------------------------------------------------------------------- vectors


def test_multivariate_normal():
    minigen.manual_seed(16)
    loc = minigen.tensor([1.0, -2.0, 0.5]).double()
    factor = minigen.tensor([[1.0, 0.0, 0.0], [-0.8, 0.5, 0.0], [0.3, 0.2, 2.0]]).double()
    x = ours.MultivariateNormal(loc, scale_tril=factor).sample((N,)).numpy()
    white = np.linalg.solve(factor.numpy(), (x - loc.numpy()).T)
    uniform = torch.distributions.Normal(0.0, 1.0).cdf(torch.from_numpy(white)).numpy()
    for row in uniform:
        assert kolmogorov_smirnov(row) < 1.95
    exact = (factor @ factor.mT).numpy()
    deviation = np.sqrt((np.outer(exact.diagonal(), exact.diagonal()) + exact**2) / N)
    assert (np.abs(np.cov(x.T) - exact) < 4 * deviation).all()


def test_the_gradient_of_multivariate_draws():
    """x = μ + L ε: the noise is recovered from the draw, and with it the derivative."""
    minigen.manual_seed(17)
    loc, factor = doubles([1.0, -1.0], [[2.0, 0.0], [0.5, 1.5]])
    x = ours.MultivariateNormal(loc, scale_tril=factor).rsample()
    noise = np.linalg.solve(factor.detach().numpy(), (x - loc).detach().numpy())
    weight = np.array([0.7, -0.2])
    (x * minigen.from_numpy(weight)).sum().backward()
    np.testing.assert_allclose(loc.grad, weight)
    np.testing.assert_allclose(factor.grad, np.outer(weight, noise))
